//! A field of the body: where a proof or a time stands that no header carries.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::Headers;
use crate::intake::payload::{FormField, member, range_in, unmarked};
use crate::json;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyField {
    /// Of a form, by its name.
    Form(String),
    /// Of JSON, by names and indices: `$.data['the key'][0]`.
    Json(Vec<FieldStep>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldStep {
    Name(String),
    Index(usize),
}

impl BodyField {
    /// What begins with `$` is a field of JSON, else a form's.
    pub fn parse(text: &str) -> Option<BodyField> {
        let Some(mut rest) = text.strip_prefix('$') else {
            return (!text.is_empty()).then(|| BodyField::Form(text.to_owned()));
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest)?;
            steps.push(step);
            rest = after;
        }
        (!steps.is_empty()).then_some(BodyField::Json(steps))
    }

    /// The text that the relay reads there; a number as it is written.
    pub(super) fn text(&self, headers: &Headers, body: &[u8]) -> Option<String> {
        let bytes = self.bytes(headers, body)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The same in the character set in which a form has it.
    pub(super) fn bytes(&self, headers: &Headers, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            BodyField::Form(name) => FormField::find(headers, body, name).value,
            BodyField::Json(steps) => {
                let root: &RawValue = serde_json::from_slice(json::unmarked(body)).ok()?;
                let node = steps.iter().try_fold(root, |node, step| children(node, step).pop())?;
                plain(node).map(|text| text.into_owned().into_bytes())
            }
        }
    }

    /// Each place where the field's text stands, without the quotes of JSON. What is no text is no
    /// such place.
    pub(super) fn ranges(&self, headers: &Headers, body: &[u8]) -> Vec<Range<usize>> {
        match self {
            BodyField::Form(name) => FormField::find(headers, body, name).ranges,
            BodyField::Json(steps) => {
                let Ok(body) = std::str::from_utf8(body) else { return Vec::new() };
                let Ok(root) = serde_json::from_str::<&RawValue>(unmarked(body)) else {
                    return Vec::new();
                };
                let mut nodes = vec![root];
                for step in steps {
                    nodes = nodes.into_iter().flat_map(|node| children(node, step)).collect();
                }
                let texts = nodes.into_iter().map(RawValue::get).filter(|it| it.starts_with('"'));
                let ranges = texts.map(|text| range_in(body, text));
                ranges.map(|range| range.start + 1..range.end - 1).collect()
            }
        }
    }

    /// Why no field can be found in the body, whatever its name is.
    pub(super) fn obstacle(&self, headers: &Headers, body: &[u8]) -> Option<String> {
        match self {
            BodyField::Form(_) => FormField::obstacle(headers, body),
            BodyField::Json(_) if std::str::from_utf8(body).is_err() => {
                Some("the body is not UTF-8, in which `field` is looked for".to_owned())
            }
            BodyField::Json(_) => {
                let read: Result<IgnoredAny, _> = serde_json::from_slice(json::unmarked(body));
                let hint = "the body is no JSON, in which `field` is looked for";
                read.is_err().then(|| hint.to_owned())
            }
        }
    }

    /// The body with this value in the field; none if there is no room for it.
    pub(super) fn put(&self, headers: &Headers, body: &[u8], value: &Value) -> Option<Vec<u8>> {
        match self {
            BodyField::Form(name) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                FormField::put(headers, body, (name, &text))
            }
            BodyField::Json(steps) => {
                let mut root: Value = serde_json::from_slice(json::unmarked(body)).ok()?;
                let slot = steps.iter().try_fold(&mut root, slot)?;
                *slot = value.clone();
                Some(root.to_string().into_bytes())
            }
        }
    }
}

/// As the source's file names it.
impl fmt::Display for BodyField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = match self {
            BodyField::Form(name) => return formatter.write_str(name),
            BodyField::Json(steps) => steps,
        };
        formatter.write_str("$")?;
        let is_plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        steps.iter().try_for_each(|step| match step {
            FieldStep::Name(name) if is_plain(name) => write!(formatter, ".{name}"),
            FieldStep::Name(name) => write!(formatter, "['{name}']"),
            FieldStep::Index(index) => write!(formatter, "[{index}]"),
        })
    }
}

/// `.name`, `['name']` or `[0]` at the front, and what follows.
fn step(rest: &str) -> Option<(FieldStep, &str)> {
    if let Some((name, after)) = member(rest) {
        return Some((FieldStep::Name(name.to_owned()), after));
    }
    let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
    Some((FieldStep::Index(index.parse().ok()?), after))
}

/// Objects that are not there are made.
fn slot<'n>(node: &'n mut Value, step: &FieldStep) -> Option<&'n mut Value> {
    if node.is_null() {
        *node = Value::Object(serde_json::Map::new());
    }
    match step {
        FieldStep::Name(name) => Some(node.as_object_mut()?.entry(name).or_insert(Value::Null)),
        FieldStep::Index(index) => node.get_mut(*index),
    }
}

