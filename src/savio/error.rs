//! Why a call of the API did not end well, one variant for each thing that a caller does about it.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// How much of an answer that is no JSON is shown.
const TEXT_CHARS_MAX: usize = 200;

/// Texts are Savio's, shortened, and without the token.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// 400, and any 4xx that has no variant of its own: the same call will be refused again.
    #[error("savio refused it ({status}): {refusal}")]
    Refused { status: u16, refusal: ErrorDetails },
    /// 401: the token is missing or wrong, and every other call will be refused too.
    #[error("savio rejected the token (401): {said}")]
    Unauthorized { said: String },
    /// 404: there is no such thing, or the base URL is wrong.
    #[error("savio has no such thing (404): {said}")]
    NotFound { said: String },
    /// 429: more calls than Savio takes. Nothing was done; wait, and call again.
    #[error("savio rate limit exceeded (429){}", after(*.retry_after))]
    Throttled { retry_after: Option<Duration> },
    /// 5xx, 408 and 425: Savio is in trouble. What was sent may have been done all the same.
    #[error("savio returned a server error ({status}){}: {said}", after(*.retry_after))]
    ServerError { status: u16, retry_after: Option<Duration>, said: String },
    /// No connection: DNS, TCP, TLS. Nothing was sent.
    #[error("savio cannot be reached: {reason}")]
    Unreachable { reason: String },
    /// Nothing was sent: the token would have gone in clear to an address that is not private.
    #[error("the token is not sent: {reason}")]
    Insecure { reason: String },
    /// It was sent, and then came no answer: the time was over, or the connection broke.
    #[error("savio gave no answer: {reason}")]
    NoResponse { reason: String },
    /// An answer that the reference does not know: HTML, cut off, too long, other types, a redirect.
    /// With a 2xx, what was sent may have been done.
    #[error("the answer ({status}) is not as savio's: {reason}")]
    UnexpectedResponse { status: u16, reason: String },
    /// The pages of a list lead astray, and were not followed.
    #[error("the list's next page {0}")]
    NextPage(NextPageError),
}

/// Why a next page is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NextPageError {
    #[error("is no URL")]
    NoUrl,
    /// The token goes to no other scheme, host or port.
    #[error("lies on another server, {0}")]
    Foreign(String),
    #[error("was read before: the pages go round in circles")]
    Circle,
    #[error("would be one more than the most that are read, {0}")]
    TooMany(usize),
}

impl Error {
    /// Whether the same call may succeed later, with nothing changed here.
    pub fn may_pass(&self) -> bool {
        match self {
            Error::Throttled { .. }
            | Error::ServerError { .. }
            | Error::Unreachable { .. }
            | Error::NoResponse { .. } => true,
            Error::Refused { .. }
            | Error::Unauthorized { .. }
            | Error::NotFound { .. }
            | Error::Insecure { .. }
            | Error::UnexpectedResponse { .. }
            | Error::NextPage(_) => false,
        }
    }

    /// How long Savio asked to wait.
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

    /// The status of the answer, where there was one.
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

/// What Savio says about a call that it refuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorDetails {
    /// Messages by field, in Savio's order; `non_field_errors` is of the whole.
    pub fields: Vec<(String, Vec<String>)>,
    /// `detail`, or the beginning of an answer of another form.
    pub text: String,
}

impl ErrorDetails {
    pub(super) fn text(text: &str) -> ErrorDetails {
        let text = text.chars().take(TEXT_CHARS_MAX).collect();
        ErrorDetails { fields: Vec::new(), text }
    }

    /// An answer's text: `{"detail": "..."}`, `{"field": ["...", ...]}`, or anything else.
    pub(super) fn read(text: &str) -> ErrorDetails {
        let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(text) else {
            return ErrorDetails::text(text.trim());
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
    fn savios_words_are_found_in_each_form() {
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
