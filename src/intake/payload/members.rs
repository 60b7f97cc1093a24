//! Parses a text whole, and keeps of its outermost object only the members that are asked for.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Undecodable, not_json, parse};

/// What is refused is the same as where all is kept.
pub fn parse_members(text: &str, names: &[String]) -> Result<Value, Undecodable> {
    if !text.trim_ascii_start().starts_with('{') {
        return parse(text);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(Members(names));
    let value = members.and_then(|members| deserializer.end().map(|()| Value::Object(members)));
    value.map_err(|error| not_json(&error))
}

struct Members<'n>(&'n [String]);

impl<'t> Visitor<'t> for Members<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.0.contains(&key) {
                members.insert(key, map.next_value()?);
            } else {
                map.next_value::<Checked>()?;
            }
        }
        Ok(members)
    }
}

/// What was read to its end, and forgotten. `IgnoredAny` would let pass numbers that are too large.
struct Checked;

impl<'t> Deserialize<'t> for Checked {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Checked, D::Error> {
        deserializer.deserialize_any(Checked)
    }
}

impl<'t> Visitor<'t> for Checked {
    type Value = Checked;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut list: A) -> Result<Checked, A::Error> {
        while list.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Checked, A::Error> {
        while map.next_entry::<Checked, Checked>()?.is_some() {}
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, names: &[&str], expected: &str) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let parsed = parse_members(text, &names).map(|value| value.to_string());
        assert_eq!(parsed.as_deref(), Ok(expected));
    }

    #[test]
    fn only_what_is_asked_for_is_kept() {
        check(
            r#"{"a": {"b": [1]}, "c": [{"d": 2}], "e": null}"#,
            &["a", "e"],
            r#"{"a":{"b":[1]},"e":null}"#,
        );
        check(r#"{"a": 1, "a": 2}"#, &["a"], r#"{"a":2}"#);
        check(r#" {"a": 1} "#, &[], "{}");
        check("[1]", &["a"], "[1]");
    }

    #[test]
    fn what_is_refused_is_refused_in_the_same_words() {
        let deep = format!("{{\"a\":{}", "[".repeat(200));
        let bad =
            [r#"{"a": 1e999}"#, r#"{"a": "\x"}"#, r#"{"a": tru}"#, r#"{"a": 1} 2"#, "{", &deep];
        for text in bad {
            let expected = parse(text).map(|_| ()).unwrap_err();
            assert_eq!(parse_members(text, &[]).map(|_| ()), Err(expected), "{text}");
        }
    }
}
