//! Says in words for people why a query or a JSON body was not read. Texts of serde name types of Rust.

use std::error::Error;

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Error as PathError;

use super::error::ApiError;
use crate::json::Object;

/// Reads a JSON object from the text of a whole body.
pub(super) fn read_object<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let Object(object) = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| ApiError::BadRequest(of_json(&error.path().to_string(), error.inner())))?;
    let end = deserializer.end();
    end.map(|()| object).map_err(|error| ApiError::BadRequest(of_json("", &error)))
}

/// Explains the refusal of an extractor, whose sources have the mistake.
pub(super) fn explained(rejection: &(dyn Error + 'static)) -> ApiError {
    let mut next = Some(rejection);
    while let Some(error) = next {
        if let Some(mistake) = error.downcast_ref::<PathError<serde::de::value::Error>>() {
            let (path, text) = (mistake.path().to_string(), mistake.inner().to_string());
            return ApiError::BadRequest(explain(&path, &text).0);
        }
        if let Some(mistake) = error.downcast_ref::<PathError<serde_json::Error>>() {
            return ApiError::BadRequest(of_json(&mistake.path().to_string(), mistake.inner()));
        }
        if let Some(mistake) = error.downcast_ref::<serde_json::Error>() {
            return ApiError::BadRequest(of_json("", mistake));
        }
        next = error.source();
    }
    ApiError::BadRequest(format!("the request cannot be read: {rejection}"))
}

fn of_json(path: &str, error: &serde_json::Error) -> String {
    let whole = error.to_string();
    let (line, column) = (error.line(), error.column());
    let text = whole.strip_suffix(&format!(" at line {line} column {column}"));
    let text = text.unwrap_or(&whole);
    let place = format!(" (line {line}, column {column})");
    match error.classify() {
        Category::Data => {
            let (reason, needs_place) = explain(path, text);
            if needs_place { reason + &place } else { reason }
        }
        Category::Syntax | Category::Eof | Category::Io => {
            format!("the body is not JSON: {text}{place}")
        }
    }
}

/// Returns the reason, and whether a place in the text helps to find what it is about.
fn explain(path: &str, text: &str) -> (String, bool) {
    let path = path.trim_start_matches(['.', '?']);
    if let Some((key, known)) = text.strip_prefix("unknown field ").and_then(quoted) {
        let known = match words(known) {
            known if known.is_empty() => "none is known here".to_owned(),
            known => format!("known here: {}", known.join(", ")),
        };
        return (format!("unknown key `{key}`; {known}"), true);
    }
    // serde has the key in its text, or as the last part of the path.
    if let Some((key, _)) = text.strip_prefix("missing field ").and_then(quoted) {
        let inside = path.strip_suffix(key).unwrap_or(path).trim_end_matches('.');
        let dot = if inside.is_empty() { "" } else { "." };
        return (format!("`{inside}{dot}{key}` is missing"), false);
    }
    if let Some((key, _)) = text.strip_prefix("duplicate field ").and_then(quoted) {
        return (format!("`{key}` is there more than once"), false);
    }
    if path.is_empty() {
        return (value(text, "value"), false);
    }
    let last = path.rsplit(['.', '[']).find(|part| !part.ends_with(']')).unwrap_or(path);
    // A text of ours may name the key itself.
    let named = format!("`{last}`");
    let reason = value(text, last);
    (if reason.starts_with(&named) { reason } else { format!("`{path}`: {reason}") }, false)
}

/// Explains why a value is not the right one. `what` is its key.
fn value(text: &str, what: &str) -> String {
    if let Some((word, known)) = text.strip_prefix("unknown variant ").and_then(quoted) {
        let known = words(known);
        let advice = match known.as_slice() {
            [only] => format!("write {only}"),
            _ => format!("write one of {}", known.join(", ")),
        };
        return format!("there is no {what} {word}; {advice}");
    }
    if let Some((found, wanted)) = text.strip_prefix("invalid type: ").and_then(expectation) {
        return format!("{} is expected, not {}", named_type(wanted), json_type(found));
    }
    if let Some((_, wanted)) = text.strip_prefix("invalid value: ").and_then(expectation) {
        return format!("{} is expected", named_type(wanted));
    }
    // What the standard library says of a parameter that is no number, and no truth value.
    match text {
        "provided string was not `true` or `false`" => "write true or false".to_owned(),
        "invalid digit found in string" => "write a whole number".to_owned(),
        "number too large to fit in target type" => "this number is too large".to_owned(),
        "number too small to fit in target type" => "this number is too small".to_owned(),
        other => other.to_owned(),
    }
}

fn expectation(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(", expected ")
}

/// Splits a text that begins with something in backquotes.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('`')?.split_once('`')
}