/// A text without its quotes and escapes, a number or a boolean as it is written.
fn plain(node: &RawValue) -> Option<Cow<'_, str>> {
    let written = node.get();
    match written.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(written).ok().map(Cow::Owned),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(written)),
    }
}

/// All that is there: a key may be repeated, and then the last one counts.
fn children<'t>(node: &'t RawValue, step: &FieldStep) -> Vec<&'t RawValue> {
    let found = match (step, node.get().as_bytes().first()) {
        (FieldStep::Name(name), Some(b'{')) => node.deserialize_map(MemberValues(name)).ok(),
        (FieldStep::Index(index), Some(b'[')) => node.deserialize_seq(ElementValue(*index)).ok(),
        _ => None,
    };
    found.unwrap_or_default()
}

/// The first element of a list; none of an empty one or of what is no list.
pub(super) fn first_element(body: &[u8]) -> Option<&[u8]> {
    let body: &RawValue = serde_json::from_slice(json::unmarked(body)).ok()?;
    children(body, &FieldStep::Index(0)).pop().map(|element| element.get().as_bytes())
}

struct MemberValues<'n>(&'n str);

impl<'t> Visitor<'t> for MemberValues<'_> {
    type Value = Vec<&'t RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found.push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct ElementValue(usize);

impl<'t> Visitor<'t> for ElementValue {
    type Value = Vec<&'t RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(element) = list.next_element()? {
            if at == self.0 {
                found.push(element);
            }
            at += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, body: &str, expected: Option<&str>) {
        let field = BodyField::parse(field).unwrap();
        assert_eq!(field.text(&Headers::new(), body.as_bytes()).as_deref(), expected, "{body}");
    }

    #[track_caller]
    fn check_hidden(field: &str, body: &str, expected: &str) {
        let mut bytes = body.as_bytes().to_vec();
        for range in BodyField::parse(field).unwrap().ranges(&Headers::new(), body.as_bytes()) {
            bytes[range].fill(b'*');
        }
        assert_eq!(std::str::from_utf8(&bytes), Ok(expected));
    }

    #[test]
    fn a_field_is_found_in_a_form() {
        check("Key", "a=1&Key=x+y%21&b=2", Some("x y!"));
        check("a b", "a%20b=1\r\n", Some("1"));
        check("Key", "key=1&Keys=2", None);
        check("Key", "Key", None);
    }

    #[test]
    fn a_field_is_found_in_json_as_the_relay_reads_it() {
        check("$.a", r#"{"a":"x\u0041"}"#, Some("xA"));
        check("$.a['b c'][1].d", r#"{"a":{"b c":[0,{"d":12.50}]}}"#, Some("12.50"));
        check("$.a", r#"{"a":1,"a":2}"#, Some("2"));
        check("$.a.x", r#"{"a":{"x":1},"a":{}}"#, None);
        for none in ["{}", "[1]", r#"{"a":null}"#, r#"{"a":{}}"#, "{\"a\":1", ""] {
            check("$.a", none, None);
        }
    }

    #[test]
    fn only_a_path_of_names_and_indices_is_a_field() {
        for bad in ["", "$", "$..a", "$.a[*]", "$.a[-1]", "$.a[", "$x"] {
            assert_eq!(BodyField::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_place_of_the_field_can_be_overwritten() {
        check_hidden("Key", "Key=abc&x=abc&Key=%64&K%65y=d", "Key=***&x=abc&Key=***&K%65y=*");
        check_hidden(
            "$.k",
            r#"{"k":"a\"b","x":{"k":"a"},"k":"c"}"#,
            r#"{"k":"****","x":{"k":"a"},"k":"*"}"#,
        );
        check_hidden("$.k", r#"{"k":12}"#, r#"{"k":12}"#);
    }

    #[test]
    fn a_value_is_put_into_the_field() {
        let put = |field: &str, body: &str| {
            let field = BodyField::parse(field).unwrap();
            let body = field.put(&Headers::new(), body.as_bytes(), &"a b".into());
            body.map(|body| String::from_utf8(body).unwrap())
        };

        assert_eq!(put("K", "x=1&K=2&y=3").as_deref(), Some("x=1&y=3&K=a%20b"));
        assert_eq!(put("K", "").as_deref(), Some("K=a%20b"));
        assert_eq!(put("$.a.k", r#"{"a":{}}"#).as_deref(), Some(r#"{"a":{"k":"a b"}}"#));
        assert_eq!(put("$.a.k", r#"{"a":1}"#), None);
        assert_eq!(put("$.k", r#"{"b":1}"#).as_deref(), Some(r#"{"b":1,"k":"a b"}"#));
    }
}
