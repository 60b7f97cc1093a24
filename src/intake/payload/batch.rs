//! Finds the events in a body that holds many: a path of names, then all elements of a list.

use std::fmt;
use std::ops::Range;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{DecodeError, not_json};
use super::limits::EVENTS_MAX;

/// A path such as `$[*]` or `$.data.events[*]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPath {
    members: Vec<String>,
}

impl BatchPath {
    /// Parses a path of names with a final `[*]`.
    // Not any query of the mapping language: events are stored as ranges of the body's text, and
    // only such a path can be followed without parsing the values.
    pub fn parse(query: &str) -> Option<BatchPath> {
        let names = query.trim().strip_prefix('$')?.strip_suffix("[*]")?;
        Some(BatchPath { members: members(names)? })
    }

    /// Returns the ranges of the events. A single event in place of the list counts as a list of one.
    pub(super) fn ranges(&self, text: &str) -> Result<Vec<Range<usize>>, DecodeError> {
        let mut node: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        for name in &self.members {
            node = find(node, name)?.ok_or_else(|| {
                DecodeError::Malformed(format!(
                    "no `{name}` where the list of events is looked for"
                ))
            })?;
        }
        if !node.get().starts_with('[') {
            return Ok(vec![range_in(text, node.get())]);
        }
        let (elements, count) =
            node.deserialize_seq(ElementsVisitor).map_err(|error| not_json(&error))?;
        if count > EVENTS_MAX {
            return Err(DecodeError::TooManyEvents(count));
        }
        Ok(elements.iter().map(|element| range_in(text, element.get())).collect())
    }
}

/// Splits `.name` or `['name']` off the front.
pub(in crate::intake) fn member(rest: &str) -> Option<(&str, &str)> {
    if let Some(rest) = rest.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let name = &rest[..end];
        return (!name.is_empty() && name.chars().all(plain)).then_some((name, &rest[end..]));
    }
    let rest = rest.strip_prefix('[')?;
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (name, after) = rest[1..].split_once(quote)?;
    let after = after.strip_prefix(']')?;
    (!name.contains('\\')).then_some((name, after))
}

/// Parses the names of members that lead from the root to a value, such as `.data['the key']`.
pub(in crate::intake) fn members(mut rest: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while !rest.is_empty() {
        let (name, after) = member(rest)?;
        names.push(name.to_owned());
        rest = after;
    }
    Some(names)
}

fn find<'t>(node: &'t RawValue, name: &str) -> Result<Option<&'t RawValue>, DecodeError> {
    if !node.get().starts_with('{') {
        return Ok(None);
    }
    node.deserialize_map(MemberVisitor(name)).map_err(|error| not_json(&error))
}

/// Returns the range of `part`, which must be a slice of `text` and not a copy.
pub(in crate::intake) fn range_in(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

struct MemberVisitor<'n>(&'n str);

impl<'t> Visitor<'t> for MemberVisitor<'_> {
    type Value = Option<&'t RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // To the end, although the name may be found earlier: of repeated names the last counts, as
        // for serde_json's `Value`, and the rest of the text must be valid too.
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Collects the first elements up to the limit, and counts all of them for the error.
struct ElementsVisitor;

impl<'t> Visitor<'t> for ElementsVisitor {
    type Value = (Vec<&'t RawValue>, usize);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < EVENTS_MAX {
            let Some(element) = list.next_element()? else {
                let count = elements.len();
                return Ok((elements, count));
            };
            elements.push(element);
        }
        let mut count = elements.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((elements, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, text: &str, expected: Result<&[&str], &str>) {
        let found = BatchPath::parse(query).expect("a query").ranges(text);
        let found = found.map_err(|error| error.to_string());
        let parts = found.map(|ranges| ranges.into_iter().map(|r| &text[r]).collect::<Vec<_>>());
        assert_eq!(parts.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn elements_are_ranges_of_the_text() {
        check("$[*]", " [ {\"a\": 1.0} ,2]", Ok(&["{\"a\": 1.0}", "2"]));
        check("$.events[*]", r#"{"x":[9],"events":[{"é":1},[2]]}"#, Ok(&["{\"é\":1}", "[2]"]));
        check("$['a b'].c[*]", r#"{"a b":{"c":[3]}}"#, Ok(&["3"]));
        check("$[*]", "[]", Ok(&[]));
    }

    #[test]
    fn single_event_counts_as_a_list_of_one() {
        check("$[*]", r#"{"a":1}"#, Ok(&[r#"{"a":1}"#]));
    }

    #[test]
    fn missing_list_is_an_error() {
        let reason = "no `events` where the list of events is looked for";
        check("$.events[*]", r#"{"a":1}"#, Err(reason));
        check("$.events[*]", "7", Err(reason));
        check("$[*]", "[1", Err("not JSON: EOF while parsing a list at line 1 column 2"));
    }

    #[test]
    fn more_than_1000_events_are_refused() {
        let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        let each = BatchPath::parse("$[*]").unwrap();

        assert_eq!(each.ranges(&list(1_000)).unwrap().len(), 1_000);
        assert_eq!(each.ranges(&list(1_001)), Err(DecodeError::TooManyEvents(1_001)));
    }

    #[test]
    fn other_queries_are_no_batch_path() {
        for query in ["$", "$.a", "$..a[*]", "$[0][*]", "$.a[*].b", "a[*]", "$[?@.a][*]", "$.[*]"] {
            assert_eq!(BatchPath::parse(query), None, "{query}");
        }
    }
}
