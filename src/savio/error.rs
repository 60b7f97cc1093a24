//! Errors of typed calls, one variant for each reaction of a caller.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::transport::begins_as_html;

/// Length to which a response that is not JSON is cut in messages.
const TEXT_CHARS_MAX: usize = 200;

/// Failure of a call. Texts come from Savio, shortened and without the token.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// 400, and any 4xx that has no variant of its own: the same call will be refused again.
    #[error("Savio refused it ({status}): {refusal}")]
    Refused { status: u16, refusal: ErrorDetails },
    /// 401: the token is missing or wrong, and every other call will be refused too.
    #[error("Savio rejected the token (401): {details}")]
    Unauthorized { details: String },
    /// 404: the record does not exist, or the base URL is wrong.
    #[error("Savio has no such thing (404): {details}")]
    NotFound { details: String },
    /// 429: the rate limit is exceeded. Nothing was done, and the call may be repeated later.
    #[error("Savio asks for fewer requests (429){}", after(*.retry_after))]
    Throttled { retry_after: Option<Duration> },
    /// 5xx, 408 and 425: Savio failed. The call may have taken effect.
    #[error("Savio returned a server error ({status}){}: {details}", after(*.retry_after))]
    ServerError { status: u16, retry_after: Option<Duration>, details: String },
    /// No connection could be made (DNS, TCP or TLS). Nothing was sent.
    #[error("{reason}")]
    Unreachable { reason: String },
    /// Nothing was sent, since the token would have been sent unencrypted to an address that is not
    /// private.
    #[error("the token is not sent: {reason}")]
    Insecure { reason: String },
    /// The call was sent and got no response: it timed out, or the connection broke.
    #[error("{reason}")]
    NoResponse { reason: String },
    /// A response that is not documented: HTML, cut off, too long, of another type, a redirect.
    /// With a 2xx, the call may have taken effect.
    #[error("the answer ({status}) is not as Savio's: {reason}")]
    UnexpectedResponse { status: u16, reason: String },
    /// The URL of a list's next page was not followed.
    #[error("the list's next page {0}")]
    NextPage(NextPageError),
}

/// Reason for which a next page is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NextPageError {
    #[error("is no URL")]
    NoUrl,
    /// Another scheme, host or port, to which the token must not be sent.
    #[error("is on another server, {0}")]
    Foreign(String),
    #[error("was read before: the pages go round in circles")]
    Circle,
    #[error("would be one more than the most that are read, {0}")]
    TooMany(usize),
}

impl Error {
    /// Returns whether the same call may succeed later without any change on this side.
    pub fn is_transient(&self) -> bool {
        let is_unexpected = matches!(self, Error::UnexpectedResponse { .. } | Error::NextPage(_));
        !is_unexpected && !self.is_refusal()
    }

    /// Whether the call, the token or the address is wrong, so that the same call is turned down again.
    pub fn is_refusal(&self) -> bool {
        match self {
            Error::Refused { .. }
            | Error::Unauthorized { .. }
            | Error::NotFound { .. }
            | Error::Insecure { .. } => true,
            Error::Throttled { .. }
            | Error::ServerError { .. }
            | Error::Unreachable { .. }
            | Error::NoResponse { .. }
            | Error::UnexpectedResponse { .. }
            | Error::NextPage(_) => false,
        }
    }

    /// Returns the wait that Savio requested, if any.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Throttled { retry_after } | Error::ServerError { retry_after, .. } => {
                *retry_after
            }
            Error::Refused { .. }
            | Error::Unauthorized { .. }
            | Error::NotFound { .. }
            | Error::Unreachable { .. }
            | Error::Insecure { .. }
            | Error::NoResponse { .. }
            | Error::UnexpectedResponse { .. }
            | Error::NextPage(_) => None,
        }
    }

    /// Returns the status of the response, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. }
            | Error::ServerError { status, .. }
            | Error::UnexpectedResponse { status, .. } => Some(*status),
            Error::Unauthorized { .. } => Some(401),
            Error::NotFound { .. } => Some(404),
            Error::Throttled { .. } => Some(429),
            Error::Unreachable { .. }
            | Error::Insecure { .. }
            | Error::NoResponse { .. }
            | Error::NextPage(_) => None,
        }
    }
}

fn after(wait: Option<Duration>) -> String {
    wait.map(|wait| format!(", again in {} s", wait.as_secs())).unwrap_or_default()
}

/// Savio's explanation of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorDetails {
    /// Messages by field, in Savio's order; those of `non_field_errors` are about the whole
    /// request.
    pub fields: Vec<(String, Vec<String>)>,
    /// The `detail`, or the beginning of a response in another form.
    pub text: String,
}

impl ErrorDetails {
    fn text(text: &str) -> ErrorDetails {
        let text = text.chars().take(TEXT_CHARS_MAX).collect();
        ErrorDetails { fields: Vec::new(), text }
    }

    /// Parses the body of a refusal.
    // Django REST framework answers `{"detail": "..."}` or `{"field": ["...", ...]}`; proxies
    // answer anything.
    pub(super) fn read(text: &str) -> ErrorDetails {
        let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(text) else {
            let is_page = begins_as_html(text.as_bytes());
            return ErrorDetails::text(if is_page { "an HTML page" } else { text.trim() });
        };
        let detail = match object.shift_remove("detail") {
            Some(Value::String(detail)) => detail,
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let fields = object.into_iter().map(|(name, value)| (name, messages(value))).collect();
        ErrorDetails { fields, ..ErrorDetails::text(&detail) }
    }
}

fn messages(value: Value) -> Vec<String> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    match value {
        Value::Array(items) => items.into_iter().map(text).collect(),
        other => vec![text(other)],
    }
}

impl fmt::Display for ErrorDetails {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields.iter().map(|(name, messages)| match name.as_str() {
            "non_field_errors" => messages.join(" "),
            _ => format!("{name}: {}", messages.join(" ")),
        });
        let text = Some(self.text.clone()).filter(|text| !text.is_empty());
        let parts: Vec<String> = text.into_iter().chain(fields).collect();
        formatter.write_str(if parts.is_empty() { "with an empty body" } else { "" })?;
        formatter.write_str(&parts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: &str) {
        assert_eq!(ErrorDetails::read(answer).to_string(), expected, "{answer}");
    }

    #[test]
    fn error_details_are_read_from_each_form() {
        check(r#"{"detail": "Invalid token."}"#, "Invalid token.");
        check(r#"{"problem": ["This field is required."]}"#, "problem: This field is required.");
        check(r#"{"b": ["1", "2"], "a": "3"}"#, "b: 1 2; a: 3");
        check(r#"{"non_field_errors": ["Invalid data."]}"#, "Invalid data.");
        check(
            r#"{"tags": {"0": ["Not a valid string."]}}"#,
            r#"tags: {"0":["Not a valid string."]}"#,
        );
        check("no JSON", "no JSON");
        check("", "with an empty body");
        check("{}", "with an empty body");
    }
}
