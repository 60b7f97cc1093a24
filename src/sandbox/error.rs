//! Error responses with the texts of the real API.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::fields::FieldErrors;

/// An error response with the text of the real API.
#[derive(Debug)]
pub(super) struct ErrorResponse {
    status: StatusCode,
    body: Value,
}

impl ErrorResponse {
    pub(super) fn detail(status: StatusCode, detail: &str) -> ErrorResponse {
        ErrorResponse { status, body: json!({ "detail": detail }) }
    }

    pub(super) fn fields(errors: FieldErrors) -> ErrorResponse {
        ErrorResponse { status: StatusCode::BAD_REQUEST, body: Value::Object(errors) }
    }
}

impl IntoResponse for ErrorResponse {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
