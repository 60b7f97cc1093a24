//! A field of the body that holds a credential, a time, or a part of the signed message.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::Headers;
use crate::intake::payload::{FormField, member, range_in, without_bom};
use crate::json;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyField {
    /// A field of a form, by its name.
    Form(String),
    /// A value of JSON, by names and indices: `$.data['the key'][0]`.
    Json(Vec<FieldStep>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldStep {
    Name(String),
    Index(usize),
}

impl BodyField {
    /// Parses a path in JSON, which begins with `$`, or the name of a form field.
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

    /// Returns the text of the field; a number as it is written. Of repeated fields the last counts.
    pub(super) fn text(&self, headers: &Headers, body: &[u8]) -> Option<String> {
        let bytes = self.bytes(headers, body)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the bytes of the field, in the character set of the form.
    pub(super) fn bytes(&self, headers: &Headers, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            BodyField::Form(name) => FormField::find(headers, body, name).value,
            BodyField::Json(steps) => {
                // As `RawValue`, which allocates nothing: the body is not authenticated yet, and
                // values may take 160 times its size.
                let root: &RawValue = serde_json::from_slice(json::without_bom(body)).ok()?;
                let node = steps.iter().try_fold(root, |node, step| children(node, step).pop())?;
                plain(node).map(|text| text.into_owned().into_bytes())
            }
        }
    }

    /// Returns all places of the field's text, without the quotes of JSON. Values that are no strings have none.
    pub(super) fn ranges(&self, headers: &Headers, body: &[u8]) -> Vec<Range<usize>> {
        match self {
            BodyField::Form(name) => FormField::find(headers, body, name).ranges,
            BodyField::Json(steps) => {
                let Ok(body) = std::str::from_utf8(body) else { return Vec::new() };
                let texts = nodes(steps, body).into_iter().map(RawValue::get).filter(is_string);
                let ranges = texts.map(|text| range_in(body, text));
                ranges.map(|range| range.start + 1..range.end - 1).collect()
            }
        }
    }

    /// Returns whether the field is present and `ranges` has all its values: in JSON, whether each
    /// is a string.
    pub(super) fn can_be_overwritten(&self, headers: &Headers, body: &[u8]) -> bool {
        match self {
            BodyField::Form(_) => !self.ranges(headers, body).is_empty(),
            BodyField::Json(steps) => {
                let nodes = std::str::from_utf8(body).map(|body| nodes(steps, body));
                let nodes = nodes.unwrap_or_default();
                !nodes.is_empty() && nodes.into_iter().all(|node| is_string(&node.get()))
            }
        }
    }

    /// Returns why the body has no fields at all, if that is so.
    pub(super) fn obstacle(&self, headers: &Headers, body: &[u8]) -> Option<String> {
        match self {
            BodyField::Form(_) => FormField::obstacle(headers, body),
            BodyField::Json(_) if std::str::from_utf8(body).is_err() => {
                Some("the body is not UTF-8, in which `field` is looked for".to_owned())
            }
            BodyField::Json(_) => {
                let read: Result<IgnoredAny, _> = serde_json::from_slice(json::without_bom(body));
                let hint = "the body is no JSON, in which `field` is looked for";
                read.is_err().then(|| hint.to_owned())
            }
        }
    }

    /// Returns the body with this value in the field; none if it has no place for it.
    pub(super) fn put(&self, headers: &Headers, body: &[u8], value: &Value) -> Option<Vec<u8>> {
        match self {
            BodyField::Form(name) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                FormField::put(headers, body, (name, &text))
            }
            BodyField::Json(steps) => {
                let mut root: Value = serde_json::from_slice(json::without_bom(body)).ok()?;
                let slot = steps.iter().try_fold(&mut root, slot)?;
                *slot = value.clone();
                Some(root.to_string().into_bytes())
            }
        }
    }
}

/// The notation of the source's file.
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

/// Splits `.name`, `['name']` or `[0]` off the front.
fn step(rest: &str) -> Option<(FieldStep, &str)> {
    if let Some((name, after)) = member(rest) {
        return Some((FieldStep::Name(name.to_owned()), after));
    }
    let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
    Some((FieldStep::Index(index.parse().ok()?), after))
}

/// Finds the place of a value, and creates objects on the way.
fn slot<'n>(node: &'n mut Value, step: &FieldStep) -> Option<&'n mut Value> {
    if node.is_null() {
        *node = Value::Object(serde_json::Map::new());
    }
    match step {
        FieldStep::Name(name) => Some(node.as_object_mut()?.entry(name).or_insert(Value::Null)),
        FieldStep::Index(index) => node.get_mut(*index),
    }
}

