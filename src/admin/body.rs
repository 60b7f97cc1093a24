//! Reads bodies of authenticated requests: a few at a time, and within limits of size and time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::contract::Contracts;
use super::csrf;
use super::error::ApiError;
use crate::json::{self, Object};

/// Largest body: room for a mapping and a payload to preview it with, both of the largest size.
const BYTES_MAX: usize = 12 * 1024 * 1024;
/// Number of bodies in memory at a time, 48 MiB together.
const AT_A_TIME_MAX: usize = 4;
/// Longest time for a body, the same as the default of intake.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Longest wait for a slot.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Slots for bodies.
#[derive(Debug, Clone)]
pub(super) struct Bodies {
    slots: Arc<Semaphore>,
    time_max: Duration,
    contracts: Contracts,
}

impl Bodies {
    pub(super) fn new(contracts: Contracts) -> Bodies {
        let slots = Arc::new(Semaphore::new(AT_A_TIME_MAX));
        Bodies { slots, time_max: TIME_MAX, contracts }
    }
}

/// Reads the whole body before it passes the request on. A request without a body needs no slot.
pub(super) async fn read(State(bodies): State<Bodies>, request: Request, next: Next) -> Response {
    use axum::body::HttpBody as _;
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // A body of GET has no meaning (RFC 9110, section 9.3.1), and no route reads it.
    let is_get = request.method() == "GET" || request.method() == "HEAD";
    let contract = bodies.contracts.of_request(&request).filter(|_| !is_get);
    let Some(takes_body) = contract.map(|it| it.takes_body) else {
        return next.run(request.map(|_| Body::empty())).await;
    };
    // Held until the response is made: the handler keeps the body, or what it was parsed to, in
    // memory until then.
    let Ok(Ok(_slot)) = timeout(WAIT_MAX, bodies.slots.acquire()).await else {
        let reason = "too many requests with a body at once: try again later";
        return ApiError::Unavailable(reason.to_owned()).into_response();
    };
    let (parts, body) = request.into_parts();
    match gather(body, BYTES_MAX, bodies.time_max).await {
        Ok(body) => {
            if !takes_body && let Err(refusal) = require_no_body(&parts, &body) {
                return refusal.into_response();
            }
            next.run(Request::from_parts(parts, Body::from(body))).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Fails if a request has a body that says something.
// A pause with `{"until": ...}` would be one without an end. The form of a page always has a field, and
// is no body if it has no other.
pub(super) fn require_no_body(parts: &Parts, body: &[u8]) -> Result<(), ApiError> {
    if is_empty(body) || csrf::is_token_alone(parts, body) {
        return Ok(());
    }
    let reason = "this route takes no body: send none, or {}";
    Err(ApiError::BadRequest(reason.to_owned()))
}

fn is_empty(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    body.is_empty() || serde_json::from_slice(body).is_ok_and(|Object(NoKeys {})| true)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoKeys {}

/// Reads a body that is within these limits.
pub(super) async fn gather(
    body: Body,
    bytes_max: usize,
    time_max: Duration,
) -> Result<Bytes, ApiError> {
    let read = Limited::new(body, bytes_max).collect();
    let read = timeout(time_max, read).await.map_err(|_| ApiError::BodyTimeout)?;
    match read {
        Ok(whole) => {
            let whole = whole.to_bytes();
            // Nearly every body is JSON, which some tools begin with a byte order mark.
            Ok(whole.slice_ref(json::without_bom(&whole)))
        }
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge),
        Err(_) => Err(ApiError::BadRequest("the body ended early".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn body_is_limited_in_size_and_time() {
        let pending = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let soon = Duration::from_millis(50);

        assert_eq!(
            gather(Body::from_stream(pending), BYTES_MAX, soon).await.unwrap_err(),
            ApiError::BodyTimeout
        );
        let large = Body::from(vec![b' '; BYTES_MAX + 1]);
        assert_eq!(gather(large, BYTES_MAX, TIME_MAX).await.unwrap_err(), ApiError::TooLarge);
        assert!(gather(Body::from(vec![b' '; BYTES_MAX]), BYTES_MAX, TIME_MAX).await.is_ok());
    }

    #[tokio::test]
    async fn byte_order_mark_before_the_body_is_skipped() {
        let body = gather(Body::from("\u{feff}{}"), BYTES_MAX, TIME_MAX).await.unwrap();

        assert_eq!(body, "{}");
    }

    #[test]
    fn only_an_object_without_keys_is_an_empty_body() {
        for empty in ["", " \n", "{}", " { } "] {
            assert!(is_empty(empty.as_bytes()), "{empty:?}");
        }
        for other in ["{\"until\": 1}", "[]", "null", "{", "x"] {
            assert!(!is_empty(other.as_bytes()), "{other:?}");
        }
    }
}
