//! The routes of the API and their description, which both come from one list.

use std::sync::Arc;

use axum::Router;
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::role::Role;
use super::state::AdminState;

/// Key of an operation in the description: the role that it needs.
pub(super) const X_ROLE: &str = "x-role";
/// The lower role that suffices with `"dry_run": true` in the body.
pub(super) const X_ROLE_DRY_RUN: &str = "x-role-dry-run";

/// The routes so far. None can be added without its role.
pub(super) struct Routes(OpenApiRouter<Arc<AdminState>>);

impl Routes {
    pub(super) fn with_openapi(description: OpenApi) -> Routes {
        Routes(OpenApiRouter::with_openapi(description))
    }

    /// Adds the routes of one path, all of which need this role.
    pub(super) fn routes(
        self,
        role: Role,
        (schemas, mut paths, handlers): UtoipaMethodRouter<Arc<AdminState>>,
    ) -> Routes {
        for item in paths.paths.values_mut() {
            describe(item, X_ROLE, role);
        }
        Routes(self.0.routes((schemas, paths, handlers)))
    }

    /// Adds routes that need this role, or only `read` for a body with `"dry_run": true`. Their
    /// handlers have to ask [`super::access::ApiCaller::require`] before they change anything.
    pub(super) fn routes_with_dry_run(
        self,
        role: Role,
        (schemas, mut paths, handlers): UtoipaMethodRouter<Arc<AdminState>>,
    ) -> Routes {
        for item in paths.paths.values_mut() {
            describe(item, X_ROLE_DRY_RUN, Role::Read);
        }
        self.routes(role, (schemas, paths, handlers))
    }

    pub(super) fn split_for_parts(self) -> (Router<Arc<AdminState>>, OpenApi) {
        self.0.split_for_parts()
    }
}

fn describe(item: &mut PathItem, key: &str, role: Role) {
    let operations =
        [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
    for operation in operations.into_iter().flatten() {
        let extensions = operation.extensions.get_or_insert_default();
        extensions.insert(key.to_owned(), Value::from(role.as_str()));
    }
}
