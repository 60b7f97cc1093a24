//! Errors of the API, and the status of each.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::role::Role;
use crate::diagnostics::view::DiagnosticView;
use crate::store::StoreError;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("send the header Authorization: Bearer TOKEN with a token of the admin API")]
    Unauthorized,
    #[error(
        "this token is not known: compare it with ADMIN_TOKEN, the file admin-token beside the store, \
         or [[admin.tokens]]"
    )]
    UnknownToken,
    #[error("the session has ended: log in again at /login")]
    SessionEnded,
    /// What a proxy says of its user cannot be believed.
    #[error("{0}")]
    ProxyRefused(String),
    /// Whoever logs in presents a wrong token, or a link that cannot be used.
    #[error("{0}")]
    LoginFailed(&'static str),
    /// The caller is known, and the role does not suffice.
    #[error("{who} has the role {}: this needs {}", has.as_str(), needed.as_least())]
    Forbidden { who: String, has: Role, needed: Role },
    /// A page of another site may have sent the request.
    #[error("{0}")]
    Forged(Cow<'static, str>),
    /// The request is for another host name.
    #[error("{0}")]
    Misdirected(String),
    /// Too many logins, or short tokens in headers, failed.
    #[error("too many logins or tokens failed: try again in {seconds} s")]
    TooManyFailures { seconds: u64 },
    /// The role suffices for the route, and not for this part of the request.
    #[error("{who} may not change {}: {advice}", parts.join(", "))]
    ForbiddenParts { who: String, parts: Vec<&'static str>, advice: String },
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    NotFound(String),
    #[error("this route does not support the method")]
    MethodNotAllowed,
    /// The state of the event does not allow the request.
    #[error("{0}")]
    Conflict(String),
    /// What is to be changed is not what the request says.
    #[error("{0}")]
    Changed(String),
    #[error(
        "say what is to be changed: send the header If-Match with the `digest` of the mapping that \
             you have read, in quotes"
    )]
    NoPrecondition,
    /// A mapping has mistakes.
    #[error("the mapping is not saved: {}", first(.0))]
    Mistaken(Vec<DiagnosticView>),
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
    #[serde(rename = "precondition failed")]
    PreconditionFailed,
    #[serde(rename = "precondition required")]
    PreconditionRequired,
    #[serde(rename = "mistakes")]
    Mistakes,
    #[serde(rename = "too large")]
    TooLarge,
    #[serde(rename = "misdirected request")]
    Misdirected,
    #[serde(rename = "too many requests")]
    TooMany,
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
    /// The mistakes in the mapping, only for a mapping that has some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    mistakes: Vec<DiagnosticView>,
}

impl ErrorCode {
    pub(super) const ALL: [ErrorCode; 16] = [
        ErrorCode::BadRequest,
        ErrorCode::Unauthorized,
        ErrorCode::Forbidden,
        ErrorCode::NotFound,
        ErrorCode::MethodNotAllowed,
        ErrorCode::TooSlow,
        ErrorCode::Conflict,
        ErrorCode::PreconditionFailed,
        ErrorCode::PreconditionRequired,
        ErrorCode::Mistakes,
        ErrorCode::TooLarge,
        ErrorCode::Misdirected,
        ErrorCode::TooMany,
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
            ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            ErrorCode::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            ErrorCode::Mistakes => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            ErrorCode::TooMany => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl ApiError {
    /// Returns the seconds after which the same request may succeed.
    fn retry_after(&self) -> Option<u64> {
        match self {
            ApiError::TooManyFailures { seconds } => Some(*seconds),
            _ => (self.code() == ErrorCode::Unavailable).then_some(30),
        }
    }

    fn code(&self) -> ErrorCode {
        match self {
            ApiError::Unauthorized
            | ApiError::UnknownToken
            | ApiError::SessionEnded
            | ApiError::ProxyRefused(_)
            | ApiError::LoginFailed(_) => ErrorCode::Unauthorized,
            ApiError::Forbidden { .. } | ApiError::ForbiddenParts { .. } | ApiError::Forged(_) => {
                ErrorCode::Forbidden
            }
            ApiError::Misdirected(_) => ErrorCode::Misdirected,
            ApiError::TooManyFailures { .. } => ErrorCode::TooMany,
            ApiError::BadRequest(_) => ErrorCode::BadRequest,
            ApiError::NotFound(_) => ErrorCode::NotFound,
            ApiError::MethodNotAllowed => ErrorCode::MethodNotAllowed,
            ApiError::Conflict(_) => ErrorCode::Conflict,
            ApiError::Changed(_) => ErrorCode::PreconditionFailed,
            ApiError::NoPrecondition => ErrorCode::PreconditionRequired,
            ApiError::Mistaken(_) => ErrorCode::Mistakes,
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
        let retry_after = self.retry_after();
        let reason = self.to_string();
        let mistakes = match &self {
            ApiError::Mistaken(mistakes) => mistakes.clone(),
            _ => Vec::new(),
        };
        let body = Json(ErrorBody { error, reason, mistakes });
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        // RFC 9110, section 15.5.2: a 401 names the scheme.
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Describes the first mistake, and how many there are.
fn first(mistakes: &[DiagnosticView]) -> String {
    let first = mistakes.first().map(ToString::to_string).unwrap_or_default();
    match mistakes.len() {
        0 | 1 => first,
        count => format!("{first} (the first of {count} mistakes)"),
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        ApiError::Unavailable(error.to_string())
    }
}
