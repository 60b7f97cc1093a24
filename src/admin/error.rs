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
    #[error("the token {token} has the role {}: this needs {}", has.as_str(), needed.as_least())]
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

/// The kinds of errors, each of which has a status of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(super) enum ErrorCode {
    #[serde(rename = "bad request")]
    BadRequest,
    #[serde(rename = "unauthorized")]
    Unauthorized,
    #[serde(rename = "forbidden")]
    Forbidden,
    #[serde(rename = "not found")]
    NotFound,
    #[serde(rename = "method not allowed")]
    MethodNotAllowed,
    #[serde(rename = "too slow")]
    TooSlow,
    #[serde(rename = "conflict")]
    Conflict,
    #[serde(rename = "too large")]
    TooLarge,
    #[serde(rename = "unsupported content type")]
    ContentType,
    #[serde(rename = "internal error")]
    Internal,
    #[serde(rename = "not available")]
    Unavailable,
}

/// Body of every error response.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody {
    /// The kind of error, the same for each status.
    #[schema(inline)]
    error: ErrorCode,
    /// Explanation for people.
    reason: String,
}

impl ErrorCode {
    pub(super) const ALL: [ErrorCode; 11] = [
        ErrorCode::BadRequest,
        ErrorCode::Unauthorized,
        ErrorCode::Forbidden,
        ErrorCode::NotFound,
        ErrorCode::MethodNotAllowed,
        ErrorCode::TooSlow,
        ErrorCode::Conflict,
        ErrorCode::TooLarge,
        ErrorCode::ContentType,
        ErrorCode::Internal,
        ErrorCode::Unavailable,
    ];

    pub(super) fn status(self) -> StatusCode {
        match self {
            ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
            ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
            ErrorCode::Forbidden => StatusCode::FORBIDDEN,
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::TooSlow => StatusCode::REQUEST_TIMEOUT,
            ErrorCode::Conflict => StatusCode::CONFLICT,
            ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl ApiError {
    fn code(&self) -> ErrorCode {
        match self {
            ApiError::Unauthorized => ErrorCode::Unauthorized,
            ApiError::Forbidden { .. } => ErrorCode::Forbidden,
            ApiError::BadRequest(_) => ErrorCode::BadRequest,
            ApiError::NotFound(_) => ErrorCode::NotFound,
            ApiError::MethodNotAllowed => ErrorCode::MethodNotAllowed,
            ApiError::Conflict(_) => ErrorCode::Conflict,
            ApiError::TooLarge => ErrorCode::TooLarge,
            ApiError::BodyTimeout => ErrorCode::TooSlow,
            ApiError::ContentType => ErrorCode::ContentType,
            ApiError::Unavailable(_) => ErrorCode::Unavailable,
            ApiError::Internal => ErrorCode::Internal,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = self.code();
        let status = error.status();
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

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        ApiError::Unavailable(error.to_string())
    }
}