/// Returns the names that a text has in backquotes.
fn words(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Names what serde expects of a value.
fn named_type(wanted: &str) -> &str {
    match wanted {
        "a string" | "a borrowed string" | "string or map" | "variant identifier" => "a text",
        "a boolean" => "true or false",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 on",
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "a JSON object",
        other => other,
    }
}

/// Names the type of a value without the value, which may be a secret at the wrong place.
fn json_type(found: &str) -> &'static str {
    match found.split(' ').next().unwrap_or_default() {
        "string" | "character" => "a text",
        "integer" | "floating" | "number" => "a number",
        "boolean" => "true or false",
        "sequence" => "a list",
        "map" => "an object",
        _ => "null",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZero;

    use serde::Deserialize;

    use super::*;
    use crate::event::{EventId, State};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ReadBody {
        #[expect(dead_code, reason = "only read")]
        name: String,
        #[expect(dead_code, reason = "only read")]
        state: Option<State>,
        #[expect(dead_code, reason = "only read")]
        limit: Option<u16>,
        #[expect(dead_code, reason = "only read")]
        least: Option<NonZero<u32>>,
        #[expect(dead_code, reason = "only read")]
        event: Option<EventId>,
        #[serde(default)]
        #[expect(dead_code, reason = "only read")]
        parts: Vec<Object<ReadPart>>,
        #[serde(default)]
        #[expect(dead_code, reason = "only read")]
        headers: BTreeMap<String, String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ReadPart {
        #[expect(dead_code, reason = "only read")]
        count: u64,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ReadNothing {}

    fn check<T: DeserializeOwned + std::fmt::Debug>(body: &str, reason: &str) {
        let refusal = read_object::<T>(body.as_bytes()).unwrap_err();
        assert_eq!(refusal, ApiError::BadRequest(reason.to_owned()), "{body}");
    }

    #[test]
    fn mistake_in_a_body_is_named_with_its_key_and_what_to_write() {
        let order = check::<ReadBody>;
        order("{}", "`name` is missing");
        order(
            r#"{"nam": 1}"#,
            "unknown key `nam`; known here: name, state, limit, least, event, parts, headers \
             (line 1, column 6)",
        );
        check::<ReadNothing>(
            r#"{"a": 1}"#,
            "unknown key `a`; none is known here (line 1, column 4)",
        );
        order(r#"{"name": "a", "name": "b"}"#, "`name` is there more than once");
        order(r#"{"name": 5}"#, "`name`: a text is expected, not a number");
        order(r#"{"name": ["hunter2"]}"#, "`name`: a text is expected, not a list");
        order(
            r#"{"state": "ded"}"#,
            "`state`: there is no state ded; write one of queued, delivered, ignored, held, dead",
        );
        order(
            r#"{"limit": "7"}"#,
            "`limit`: a whole number from 0 to 65535 is expected, not a text",
        );
        order(r#"{"limit": -7}"#, "`limit`: a whole number from 0 to 65535 is expected");
        order(r#"{"least": 0}"#, "`least`: a whole number from 1 to 4294967295 is expected");
        order(r#"{"parts": [{}]}"#, "`parts[0].count` is missing");
        order(
            r#"{"parts": [{"count": null}]}"#,
            "`parts[0].count`: a whole number from 0 on is expected, not null",
        );
        order(r#"{"headers": {"a": true}}"#, "`headers.a`: a text is expected, not true or false");
        order("[]", "a JSON object is expected");
    }

    #[test]
    fn body_that_is_not_json_is_called_so() {
        let order = check::<ReadBody>;
        order("{", "the body is not JSON: EOF while parsing an object (line 1, column 1)");
        order("{\n\"name\" 1}", "the body is not JSON: expected `:` (line 2, column 8)");
        order(
            "{\"name\":\"a\"} x",
            "the body is not JSON: trailing characters (line 1, column 14)",
        );
    }
}
