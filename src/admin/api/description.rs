//! `/api/v1/openapi.json`: the description of the API.

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::OpenApi;

/// The description as JSON, written once.
#[derive(Debug, Clone)]
pub(in crate::admin) struct WrittenDescription(Bytes);

impl WrittenDescription {
    pub(in crate::admin) fn of(description: &OpenApi) -> WrittenDescription {
        let json = serde_json::to_vec(description).expect("its keys are texts");
        WrittenDescription(json.into())
    }
}

/// Get this description of the API, as OpenAPI
#[utoipa::path(get, path = "/api/v1/openapi.json",
    responses((status = 200, description = "An OpenAPI document", body = Object)))]
pub(crate) async fn description(
    Extension(WrittenDescription(json)): Extension<WrittenDescription>,
) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], json)
}
