//! Resources of the admin API, one file each.
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod metrics;
pub(crate) mod preview;
pub(crate) mod replays;
pub(crate) mod sources;
pub(crate) mod stats;

use std::sync::Arc;

use axum::Router;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AdminState;

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

/// Returns the routes below `/api/v1/` and their description.
// Both come from one list, so that no route can be missing in the description.
pub(super) fn described() -> (Router<Arc<AdminState>>, utoipa::openapi::OpenApi) {
    let (routes, mut description) = OpenApiRouter::with_openapi(ApiDescription::openapi())
        .routes(routes!(events::list))
        .routes(routes!(events::show))
        .routes(routes!(events::body))
        .routes(routes!(events::release))
        .routes(routes!(replays::replay_one))
        .routes(routes!(replays::replay))
        .routes(routes!(replays::progress, replays::cancel))
        .routes(routes!(sources::list))
        .routes(routes!(sources::pause))
        .routes(routes!(sources::resume))
        .routes(routes!(sources::rejected))
        .routes(routes!(destinations::list))
        .routes(routes!(destinations::pause))
        .routes(routes!(destinations::resume))
        .routes(routes!(preview::preview))
        .routes(routes!(stats::stats))
        .routes(routes!(metrics::metrics))
        .split_for_parts();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    (routes, description)
}
