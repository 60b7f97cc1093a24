//! Responses to senders: the status and body of each outcome, in one place.

use std::io;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::handshake::HandshakeResponse;
use super::payload::DecodeError;
use super::response_config::AcceptedResponse;
use super::signature::VerifyError;
use crate::event::EventId;
use crate::http_client::error_chain;
use crate::store::{StoreError, StoredEvents};

/// The errors with which a webhook for a source can be refused, for the metrics.
pub(crate) const REJECTIONS: [&str; 20] = [
    "method not allowed",
    "source off",
    "shutting down",
    "overloaded",
    "store unavailable",
    "secret not saved",
    "rate limited",
    "too large",
    "too slow",
    "incomplete body",
    "signature missing",
    "signature wrong",
    "signature time unreadable",
    "signature outside window",
    "undecodable",
    "too many values",
    "too many events",
    "unsupported content type",
    "unsupported content encoding",
    "internal error",
];

/// A request that was successful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Acknowledgement {
    /// At least one event is new.
    Accepted {
        stored: StoredEvents,
        answer: Option<AcceptedResponse>,
    },
    Duplicate {
        stored: StoredEvents,
        answer: Option<AcceptedResponse>,
    },
    Ignored {
        reason: String,
        answer: Option<AcceptedResponse>,
    },
    Handshake(HandshakeResponse),
}

/// A reason for the operator only: it may name a path, a variable or a setting.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct PrivateReason(pub(super) String);

/// A request that was refused. The text is the response to the sender, who may be anybody; details for the
/// operator are in the `source` of the error.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error("no such route")]
    NoRoute,
    #[error("no such source")]
    NoSource,
    #[error("method not allowed: use POST")]
    PostRequired,
    #[error("method not allowed: use GET")]
    GetRequired,
    #[error("this route takes no parameters")]
    ParametersSent,
    #[error("the source is off")]
    SourceOff(#[source] PrivateReason),
    #[error("the relay is shutting down")]
    ShuttingDown,
    #[error("the relay is overloaded")]
    Overloaded,
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body ended early")]
    IncompleteBody,
    #[error("{error}")]
    Unauthenticated {
        error: VerifyError,
        /// For the operator only: it would tell an attacker how close a forged signature is.
        hint: Option<String>,
    },
    #[error("too many requests")]
    RateLimited { wait: Duration },
    #[error(transparent)]
    Undecodable(#[from] DecodeError),
    #[error("the webhook could not be stored")]
    StoreUnavailable(#[source] StoreError),
    #[error("the secret could not be saved")]
    SecretNotSaved(#[source] io::Error),
    #[error("internal error")]
    Internal,
}

impl Rejection {
    /// Returns the status and the name of the error: one of a few fixed texts, suitable as a metric label.
    pub(super) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            // Only for what was never known: Typeform disables a webhook at once at 404 or 410. A
            // source whose file is gone stays known, and is 503.
            Rejection::NoRoute | Rejection::NoSource => (StatusCode::NOT_FOUND, "not found"),
            Rejection::PostRequired | Rejection::GetRequired => {
                (StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
            }
            Rejection::ParametersSent => (StatusCode::BAD_REQUEST, "unknown parameter"),
            Rejection::SourceOff(_) => (StatusCode::SERVICE_UNAVAILABLE, "source off"),
            Rejection::ShuttingDown => (StatusCode::SERVICE_UNAVAILABLE, "shutting down"),
            Rejection::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Rejection::StoreUnavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store unavailable")
            }
            Rejection::SecretNotSaved(_) => (StatusCode::SERVICE_UNAVAILABLE, "secret not saved"),
            Rejection::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate limited"),
            Rejection::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too large"),
            Rejection::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "too slow"),
            Rejection::IncompleteBody => (StatusCode::BAD_REQUEST, "incomplete body"),
            // 401 as Discord expects it: it sends wrong signatures on purpose, to test for that.
            Rejection::Unauthenticated { error, .. } => (
                StatusCode::UNAUTHORIZED,
                match error {
                    VerifyError::Missing => "signature missing",
                    VerifyError::Mismatch => "signature wrong",
                    VerifyError::UnreadableTime => "signature time unreadable",
                    VerifyError::OutsideTolerance => "signature outside window",
                },
            ),
            Rejection::Undecodable(DecodeError::Malformed(_) | DecodeError::NotXml { .. }) => {
                (StatusCode::BAD_REQUEST, "undecodable")
            }
            Rejection::Undecodable(DecodeError::TooHeavy(..)) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too many values")
            }
            // 503, not 413: the same body may fit later.
            Rejection::Undecodable(DecodeError::NoMemory) => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
            }
            Rejection::Undecodable(DecodeError::TooLarge(_)) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too large")
            }
            Rejection::Undecodable(DecodeError::TooManyEvents(_)) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too many events")
            }
            Rejection::Undecodable(DecodeError::ContentType(_)) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported content type")
            }
            Rejection::Undecodable(DecodeError::Encoding(_)) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported content encoding")
            }
            Rejection::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }
}

