//! What a caller of the API is told who gets nothing: each refusal's status, in one place.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::StoreError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("send the header Authorization: Bearer TOKEN with the admin token")]
    Unauthorized,
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    NotFound(String),
    #[error("this address is not used by this method")]
    Method,
    /// It cannot be done with what is there.
    #[error("{0}")]
    Conflict(String),
    #[error("the body is too large")]
    TooLarge,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("send JSON, with Content-Type: application/json")]
    ContentType,
    /// The store cannot be read or written now.
    #[error("{0}")]
    Away(String),
    #[error("internal error")]
    Panicked,
}

/// Every error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody {
    /// One of a few fixed texts.
    error: &'static str,
    /// For people.
    reason: String,
}

impl ApiError {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            ApiError::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            ApiError::Wrong(_) => (StatusCode::BAD_REQUEST, "bad request"),
            ApiError::NotFound(_) => (StatusCode::NOT_FOUND, "not found"),
            ApiError::Method => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            ApiError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            ApiError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too large"),
            ApiError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too slow"),
            ApiError::ContentType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported content type")
            }
            ApiError::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, "not available"),
            ApiError::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = self.status();
        let said = Json(ErrorBody { error, reason: self.to_string() });
        let mut response = (status, said).into_response();
        let headers = response.headers_mut();
        if self == ApiError::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(30));
        }
        response
    }
}

/// The refusals that any route may give, for its description.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) enum CommonErrors {
    /// A parameter, a key or the body is not as described.
    #[response(status = 400)]
    Wrong(ErrorBody),
    /// The token is missing or wrong.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// The store cannot be read or written now; `Retry-After` says when to ask again.
    #[response(status = 503)]
    Away(ErrorBody),
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
    TooSlow(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is no JSON by its content type.
    #[response(status = 415)]
    ContentType(ErrorBody),
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        ApiError::Away(error.to_string())
    }
}
