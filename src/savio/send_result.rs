//! Result of sending a request to Savio.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::error::{Error, ErrorDetails};
use crate::json;

/// Number of bytes that are kept of a response's text.
pub const TEXT_BYTES_MAX: usize = 4096;

#[derive(Debug, Clone, PartialEq)]
pub enum SendResult {
    Reply(ApiResponse),
    /// Not sent, since the token would have been sent unencrypted to an address that is not
    /// private.
    Withheld {
        reason: String,
    },
    /// Not sent, since no connection could be made.
    NotSent {
        reason: String,
    },
    /// Sent, at least in part, without a response: whether it arrived is unknown.
    NoReply {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct ApiResponse {
    pub status: u16,
    /// The header as received; several are joined by commas.
    pub retry_after: Option<String>,
    pub content: BodyKind,
    /// The body's first 4 KiB, without the token.
    pub text: String,
}

/// Form of a response's body.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyKind {
    Empty,
    /// A JSON object, with its `id` if that is a number or a short text.
    Object {
        id: Option<Value>,
    },
    /// A body that ended early or was too long; `is_declared_json` if its content type is JSON.
    Cut {
        is_declared_json: bool,
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

    /// Text of the response, or the reason why there is none.
    pub fn into_text(self) -> String {
        match self {
            SendResult::Reply(reply) => reply.text,
            SendResult::Withheld { reason }
            | SendResult::NotSent { reason }
            | SendResult::NoReply { reason } => reason,
        }
    }

    /// What a caller is told of an answer that is not the one that it asked for.
    pub fn into_error(self, now: Timestamp) -> Error {
        let reply = match self {
            SendResult::Reply(reply) => reply,
            SendResult::Withheld { reason } => return Error::Insecure { reason },
            SendResult::NotSent { reason } => return Error::Unreachable { reason },
            SendResult::NoReply { reason } => return Error::NoResponse { reason },
        };
        let (status, retry_after) = (reply.status, reply.requested_wait(now));
        let refusal = ErrorDetails::read(&reply.text);
        match status {
            401 => Error::Unauthorized { details: refusal.to_string() },
            404 => Error::NotFound { details: refusal.to_string() },
            429 => Error::Throttled { retry_after },
            408 | 425 | 500.. => {
                Error::ServerError { status, retry_after, details: refusal.to_string() }
            }
            400..=499 => Error::Refused { status, refusal },
            _ => Error::UnexpectedResponse {
                status,
                reason: "an answer of this kind is none of Savio's: is the base URL right?".into(),
            },
        }
    }
}

impl ApiResponse {
    /// Returns the wait that Savio requests, if any.
    pub fn requested_wait(&self, now: Timestamp) -> Option<Duration> {
        self.retry_after.as_deref().and_then(|text| requested_wait(text, now))
    }
}

/// Parses a `Retry-After` header (RFC 9110, section 10.2.3): seconds or an HTTP date. Of several
/// values, the longest counts.
// Some servers send fractions of a second. A proxy may add a header of its own to that of the
// server behind it.
fn requested_wait(text: &str, now: Timestamp) -> Option<Duration> {
    // A date has a comma of its own after the day of the week: two neighbouring values may be one
    // date.
    let values: Vec<&str> = text.split(',').map(str::trim).collect();
    let pairs = values.windows(2).map(|pair| pair.join(", "));
    let dates = values.iter().map(ToString::to_string).chain(pairs);
    let dates = dates.filter_map(|date| until(&date, now));
    values.iter().filter_map(|value| seconds(value)).chain(dates).max()
}

fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    // Rust would also parse "1e3", "inf" and "NaN".
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
            return BodyKind::Cut { is_declared_json: says_json };
        }
        if bytes.trim_ascii().is_empty() {
            return BodyKind::Empty;
        }
        match serde_json::from_slice::<Map<String, Value>>(json::without_bom(bytes)) {
            Ok(mut object) => BodyKind::Object { id: object.remove("id").filter(is_id) },
            Err(_) => BodyKind::Other,
        }
    }

    /// Returns whether this is a page of a list. Of a body that was cut off, the beginning decides.
    pub(super) fn has_results(bytes: &[u8], is_whole: bool) -> bool {
        if !is_whole {
            let begins = |key: &str| bytes.windows(key.len()).any(|part| part == key.as_bytes());
            return bytes.trim_ascii_start().starts_with(b"{") && begins("\"results\"");
        }
        let object = serde_json::from_slice::<Map<String, Value>>(json::without_bom(bytes));
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
    fn id_of_an_object_is_kept() {
        check(r#"{"id": 7}"#, &BodyKind::Object { id: Some(json!(7)) });
        check(r#"{"id": "f-7"}"#, &BodyKind::Object { id: Some(json!("f-7")) });
        check(r#"{"id": null}"#, &BodyKind::Object { id: None });
        check(r#"{"id": [1]}"#, &BodyKind::Object { id: None });
        check(r#"{"name": "Acme"}"#, &BodyKind::Object { id: None });
        check("\u{feff}{\"id\": 7}", &BodyKind::Object { id: Some(json!(7)) });
        check(&format!(r#"{{"id": "{}"}}"#, "7".repeat(129)), &BodyKind::Object { id: None });
    }

    #[test]
    fn fraction_of_a_second_is_kept() {
        let now = Timestamp::UNIX_EPOCH;
        let check = |text, seconds| {
            assert_eq!(requested_wait(text, now), Some(Duration::from_secs_f64(seconds)), "{text}");
        };
        check("1.5", 1.5);
        check("0.25, 1", 1.0);
        check("1, 1.5", 1.5);
        check("Thu, 01 Jan 1970 00:00:10 GMT, 1.5", 10.0);
        assert_eq!(requested_wait("soon", now), None);
    }

    #[test]
    fn bodies_that_are_no_objects_are_distinguished() {
        check("", &BodyKind::Empty);
        check(" \r\n", &BodyKind::Empty);
        check("<html>Sign in</html>", &BodyKind::Other);
        check("[]", &BodyKind::Other);
        check("null", &BodyKind::Other);
        check(&"{\"a\":".repeat(1000), &BodyKind::Other);
    }
}
