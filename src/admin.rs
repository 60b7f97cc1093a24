//! The JSON API of the admin listener, which requires a token. Its OpenAPI description is generated
//! from the same code.

mod params;
mod error;
mod auth;
pub(crate) mod api;
mod body;
mod known_params;
mod state;
pub(crate) mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use serde_json::json;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

pub use auth::AdminToken;
use body::Bodies;
use error::ApiError;
use known_params::KnownParams;
pub use state::{AdminState, DestinationHandle};

/// Number of requests that are handled at a time. Further ones wait.
const REQUESTS_MAX: usize = 64;

/// Routes of the admin listener.
pub fn router(state: Arc<AdminState>) -> Router {
    let (routes, description) = api::described();
    let known = KnownParams::of(&description);
    let description = Json(description);
    routes
        .route("/api/v1/openapi.json", get(|| async { description }))
        .route_layer(from_fn_with_state(known, known_params::check))
        .fallback(|| async { ApiError::NotFound("no such route".to_owned()) })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        // The last layer is the first to see a request. Without the token no body is read. With it,
        // the body is read before the request counts as one of `REQUESTS_MAX`: a slow body does not
        // keep others from being handled.
        .layer(DefaultBodyLimit::disable())
        .layer(GlobalConcurrencyLimitLayer::new(REQUESTS_MAX))
        .layer(from_fn_with_state(Bodies::new(), body::read))
        .layer(from_fn_with_state(state.token.clone(), auth::admit))
        .layer(CatchPanicLayer::custom(|_| {
            error!("a request to the API was not answered: internal error");
            ApiError::Internal.into_response()
        }))
        .with_state(state)
        // After the layers, so that it needs no token and answers even if `REQUESTS_MAX` requests
        // are being handled.
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
}

/// Returns the description that `/api/v1/openapi.json` serves.
pub fn description() -> utoipa::openapi::OpenApi {
    api::described().1
}