/// Returns a string without quotes and escapes, a number or boolean as it is written.
fn plain(node: &RawValue) -> Option<Cow<'_, str>> {
    let written = node.get();
    match written.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(written).ok().map(Cow::Owned),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(written)),
    }
}

fn is_string(written: &&str) -> bool {
    written.starts_with('"')
}

/// Returns all values at this place.
// All of a repeated key, not only the last, which counts: none may stay in what is stored.
fn nodes<'t>(steps: &[FieldStep], body: &'t str) -> Vec<&'t RawValue> {
    let Ok(root) = serde_json::from_str::<&RawValue>(without_bom(body)) else { return Vec::new() };
    steps.iter().fold(vec![root], |nodes, step| {
        nodes.into_iter().flat_map(|node| children(node, step)).collect()
    })
}

/// Returns all children of this name or index. If a key is repeated, the last value counts.
fn children<'t>(node: &'t RawValue, step: &FieldStep) -> Vec<&'t RawValue> {
    let found = match (step, node.get().as_bytes().first()) {
        (FieldStep::Name(name), Some(b'{')) => node.deserialize_map(MemberValues(name)).ok(),
        (FieldStep::Index(index), Some(b'[')) => node.deserialize_seq(ElementValue(*index)).ok(),
        _ => None,
    };
    found.unwrap_or_default()
}

/// Returns the first element of a list; none if the body is no list or empty.
pub(super) fn first_element(body: &[u8]) -> Option<&[u8]> {
    let body: &RawValue = serde_json::from_slice(json::without_bom(body)).ok()?;
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
    fn check_redacted(field: &str, body: &str, expected: &str) {
        let mut bytes = body.as_bytes().to_vec();
        for range in BodyField::parse(field).unwrap().ranges(&Headers::new(), body.as_bytes()) {
            bytes[range].fill(b'*');
        }
        assert_eq!(std::str::from_utf8(&bytes), Ok(expected));
    }

    #[test]
    fn field_is_found_in_a_form() {
        check("Key", "a=1&Key=x+y%21&b=2", Some("x y!"));
        check("a b", "a%20b=1\r\n", Some("1"));
        check("Key", "key=1&Keys=2", None);
        check("Key", "Key", None);
    }

    #[test]
    fn field_is_found_in_json() {
        check("$.a", r#"{"a":"x\u0041"}"#, Some("xA"));
        check("$.a['b c'][1].d", r#"{"a":{"b c":[0,{"d":12.50}]}}"#, Some("12.50"));
        check("$.a", r#"{"a":1,"a":2}"#, Some("2"));
        check("$.a.x", r#"{"a":{"x":1},"a":{}}"#, None);
        for none in ["{}", "[1]", r#"{"a":null}"#, r#"{"a":{}}"#, "{\"a\":1", ""] {
            check("$.a", none, None);
        }
    }

    #[test]
    fn path_without_names_and_indices_is_no_field() {
        for bad in ["", "$", "$..a", "$.a[*]", "$.a[-1]", "$.a[", "$x"] {
            assert_eq!(BodyField::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_place_of_a_field_is_overwritten() {
        check_redacted("Key", "Key=abc&x=abc&Key=%64&K%65y=d", "Key=***&x=abc&Key=***&K%65y=*");
        check_redacted(
            "$.k",
            r#"{"k":"a\"b","x":{"k":"a"},"k":"c"}"#,
            r#"{"k":"****","x":{"k":"a"},"k":"*"}"#,
        );
        check_redacted("$.k", r#"{"k":12}"#, r#"{"k":12}"#);
    }

    #[test]
    fn value_is_put_into_a_field() {
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