impl Rejection {
    pub(super) fn off(reason: impl Into<String>) -> Rejection {
        Rejection::SourceOff(PrivateReason(reason.into()))
    }

    /// Returns the reason with its causes, for the operator.
    pub(super) fn reason(&self) -> String {
        error_chain(self)
    }

    /// Returns the reason that is kept: without what it quotes of the request.
    pub(super) fn kept_reason(&self) -> String {
        match self {
            Rejection::Undecodable(error) => error.unquoted(),
            _ => self.reason(),
        }
    }

    pub(super) fn hint(&self) -> Option<&str> {
        if let Rejection::Unauthenticated { hint, .. } = self { hint.as_deref() } else { None }
    }

    fn retry_after_s(&self, status: StatusCode) -> Option<u64> {
        if let Rejection::RateLimited { wait } = self {
            // Rounded up: a sender that comes back too early would be refused again.
            return Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        }
        // Less than a minute: Zendesk, for one, ignores a `Retry-After` of 60 s or more.
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(30)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let (status, error) = self.status();
        let body = Json(json!({ "error": error, "reason": self.to_string() }));
        let retry_after = self.retry_after_s(status);
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // RFC 9110, 15.5.6: a 405 must have an `Allow` header.
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let read_only = matches!(self, Rejection::GetRequired);
            let allowed = if read_only { "GET, HEAD" } else { "POST" };
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

impl Acknowledgement {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Acknowledgement::Accepted { answer, .. } => status(accepted_status(answer.as_ref())),
            Acknowledgement::Duplicate { answer, .. } | Acknowledgement::Ignored { answer, .. } => {
                answer.as_ref().map_or(StatusCode::OK, |answer| status(answer.status))
            }
            Acknowledgement::Handshake(response) => status(response.status),
        }
    }
}

/// Returns the status that answers a webhook with a new event.
pub(super) fn accepted_status(answer: Option<&AcceptedResponse>) -> u16 {
    answer.map_or(StatusCode::ACCEPTED.as_u16(), |answer| answer.status)
}

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::OK)
}

impl IntoResponse for Acknowledgement {
    fn into_response(self) -> Response {
        let status = self.status();
        let (body, answer) = match self {
            Acknowledgement::Accepted { stored, answer } => {
                (json!({ "status": "accepted", "events": ids(&stored.events) }), answer)
            }
            Acknowledgement::Duplicate { stored, answer } => {
                (json!({ "status": "duplicate", "events": ids(&stored.events) }), answer)
            }
            Acknowledgement::Ignored { reason, answer } => {
                (json!({ "status": "ignored", "reason": reason }), answer)
            }
            Acknowledgement::Handshake(response) => {
                let headers: HeaderMap = response.headers.into_iter().collect();
                return (status, headers, Body::from(response.body)).into_response();
            }
        };
        // Also for duplicates and ignored webhooks: Salesforce repeats a message until it sees its
        // `<Ack>`.
        match answer {
            None => (status, Json(body)).into_response(),
            Some(answer) => {
                (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
            }
        }
    }
}

fn ids(events: &[EventId]) -> Vec<String> {
    events.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::fs;

    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http-responses.md");

    fn when(rejection: &Rejection) -> &'static str {
        match rejection {
            Rejection::NoRoute => "there is no such path",
            Rejection::NoSource => "there is no such source",
            Rejection::PostRequired => "the method is not POST",
            Rejection::GetRequired => "a POST to `/healthz` or `/readyz`",
            Rejection::ParametersSent => "a `?` with parameters after `/healthz` or `/readyz`",
            Rejection::SourceOff(_) => {
                "the source is off: its secret is not set, or its file is gone or has a mistake"
            }
            Rejection::ShuttingDown => "the relay is shutting down",
            Rejection::Overloaded => "too many webhooks at the same time",
            Rejection::TooLarge(_) => "the body is too large",
            Rejection::BodyTimeout => "the body did not arrive in time",
            Rejection::IncompleteBody => "the connection ended before the body",
            Rejection::Unauthenticated { error, .. } => match error {
                VerifyError::Missing => "there is no signature or token",
                VerifyError::Mismatch => "the signature or token is wrong",
                VerifyError::UnreadableTime => {
                    "the signature is valid, but its time is missing or not readable"
                }
                VerifyError::OutsideTolerance => "the signature is too old, or from the future",
            },
            Rejection::RateLimited { .. } => {
                "more than the source's `rate`, or a second unsigned handshake of a client in a second"
            }
            Rejection::Undecodable(error) => when_undecodable(error),
            Rejection::StoreUnavailable(_) => {
                "the disk is full, or the database unavailable or damaged"
            }
            Rejection::SecretNotSaved(_) => "the secret of a handshake could not be saved",
            Rejection::Internal => "an internal error",
        }
    }

