//! The JSON API of the admin listener, which requires a token, and the pages to log in. Their OpenAPI
//! description is generated from the same code.

mod states_param;
mod accept;
pub(crate) mod event_csv;
mod params;
mod error;
mod mistakes;
mod role;
mod tokens;
mod refusals;
mod routes;
mod contract;
mod record;
mod caller;
mod live_feed;
mod logins;
mod csrf;
mod access;
mod caller_slots;
mod health_checks;
pub(crate) mod api;
mod body;
mod known_params;
mod mapping_changes;
mod rejections;
mod reason_kind;
mod mapping_text;
mod new_test;
mod text_checks;
pub(crate) mod time_bound;
mod unread_input;
mod pages;
mod response_headers;
mod state;
mod streams;
pub(crate) mod views;
pub(crate) mod change_views;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::IntoResponse;
use axum::{Extension, Router};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;
use utoipa::openapi::OpenApi;

use access::AccessControl;
use api::description::WrittenDescription;
use body::Bodies;
pub(crate) use caller::USER_HEADER;
pub use caller_slots::CallerSlots;
use contract::Contracts;
use error::ApiError;
pub use health_checks::{HealthChecks, HealthFinding, HealthVerdict};
pub use logins::proxy::ProxyLogins;
pub use logins::{LoginSettings, Logins, MadeLink};
pub use mapping_changes::{
    ChangeMade, ChangeRefusal, ExpectedFile, FileChange, MappingChanges, NewFiles, OrderedChange,
};
pub use record::record;
pub use role::Role;
pub use state::{AdminState, DestinationHandle};
pub use streams::Streams;
pub use text_checks::TextChecks;
pub use tokens::{AdminToken, AdminTokens};

/// Number of requests that are handled at a time. Further ones wait.
const REQUESTS_MAX: usize = 64;

/// Tells all streams what changes, until `shutdown`.
pub async fn feed_streams(state: Arc<AdminState>, shutdown: impl Future<Output = ()>) {
    live_feed::run(state, shutdown).await;
}

/// Routes of the admin listener.
pub fn router(state: Arc<AdminState>) -> Router {
    let (routes, description) = api::described();
    let (pages, described_pages) = pages::described(Arc::clone(&state.logins));
    let contracts = Contracts::of(&description);
    let access = AccessControl { logins: Arc::clone(&state.logins), contracts: contracts.clone() };
    let bodies = Bodies::new(contracts.clone());
    routes
        .layer(Extension(WrittenDescription::of(&whole(description, described_pages))))
        .route_layer(from_fn_with_state(contracts, known_params::check))
        .fallback(|| async { ApiError::NotFound("no such route".to_owned()) })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        // The last layer is the first to see a request. Without a token and its role no body is read. With them,
        // the body is read before the request counts as one of `REQUESTS_MAX`: a slow body does not
        // keep others from being handled.
        .layer(DefaultBodyLimit::disable())
        .layer(GlobalConcurrencyLimitLayer::new(REQUESTS_MAX))
        .layer(from_fn(csrf::check_form))
        .layer(from_fn_with_state(bodies, body::read))
        .layer(from_fn_with_state(access, access::admit))
        .with_state(state)
        // After the layers, so that they need no token and answer even if `REQUESTS_MAX` requests
        // are being handled.
        .merge(pages)
        .layer(CatchPanicLayer::custom(|_| {
            error!("a request to the API was not answered: internal error");
            ApiError::Internal.into_response()
        }))
        .layer(map_response(response_headers::add))
}

fn whole(mut api: OpenApi, pages: OpenApi) -> OpenApi {
    api.merge(pages);
    api
}

/// Returns the description that `/api/v1/openapi.json` serves.
pub fn description() -> OpenApi {
    whole(api::described().1, pages::description())
}
