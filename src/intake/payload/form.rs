//! `application/x-www-form-urlencoded`: converts fields with nested and repeated names to JSON.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::error::{DecodeError, malformed};
use super::fields::{RawContent, RawField};
use super::json::{check_limits, weight, without_bom};
use super::limits::PayloadLimits;
use super::transfer::TransferEncoding;
use crate::json::without_lone_surrogates;

const FIELDS_MAX: usize = 10_000;

/// Names of all fields together: `a[b][c]` has three, each of which may become an object.
const NAMES_MAX: usize = 100_000;

/// All but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the decoded names and values in order. Invalid escapes stay unchanged.
pub fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(text.as_bytes()).into_owned()
}

/// Returns the names and values still encoded, in any character set; without `=` there is no value.
pub(in crate::intake) fn byte_pairs(body: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], Some(&pair[at + 1..])),
        None => (pair, None),
    })
}

/// Decodes `%XX` and `+`. Invalid escapes stay unchanged.
pub(in crate::intake) fn unescape_bytes(text: &[u8]) -> Vec<u8> {
    // Our own, in one pass and one allocation: form_urlencoded returns UTF-8 only, and
    // percent-encoding would need a copy of each value for `+`.
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => bytes.push(*byte),
        }
    }
    bytes
}

pub(in crate::intake) fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

/// Returns the fields of a urlencoded body.
pub(super) fn fields(body: &[u8]) -> Result<Vec<RawField<'static>>, DecodeError> {
    let fields = byte_pairs(body.trim_ascii_end()).map(|(name, value)| {
        let bytes = Cow::Owned(unescape_bytes(value.unwrap_or_default()));
        let (charset, encoding) = (None, TransferEncoding::Identity);
        let name = Cow::Owned(unescape_bytes(name));
        RawField { name, content: RawContent::Text { bytes, charset, encoding } }
    });
    // Stops after one too many, so that a refused form is not decoded to its end.
    let fields: Vec<_> = fields.take(FIELDS_MAX + 1).collect();
    if fields.len() > FIELDS_MAX {
        return Err(malformed(format!("the form has more than {FIELDS_MAX} fields")));
    }
    Ok(fields)
}

/// Converts the fields to a JSON object. A single field `payload` that holds JSON is that JSON instead.
pub(super) fn to_json(
    fields: Vec<(String, Value)>,
    json_fields: &[String],
    limits: &PayloadLimits,
) -> Result<String, DecodeError> {
    // GitHub, Slack and older Bitbucket webhooks can send their JSON so.
    if let [(name, Value::String(text))] = fields.as_slice()
        && name == "payload"
        && without_bom(text).trim_start().starts_with(['{', '['])
    {
        return Ok(without_bom(text).to_owned());
    }
    let (names, mut values): (Vec<String>, Vec<Value>) = fields.into_iter().unzip();
    let mut form = Map::new();
    let mut names_left = NAMES_MAX;
    for (at, name) in names.iter().enumerate() {
        let leaf = Value::from(at);
        let steps = steps(name, limits.depth_max);
        names_left = names_left.checked_sub(steps.len()).ok_or_else(|| {
            malformed(format!("the fields have more than {NAMES_MAX} names, as `a[b]` has two"))
        })?;
        let slot = form.entry(steps[0]).or_insert(Value::Null);
        if let Some(leaf) = put(slot, &steps[1..], leaf) {
            add(form.entry(name).or_insert(Value::Null), leaf);
        }
    }
    form.values_mut().for_each(|node| fill(node, &mut values));
    // The fields share the limit: each one alone could use all of it.
    let mut left = *limits;
    for name in json_fields {
        if let Some(value) = form.get_mut(name) {
            left.parsed_bytes_max -= parse_inside(value, &left)?;
        }
    }
    Ok(Value::Object(form).to_string())
}

/// Replaces a string that holds JSON by its value, and returns the value's memory. Other strings stay.
fn parse_inside(value: &mut Value, limits: &PayloadLimits) -> Result<usize, DecodeError> {
    let Value::String(text) = value else {
        return Ok(0);
    };
    check_limits(text, limits)?;
    let weight = weight(text, limits)?;
    let text = without_lone_surrogates(Cow::Borrowed(without_bom(text)));
    if let Ok(parsed) = serde_json::from_str(&text) {
        *value = parsed;
    }
    Ok(weight)
}

/// Splits a name: `a[b][]` is `a`, `b` and the empty step, which appends an element. Other names are one step.
fn steps(name: &str, depth_max: usize) -> Vec<&str> {
    let whole = || vec![name];
    let Some((first, rest)) = name.split_once('[') else {
        return whole();
    };
    let Some(rest) = rest.strip_suffix(']') else {
        return whole();
    };
    let mut steps = vec![first];
    steps.extend(rest.split("]["));
    let plain = !first.is_empty() && steps.iter().all(|step| !step.contains(['[', ']']));
    if plain && steps.len() < depth_max { steps } else { whole() }
}

