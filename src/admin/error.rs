//! Errors of the API, and the status of each.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::role::Role;
use crate::store::StoreError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("send the header Authorization: Bearer TOKEN with a token of the admin API")]
    Unauthorized,
    /// The token is known, and its role does not suffice.
    #[error(
        "the token {token} has the role {}: this needs {} or more",
        has.as_str(), needed.as_str()
    )]
    Forbidden { token: Arc<str>, has: Role, needed: Role },
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    NotFound(String),
    #[error("this route does not support the method")]
    MethodNotAllowed,
    /// The state of the event does not allow the request.
    #[error("{0}")]
    Conflict(String),
    #[error("the body is too large")]
    TooLarge,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("send JSON, with Content-Type: application/json")]
    ContentType,
    /// The store cannot be read or written, or there is no memory, at present.
    #[error("{0}")]
    Unavailable(String),
    #[error("internal error")]
    Internal,
}

/// Body of every error response.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody {
    /// One of a few fixed texts, the same for each status.
    error: &'static str,
    /// Explanation for people.
    reason: String,
}

impl ApiError {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            ApiError::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            ApiError::Forbidden { .. } => (StatusCode::FORBIDDEN, "forbidden"),
            ApiError::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad request"),
            ApiError::NotFound(_) => (StatusCode::NOT_FOUND, "not found"),
            ApiError::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            ApiError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            ApiError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too large"),
            ApiError::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "too slow"),
            ApiError::ContentType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported content type")
            }
            ApiError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "not available"),
            ApiError::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = self.status();
        let body = Json(ErrorBody { error, reason: self.to_string() });
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        // RFC 9110, section 15.5.2: a 401 names the scheme.
        if self == ApiError::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(30));
        }
        response
    }
}

/// Errors that any route may return, for its description.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) enum CommonErrors {
    /// A parameter, a key or the body is not as described.
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// The token is missing or wrong.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The store cannot be read or written at present. `Retry-After` says when to try again.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) enum EventNotFound {
    /// There is no such event.
    #[response(status = 404)]
    NotFound(ErrorBody),
}

#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) enum BodyErrors {
    /// The body did not arrive in time.
    #[response(status = 408)]
    BodyTimeout(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is no JSON by its content type.
    #[response(status = 415)]
    ContentType(ErrorBody),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        ApiError::Unavailable(error.to_string())
    }
}
