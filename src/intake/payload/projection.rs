//! Validates a whole JSON text, but parses only some members of its outermost object. Other members, and lists, take
//! no memory.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::{DecodeError, not_json};
use super::json::parse;
use crate::parse_memory::bytes_to_reserve;

/// The parts to parse of a text that is valid JSON.
#[derive(Debug)]
pub(in crate::intake) enum Projection<'t> {
    Whole(&'t str),
    /// Members of an object; none if the text is no object.
    Some {
        text: &'t str,
        members: Vec<(String, &'t RawValue)>,
    },
}

impl<'t> Projection<'t> {
    /// Finds the members with these names; without names, the whole text.
    pub(in crate::intake) fn find(
        text: &'t str,
        names: Option<&[String]>,
    ) -> Result<Projection<'t>, DecodeError> {
        let Some(names) = names else {
            return Ok(Projection::Whole(text));
        };
        let mut members = Vec::new();
        if text.trim_ascii_start().starts_with('{') {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let found = deserializer.deserialize_map(MembersVisitor(names));
            let found = found.and_then(|found| deserializer.end().map(|()| found));
            members = found.map_err(|error| mistake(text, &error))?;
        } else {
            check(text)?;
        }
        Ok(Projection::Some { text, members })
    }

    /// Returns the memory to reserve for `parse`.
    pub(in crate::intake) fn bytes_to_reserve(&self) -> usize {
        match self {
            Projection::Whole(text) => bytes_to_reserve(&[text]),
            Projection::Some { members, .. } => {
                let texts: Vec<&str> = members.iter().map(|(_, raw)| raw.get()).collect();
                bytes_to_reserve(&texts)
            }
        }
    }

    /// Parses the members. Errors are the same as if the whole text were parsed.
    pub(in crate::intake) fn parse(self) -> Result<Value, DecodeError> {
        let (text, members) = match self {
            Projection::Whole(text) => return parse(text),
            Projection::Some { text, members } => (text, members),
        };
        let mut object = Map::new();
        for (name, raw) in members {
            match serde_json::from_str(raw.get()) {
                Ok(value) => object.insert(name, value),
                Err(error) => return Err(mistake(text, &error)),
            };
        }
        Ok(Value::Object(object))
    }
}

/// Returns the error with its position in the whole text, not in the member.
fn mistake(text: &str, error: &serde_json::Error) -> DecodeError {
    check(text).err().unwrap_or_else(|| not_json(error))
}

fn check(text: &str) -> Result<(), DecodeError> {
    serde_json::from_str::<SkippedValue>(text)
        .map(|SkippedValue| ())
        .map_err(|error| not_json(&error))
}

struct MembersVisitor<'n>(&'n [String]);

impl<'t> Visitor<'t> for MembersVisitor<'_> {
    type Value = Vec<(String, &'t RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if !self.0.contains(&key) {
                map.next_value::<SkippedValue>()?;
                continue;
            }
            let value = map.next_value()?;
            // The last of a repeated name counts, as in serde_json's `Value`.
            match members.iter_mut().find(|(name, _)| *name == key) {
                Some((_, earlier)) => *earlier = value,
                None => members.push((key, value)),
            }
        }
        Ok(members)
    }
}

/// A value that is validated and dropped.
// Not `IgnoredAny`, which accepts numbers that are too large: delivery would fail to parse them.
struct SkippedValue;

impl<'t> Deserialize<'t> for SkippedValue {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<SkippedValue, D::Error> {
        deserializer.deserialize_any(SkippedValue)
    }
}

impl<'t> Visitor<'t> for SkippedValue {
    type Value = SkippedValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<SkippedValue, E> {
        Ok(SkippedValue)
    }

    fn visit_bool<E>(self, _: bool) -> Result<SkippedValue, E> {
        Ok(SkippedValue)
    }

    fn visit_u64<E>(self, _: u64) -> Result<SkippedValue, E> {
        Ok(SkippedValue)
    }

    fn visit_i64<E>(self, _: i64) -> Result<SkippedValue, E> {
        Ok(SkippedValue)
    }

    fn visit_f64<E>(self, _: f64) -> Result<SkippedValue, E> {
        Ok(SkippedValue)
    }

    fn visit_str<E>(self, _: &str) -> Result<SkippedValue, E> {
        Ok(SkippedValue)
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut list: A) -> Result<SkippedValue, A::Error> {
        while list.next_element::<SkippedValue>()?.is_some() {}
        Ok(SkippedValue)
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<SkippedValue, A::Error> {
        while map.next_entry::<SkippedValue, SkippedValue>()?.is_some() {}
        Ok(SkippedValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, names: &[&str], expected: &str) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let members = Projection::find(text, Some(&names));
        let parsed = members.and_then(Projection::parse).map(|value| value.to_string());
        assert_eq!(parsed.as_deref(), Ok(expected));
    }

    #[test]
    fn only_the_named_members_are_parsed() {
        check(
            r#"{"a": {"b": [1]}, "c": [{"d": 2}], "e": null}"#,
            &["a", "e"],
            r#"{"a":{"b":[1]},"e":null}"#,
        );
        check(r#"{"a": 1, "a": 2}"#, &["a"], r#"{"a":2}"#);
        check(r#" {"a": 1} "#, &[], "{}");
        check("[1]", &["a"], "{}");
        check("7", &["a"], "{}");
    }

    #[test]
    fn errors_are_those_of_the_whole_text() {
        let deep = format!("{{\"a\":{}", "[".repeat(200));
        let bad = [
            r#"{"a": 1e999}"#,
            r#"{"b": 1, "a": [1e999]}"#,
            r#"{"a": "\x"}"#,
            r#"{"a": tru}"#,
            r#"{"a": 1} 2"#,
            "{",
            "[1, 1e999]",
            "[1] 2",
            "7 8",
            &deep,
        ];
        for (text, names) in bad.iter().flat_map(|text| [(text, vec![]), (text, vec!["a".into()])])
        {
            let expected = parse(text).map(|_| ()).unwrap_err();
            let refused =
                Projection::find(text, Some(&names)).and_then(Projection::parse).map(|_| ());
            assert_eq!(refused, Err(expected), "{text}");
        }
    }

    #[test]
    fn only_parsed_members_have_weight() {
        let list = format!("[{}0]", "0,".repeat(500_000));
        let object = format!(r#"{{"a": 1, "b": {list}}}"#);
        let weight = |text: &str, names: Option<&[&str]>| {
            let names: Option<Vec<String>> =
                names.map(|names| names.iter().map(ToString::to_string).collect());
            Projection::find(text, names.as_deref()).unwrap().bytes_to_reserve()
        };

        assert!(weight(&object, Some(&["a"])) < 200);
        assert_eq!(weight(&list, Some(&["a"])), 0);
        assert!(weight(&object, Some(&["b"])) > 30_000_000);
        assert!(weight(&object, None) > 30_000_000);
    }
}
