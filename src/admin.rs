//! Looking in: the JSON API of the admin listener, for people with its token. Its description in
//! OpenAPI is made from the same code.

mod params;
mod error;
mod auth;
pub(crate) mod api;
mod body;
pub(crate) mod views;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Notify;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::delivery::Delivery;
use crate::delivery::source_pauses::why_source_waits;
use crate::event::SourceName;
use crate::intake::Intake;
use crate::store::{EventSummary, Store, StoreError};
use crate::telemetry::metrics::Metrics;
pub use auth::AdminToken;
use body::Bodies;
use error::ApiError;

const REQUESTS_MAX: usize = 64;

/// What there is to look into.
pub struct AdminState {
    pub token: AdminToken,
    pub store: Arc<dyn Store>,
    pub door: Arc<Intake>,
    pub metrics: Metrics,
    pub destinations: BTreeMap<String, DestinationHandle>,
    /// What `/hooks/NAME` is appended to.
    pub url: String,
    /// Wakes what goes on with replays.
    pub replay_ordered: Arc<Notify>,
}

#[derive(Debug)]
pub struct DestinationHandle {
    pub base_url: String,
    pub delivery: Arc<Delivery>,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Inside")
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}

impl AdminState {
    fn destination(&self, name: &str) -> Result<&DestinationHandle, ApiError> {
        let unknown = || ApiError::NotFound(format!("there is no destination {name}"));
        self.destinations.get(name).ok_or_else(unknown)
    }

    /// Where the events of a source go, as long as it has a mapping.
    fn destination_of(&self, source: &SourceName) -> Option<(&String, &DestinationHandle)> {
        self.destinations.iter().find(|(_, to)| to.delivery.sources().contains(source))
    }

    /// Why no queued event of the source goes on, if none does.
    fn why_source_waits(&self, source: &SourceName, now: Timestamp) -> Option<String> {
        match self.destination_of(source) {
            Some((_, to)) => {
                to.delivery.why_source_waits(source).or_else(|| to.delivery.why_closed(now))
            }
            None => why_source_waits(source, (false, false)),
        }
    }

    /// What a queued event waits for, as far as the store does not have it, or not yet.
    fn why_waits(&self, event: &EventSummary, now: Timestamp) -> Option<String> {
        let due_at = event.due_at?;
        let Some((_, to)) = self.destination_of(&event.source) else {
            return why_source_waits(&event.source, (false, false));
        };
        let delivery = &to.delivery;
        delivery
            .why_source_waits(&event.source)
            .or_else(|| delivery.waits_for(event.seq))
            .or_else(|| delivery.why_closed(now).filter(|_| due_at <= now))
    }

    /// The name of a source that there is.
    fn source(&self, name: &str) -> Result<SourceName, ApiError> {
        let known = name.parse().ok().filter(|it| self.door.sources.current().contains_key(it));
        known.ok_or_else(|| ApiError::NotFound(format!("there is no source {name}")))
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "savio-relay",
        description = "Looks into a relay: its events, sources and destinations. Times are RFC 3339 \
                       in UTC. Every error is `{\"error\", \"reason\"}`; an unknown parameter or key is one."
    ),
    security(("token" = []))
)]
struct ApiDescription;

/// The admin listener's routes.
pub fn router(inside: Arc<AdminState>) -> Router {
    let (routes, description) = described();
    let description = Json(description);
    routes
        .route("/api/v1/openapi.json", get(|| async { description }))
        .fallback(|| async { ApiError::NotFound("there is nothing at this address".to_owned()) })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        // What a body may cost is bounded for those who were let in, before it takes anybody's turn.
        .layer(DefaultBodyLimit::disable())
        .layer(GlobalConcurrencyLimitLayer::new(REQUESTS_MAX))
        .layer(from_fn_with_state(Bodies::new(), body::read))
        .layer(from_fn_with_state(Arc::clone(&inside), admit))
        .layer(CatchPanicLayer::custom(|_| {
            error!("a request to the API was not answered: the relay made a mistake");
            ApiError::Panicked.into_response()
        }))
        .with_state(inside)
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
}

/// What `/api/v1/openapi.json` gives.
pub fn description() -> utoipa::openapi::OpenApi {
    described().1
}

fn described() -> (Router<Arc<AdminState>>, utoipa::openapi::OpenApi) {
    let (routes, mut description) = OpenApiRouter::with_openapi(ApiDescription::openapi())
        .routes(routes!(api::events::list))
        .routes(routes!(api::events::show))
        .routes(routes!(api::events::body))
        .routes(routes!(api::events::release))
        .routes(routes!(api::replays::replay_one))
        .routes(routes!(api::replays::replay))
        .routes(routes!(api::replays::progress, api::replays::cancel))
        .routes(routes!(api::sources::list))
        .routes(routes!(api::sources::pause))
        .routes(routes!(api::sources::resume))
        .routes(routes!(api::sources::rejected))
        .routes(routes!(api::destinations::list))
        .routes(routes!(api::destinations::pause))
        .routes(routes!(api::destinations::resume))
        .routes(routes!(api::preview::preview))
        .routes(routes!(api::stats::stats))
        .routes(routes!(api::metrics::metrics))
        .split_for_parts();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    (routes, description)
}

/// Lets in who has the token. What is answered belongs to nobody's cache.
async fn admit(State(inside): State<Arc<AdminState>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let mut response = match given.and_then(bearer) {
        Some(token) if inside.token.is(token) => next.run(request).await,
        Some(_) | None => ApiError::Unauthorized.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        ApiError::Away(error.to_string())
    }
}
