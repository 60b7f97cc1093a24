//! The routes of the admin listener and their description, which both come from one list.

use axum::Router;
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::refusals;
use super::role::Role;

/// Key of an operation in the description: the role that it needs.
pub(super) const X_ROLE: &str = "x-role";
/// The lower role that suffices with `"dry_run": true` in the body.
pub(super) const X_ROLE_DRY_RUN: &str = "x-role-dry-run";
/// What stands in the place of the role where no token is needed.
const NO_ROLE: &str = "none";

/// The routes so far. None can be added without its role. What all routes refuse is described here;
/// a handler describes its success, and the refusals that are its own by status and description.
pub(super) struct Routes<S>(OpenApiRouter<S>);

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(super) fn with_openapi(description: OpenApi) -> Routes<S> {
        Routes(OpenApiRouter::with_openapi(description))
    }

    /// Adds the routes of one path, all of which need this role.
    pub(super) fn routes(
        self,
        role: Role,
        (schemas, mut paths, handlers): UtoipaMethodRouter<S>,
    ) -> Routes<S> {
        for (path, item) in &mut paths.paths {
            describe(item, X_ROLE, role.as_str());
            for (method, operation) in operations(item) {
                operation.operation_id = Some(operation_id(method, path));
                refusals::describe(operation, method != "get", role);
            }
        }
        Routes(self.0.routes((schemas, paths, handlers)))
    }

    /// Adds routes that need this role, or only `read` for a body with `"dry_run": true`. Their
    /// handlers have to ask [`super::access::ApiCaller::require`] before they change anything.
    pub(super) fn routes_with_dry_run(
        self,
        role: Role,
        (schemas, mut paths, handlers): UtoipaMethodRouter<S>,
    ) -> Routes<S> {
        for item in paths.paths.values_mut() {
            describe(item, X_ROLE_DRY_RUN, Role::Read.as_str());
        }
        self.routes(role, (schemas, paths, handlers))
    }

    /// Adds the routes of one path that whoever reaches the listener may call. Their handlers describe
    /// each refusal but those of any route.
    pub(super) fn open_routes(
        self,
        (schemas, mut paths, handlers): UtoipaMethodRouter<S>,
    ) -> Routes<S> {
        for (path, item) in &mut paths.paths {
            describe(item, X_ROLE, NO_ROLE);
            for (method, operation) in operations(item) {
                operation.operation_id = Some(operation_id(method, path));
                operation.security = Some(Vec::new());
                refusals::describe_open(operation);
            }
        }
        Routes(self.0.routes((schemas, paths, handlers)))
    }

    pub(super) fn split_for_parts(self) -> (Router<S>, OpenApi) {
        self.0.split_for_parts()
    }
}

fn describe(item: &mut PathItem, key: &str, role: &str) {
    for (_, operation) in operations(item) {
        let extensions = operation.extensions.get_or_insert_default();
        extensions.insert(key.to_owned(), Value::from(role));
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, it)| Some((method, it.as_mut()?)))
}

/// Returns a name such as `post_events_id_replay`, for clients that are generated.
// Not the name of the handler: several are called `list`, and the names have to differ.
fn operation_id(method: &str, path: &str) -> String {
    let segments = path.trim_start_matches("/api/v1").split(['/', '.']);
    let words = segments.map(|it| it.trim_matches(['{', '}'])).filter(|it| !it.is_empty());
    let words = words.chain((path == "/").then_some("root"));
    [method].into_iter().chain(words).collect::<Vec<_>>().join("_")
}