/// Inserts a leaf, or returns it if its place has another shape.
// While the tree grows, its leaves are the numbers of fields: a file's value, which is an object,
// could otherwise be taken for a branch.
fn put(node: &mut Value, steps: &[&str], leaf: Value) -> Option<Value> {
    let Some((step, rest)) = steps.split_first() else {
        add(node, leaf);
        return None;
    };
    if node.is_null() {
        *node = if step.is_empty() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    }
    match node {
        Value::Object(members) if !step.is_empty() => {
            put(members.entry(*step).or_insert(Value::Null), rest, leaf)
        }
        Value::Array(items) if step.is_empty() => {
            items.push(Value::Null);
            put(items.last_mut()?, rest, leaf)
        }
        _ => Some(leaf),
    }
}

/// Adds a leaf to what is there: as a further element of a list, or in an object under the empty name.
fn add(node: &mut Value, leaf: Value) {
    match node {
        Value::Array(items) => items.push(leaf),
        Value::Object(members) => add(members.entry("").or_insert(Value::Null), leaf),
        Value::Null => *node = leaf,
        Value::Number(_) | Value::String(_) | Value::Bool(_) => {
            *node = Value::Array(vec![node.take(), leaf]);
        }
    }
}

/// Replaces the numbers of fields by their values. An object with the names 0, 1, … becomes a list.
fn fill(node: &mut Value, values: &mut [Value]) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, values)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| fill(member, values));
            if members.keys().enumerate().all(|(at, key)| *key == at.to_string()) {
                let items = std::mem::take(members);
                *node = Value::Array(items.into_iter().map(|(_, item)| item).collect());
            }
        }
        Value::Number(at) => {
            let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
            let value = at.and_then(|at| values.get_mut(at));
            *node = value.map(Value::take).unwrap_or_default();
        }
        Value::Null | Value::String(_) | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::payload::charset::TextReader;
    use crate::intake::payload::fields::{Declared, read};

    const LIMITS: PayloadLimits = PayloadLimits {
        bytes_max: 1_000,
        depth_max: 64,
        key_bytes_max: 1_000,
        parsed_bytes_max: 1 << 20,
    };

    fn json(body: &str) -> Result<String, DecodeError> {
        let declared = Declared { of_request: None, charsets_field: None };
        let fields = read(fields(body.as_bytes())?, declared, &mut TextReader::default());
        to_json(fields, &["json".to_owned()], &LIMITS)
    }

    #[track_caller]
    fn check(body: &str, expected: &str) {
        assert_eq!(json(body).as_deref(), Ok(expected), "{body}");
    }

    #[test]
    fn fields_are_strings_by_name() {
        check("a=1&b=x+y%20z&c&d=%C3%A9", r#"{"a":"1","b":"x y z","c":"","d":"é"}"#);
        check("a=100%&b=%zz&c=%ff", r#"{"a":"100%","b":"%zz","c":"�"}"#);
        check("", "{}");
    }

    #[test]
    fn single_payload_field_is_its_json() {
        check("payload=%7B%22a%22%3A1%7D", r#"{"a":1}"#);
        check("payload=plain", r#"{"payload":"plain"}"#);
        check("payload=%7B%7D&x=1", r#"{"payload":"{}","x":"1"}"#);
    }

    #[test]
    fn configured_json_field_is_parsed() {
        check("json=%7B%220%22:[{}]%7D&b={}", r#"{"json":{"0":[{}]},"b":"{}"}"#);
        check("json=no+json&json=", r#"{"json":["no json",""]}"#);
        check("json=%EF%BB%BF[1]", r#"{"json":[1]}"#);
        check(r#"json=["\ud83d"]"#, r#"{"json":["�"]}"#);
        assert!(json(&format!("json={}", "[".repeat(65))).is_err());
    }

    #[test]
    fn repeated_and_nested_names_become_lists_and_objects() {
        check("a=1&a=2&a=3", r#"{"a":["1","2","3"]}"#);
        check("a[]=1&a[]=2", r#"{"a":["1","2"]}"#);
        check("a[b]=1&a[c][d]=2", r#"{"a":{"b":"1","c":{"d":"2"}}}"#);
        check("a[0][x]=1&a[1][x]=2", r#"{"a":[{"x":"1"},{"x":"2"}]}"#);
    }

    #[test]
    fn field_without_a_place_keeps_its_written_name() {
        check("a=1&a[b]=2", r#"{"a":"1","a[b]":"2"}"#);
        check("a[b]=1&a[]=2&[x]=3&y[=4", r#"{"a":{"b":"1"},"a[]":"2","[x]":"3","y[":"4"}"#);
        check("a[b]=1&a=2&=3", r#"{"a":{"b":"1","":"2"},"":"3"}"#);
    }

    #[test]
    fn nesting_and_number_of_fields_are_bounded() {
        let deep = format!("a{}=1", "[b]".repeat(100));
        assert_eq!(json(&deep).unwrap(), format!("{{\"{}\":\"1\"}}", &deep[..301]));
        assert!(json(&"a=1&".repeat(10_001)).is_err());
    }
}
