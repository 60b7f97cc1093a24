//! What happened to a request that was sent to Savio.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::json;

/// How much of an answer's text is kept.
pub const TEXT_BYTES_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq)]
pub enum SendResult {
    Reply(ApiResponse),
    /// It was not sent: the token would have gone in clear to an address that is not private.
    Withheld {
        reason: String,
    },
    /// No connection was made, so not one byte of it has left.
    NotSent {
        reason: String,
    },
    /// It was sent, or a part of it, and nobody knows whether it arrived.
    NoReply {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct ApiResponse {
    pub status: u16,
    /// The header as it came.
    pub retry_after: Option<String>,
    pub content: BodyKind,
    /// The body's first 4 KiB, without the token.
    pub text: String,
}

/// What the body of an answer is.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyKind {
    Empty,
    /// A JSON object; its `id`, if it is a number or a short text.
    Object {
        id: Option<Value>,
    },
    /// The connection ended before the body did, or the body was too long to be read.
    Cut {
        says_json: bool,
    },
    Other,
}

impl SendResult {
    pub fn status(&self) -> Option<u16> {
        match self {
            SendResult::Reply(reply) => Some(reply.status),
            SendResult::Withheld { .. }
            | SendResult::NotSent { .. }
            | SendResult::NoReply { .. } => None,
        }
    }

    /// Savio's words, or why there are none.
    pub fn into_text(self) -> String {
        match self {
            SendResult::Reply(reply) => reply.text,
            SendResult::Withheld { reason }
            | SendResult::NotSent { reason }
            | SendResult::NoReply { reason } => reason,
        }
    }
}

impl ApiResponse {
    /// How long Savio asks to wait.
    pub fn wait_asked(&self, now: Timestamp) -> Option<Duration> {
        self.retry_after.as_deref().and_then(|text| wait_asked(text, now))
    }
}

/// A `Retry-After` header: seconds, of some servers with a fraction, or an HTTP date. Of several, such as one
/// of a proxy and one of what is behind it, the longest counts.
pub(super) fn wait_asked(text: &str, now: Timestamp) -> Option<Duration> {
    // A date may have a comma of its own, after the day of the week.
    let values: Vec<&str> = text.split(',').map(str::trim).collect();
    let pairs = values.windows(2).map(|pair| pair.join(", "));
    let dates = values.iter().map(ToString::to_string).chain(pairs);
    let dates = dates.filter_map(|date| until(&date, now));
    values.iter().filter_map(|value| seconds(value)).chain(dates).max()
}

fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let seconds: f64 = text.parse().ok()?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

fn until(text: &str, now: Timestamp) -> Option<Duration> {
    let date = Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

impl BodyKind {
    pub(super) fn of(bytes: &[u8], is_whole: bool, says_json: bool) -> BodyKind {
        if !is_whole {
            return BodyKind::Cut { says_json };
        }
        if bytes.trim_ascii().is_empty() {
            return BodyKind::Empty;
        }
        match serde_json::from_slice::<Map<String, Value>>(json::unmarked(bytes)) {
            Ok(mut object) => BodyKind::Object { id: object.remove("id").filter(is_id) },
            Err(_) => BodyKind::Other,
        }
    }

    /// Whether it is a page of a list of Savio's; of a page that was cut off only the beginning is seen.
    pub(super) fn has_results(bytes: &[u8], is_whole: bool) -> bool {
        if !is_whole {
            let begins = |key: &str| bytes.windows(key.len()).any(|part| part == key.as_bytes());
            return bytes.trim_ascii_start().starts_with(b"{") && begins("\"results\"");
        }
        let object = serde_json::from_slice::<Map<String, Value>>(json::unmarked(bytes));
        object.is_ok_and(|object| object.get("results").is_some_and(Value::is_array))
    }
}

fn is_id(value: &Value) -> bool {
    const LENGTH_MAX: usize = 128;
    match value {
        Value::Number(_) => true,
        Value::String(text) => text.len() <= LENGTH_MAX,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(body: &str, expected: &BodyKind) {
        assert_eq!(&BodyKind::of(body.as_bytes(), true, true), expected, "{body}");
    }

    #[test]
    fn the_id_of_an_object_is_kept() {
        check(r#"{"id": 7}"#, &BodyKind::Object { id: Some(json!(7)) });
        check(r#"{"id": "f-7"}"#, &BodyKind::Object { id: Some(json!("f-7")) });
        check(r#"{"id": null}"#, &BodyKind::Object { id: None });
        check(r#"{"id": [1]}"#, &BodyKind::Object { id: None });
        check(r#"{"name": "Acme"}"#, &BodyKind::Object { id: None });
        check("\u{feff}{\"id\": 7}", &BodyKind::Object { id: Some(json!(7)) });
        check(&format!(r#"{{"id": "{}"}}"#, "7".repeat(129)), &BodyKind::Object { id: None });
    }

    #[test]
    fn fraction_of_a_second_is_waited_for() {
        let now = Timestamp::UNIX_EPOCH;
        let check = |text, seconds| {
            assert_eq!(wait_asked(text, now), Some(Duration::from_secs_f64(seconds)), "{text}");
        };
        check("1.5", 1.5);
        check("0.25, 1", 1.0);
        check("1, 1.5", 1.5);
        check("Thu, 01 Jan 1970 00:00:10 GMT, 1.5", 10.0);
        assert_eq!(wait_asked("soon", now), None);
    }

    #[test]
    fn what_is_no_object_is_told_apart() {
        check("", &BodyKind::Empty);
        check(" \r\n", &BodyKind::Empty);
        check("<html>Sign in</html>", &BodyKind::Other);
        check("[]", &BodyKind::Other);
        check("null", &BodyKind::Other);
        check(&"{\"a\":".repeat(1000), &BodyKind::Other);
    }
}