    fn when_undecodable(error: &DecodeError) -> &'static str {
        match error {
            DecodeError::Malformed(_) | DecodeError::NotXml { .. } => {
                "the body is authentic but not valid JSON, form data, XML or gzip, or exceeds a \
                 [limit](limits.md#one-webhook)"
            }
            DecodeError::TooHeavy(..) => "the parsed body takes too much memory",
            DecodeError::NoMemory => "there was no memory for the parsed body",
            DecodeError::TooLarge(_) => "the decompressed body is too large",
            DecodeError::TooManyEvents(_) => "the webhook has too many events",
            DecodeError::ContentType(_) => "the content type is not supported",
            DecodeError::Encoding(_) => "the content encoding is not gzip",
        }
    }

    /// One rejection of each kind; only these are in the table.
    fn all() -> Vec<Rejection> {
        let mut all = vec![
            Rejection::NoRoute,
            Rejection::NoSource,
            Rejection::PostRequired,
            Rejection::GetRequired,
            Rejection::ParametersSent,
            Rejection::off(""),
            Rejection::ShuttingDown,
            Rejection::Overloaded,
            Rejection::TooLarge(0),
            Rejection::BodyTimeout,
            Rejection::IncompleteBody,
            Rejection::RateLimited { wait: Duration::ZERO },
            Rejection::StoreUnavailable(StoreError::ClaimLost),
            Rejection::SecretNotSaved(io::ErrorKind::Other.into()),
            Rejection::Internal,
        ];
        let errors = [
            VerifyError::Missing,
            VerifyError::Mismatch,
            VerifyError::UnreadableTime,
            VerifyError::OutsideTolerance,
        ];
        all.extend(errors.map(|error| Rejection::Unauthenticated { error, hint: None }));
        let undecodable = [
            DecodeError::Malformed(String::new()),
            DecodeError::TooHeavy(0, 0),
            DecodeError::NoMemory,
            DecodeError::TooLarge(0),
            DecodeError::TooManyEvents(0),
            DecodeError::ContentType(String::new()),
            DecodeError::Encoding(String::new()),
        ];
        all.extend(undecodable.map(Rejection::Undecodable));
        all
    }

    fn table() -> String {
        let mut rows: BTreeMap<(u16, &str), Vec<&str>> = BTreeMap::new();
        for rejection in all() {
            let (status, error) = rejection.status();
            rows.entry((status.as_u16(), error)).or_default().push(when(&rejection));
        }
        let rows = rows.iter().map(|((status, error), when)| {
            format!("| {status} | `{error}` | {} |\n", when.join("; "))
        });
        format!(
            "\n| Status | `error` | When |\n| --- | --- | --- |\n{}\n",
            rows.collect::<String>()
        )
    }

    #[expect(clippy::disallowed_methods, reason = "the variable decides whether the test writes")]
    fn is_update() -> bool {
        std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1")
    }

    #[test]
    fn every_rejection_is_among_all() {
        let code = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", file!()));
        let (_, variants) = code.split_once("enum Rejection {\n").unwrap();
        let (variants, _) = variants.split_once("\n}\n").unwrap();

        let all: HashSet<_> = all().iter().map(std::mem::discriminant).collect();
        assert_eq!(all.len(), variants.matches("#[error(").count());
    }

    #[test]
    fn every_error_for_a_source_is_among_rejections() {
        let mut errors: Vec<&str> = all().iter().map(|rejection| rejection.status().1).collect();
        errors.retain(|error| !["not found", "unknown parameter"].contains(error));
        errors.sort_unstable();
        errors.dedup();
        let mut listed = REJECTIONS.to_vec();
        listed.sort_unstable();

        assert_eq!(errors, listed);
    }

    #[test]
    fn docs_list_every_rejection() {
        let page = fs::read_to_string(PAGE).unwrap();
        let begin = "<!-- generated: statuses -->\n";
        let (before, rest) = page.split_once(begin).unwrap();
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        let current = format!("{before}{begin}{}<!-- end -->{after}", table());
        if is_update() {
            fs::write(PAGE, current).unwrap();
        } else {
            assert_eq!(page, current, "run UPDATE_DOCS=1 cargo test docs");
        }
    }
}
