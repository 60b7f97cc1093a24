//! Resources of the admin API, one file each.
pub(crate) mod about;
pub(crate) mod alerts;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod audit;
pub(crate) mod copies;
pub(crate) mod dead_groups;
pub(super) mod description;
pub(crate) mod destinations;
pub(crate) mod drafts;
pub(crate) mod echo_keys;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod issues;
pub(crate) mod login_links;
pub(crate) mod kept_test;
pub(crate) mod mapping;
pub(crate) mod metrics;
pub(crate) mod new_source;
pub(crate) mod preview;
pub(crate) mod providers;
pub(crate) mod rejected;
pub(crate) mod replays;
pub(crate) mod secrets;
pub(crate) mod series;
pub(crate) mod session;
pub(crate) mod source_tests;
pub(crate) mod source;
pub(crate) mod source_secret;
pub(crate) mod sources;
pub(crate) mod stats;
pub(crate) mod stream;
pub(crate) mod versions;

use std::sync::Arc;

use axum::Router;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::routes;

use super::error::ErrorBody;
use super::role::Role;
use super::routes::Routes;
use super::state::AdminState;
use super::streams::message::{
    StreamedCounts, StreamedDestinations, StreamedEvents, StreamedIssues, StreamedSources,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "savio-relay",
        description = "Looks into a relay: its events, sources and destinations. Times are RFC 3339 \
                       in UTC. Every error is `{\"error\", \"reason\"}`; an unknown parameter or key is one."
    ),
    components(schemas(
        ErrorBody,
        StreamedEvents,
        StreamedCounts,
        StreamedSources,
        StreamedDestinations,
        StreamedIssues
    )),
    security(("token" = []), ("session" = []))
)]
struct ApiDescription;

/// Returns the routes below `/api/v1/` and their description.
pub(super) fn described() -> (Router<Arc<AdminState>>, utoipa::openapi::OpenApi) {
    let routes = event_routes(Routes::with_openapi(ApiDescription::openapi()));
    let (routes, mut description) = routes
        .routes(Role::Read, routes!(sources::list))
        .routes(Role::Edit, routes!(new_source::add))
        .routes(Role::Read, routes!(source::show))
        .routes(Role::Operate, routes!(sources::pause))
        .routes(Role::Operate, routes!(sources::resume))
        .routes(Role::Read, routes!(mapping::show))
        .routes(Role::Edit, routes!(mapping::save))
        .routes(Role::Edit, routes!(mapping::remove))
        .routes_with_dry_run(Role::Edit, routes!(kept_test::keep))
        .routes(Role::Edit, routes!(source_secret::set))
        .routes(Role::Read, routes!(rejected::list))
        .routes(Role::Read, routes!(destinations::list))
        .routes(Role::Read, routes!(destinations::log))
        .routes(Role::Operate, routes!(destinations::pause))
        .routes(Role::Operate, routes!(destinations::resume))
        .routes(Role::Operate, routes!(destinations::probe))
        .routes(Role::Operate, routes!(source_tests::test))
        .routes(Role::Read, routes!(providers::list))
        .routes(Role::Read, routes!(preview::preview))
        .routes(Role::Read, routes!(changes::changes))
        .routes(Role::Read, routes!(versions::list))
        .routes(Role::Read, routes!(versions::show))
        .routes(Role::Read, routes!(check::check))
        .routes(Role::Read, routes!(check::schema))
        .routes(Role::Read, routes!(drafts::draft))
        .routes(Role::Read, routes!(stats::stats))
        .routes(Role::Read, routes!(series::series))
        .routes(Role::Read, routes!(stream::stream))
        .routes(Role::Read, routes!(dead_groups::list))
        .routes(Role::Read, routes!(about::about))
        .routes(Role::Read, routes!(health::show))
        .routes(Role::Read, routes!(audit::list))
        .routes(Role::Read, routes!(issues::list))
        .routes(Role::Operate, routes!(issues::mute))
        .routes(Role::Operate, routes!(alerts::test))
        .routes(Role::Everything, routes!(secrets::compare))
        .routes(Role::Operate, routes!(echo_keys::issue))
        .routes(Role::Metrics, routes!(session::show))
        .routes(Role::Everything, routes!(login_links::make))
        .routes(Role::Metrics, routes!(metrics::metrics))
        .routes(Role::Read, routes!(description::description))
        .split_for_parts();
    add_security_schemes(&mut description);
    (routes, description)
}

fn event_routes(routes: Routes<Arc<AdminState>>) -> Routes<Arc<AdminState>> {
    routes
        .routes(Role::Read, routes!(events::list))
        .routes(Role::Read, routes!(events::counts))
        .routes(Role::Read, routes!(events::show))
        .routes(Role::Read, routes!(events::body))
        .routes(Role::Read, routes!(explain::explain))
        .routes(Role::Operate, routes!(events::release))
        .routes(Role::Everything, routes!(events::erase))
        .routes(Role::Operate, routes!(copies::copy))
        .routes_with_dry_run(Role::Operate, routes!(replays::replay_one))
        .routes_with_dry_run(Role::Operate, routes!(replays::replay))
        .routes(Role::Read, routes!(replays::list))
        .routes(Role::Read, routes!(replays::progress))
        .routes(Role::Operate, routes!(replays::cancel))
}

fn add_security_schemes(description: &mut utoipa::openapi::OpenApi) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The token of `admin.token`, or one of `[[admin.tokens]]` whose role suffices. `x-role` \
             of an operation is the role that it needs, `x-role-dry-run` the one that a dry run \
             needs; the roles are metrics, read, operate and edit, and each includes those before \
             it.",
        ))
        .build();
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let cookie = ApiKeyValue::with_description(
        "savio_relay_session",
        "The session of a browser, which `POST /login` begins and `POST /logout` ends. Where the relay \
         is reached by https, the name begins with `__Host-`. What is not GET needs the session's \
         `csrf_token` (`GET /api/v1/session`) as the header `X-CSRF-Token`, and an `Origin` of this \
         relay. A token in the header counts before a cookie.",
    );
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
}
