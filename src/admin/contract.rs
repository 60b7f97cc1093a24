//! What the description says of each route, for the checks that come before its handler: the role
//! that it needs and its parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, Method};
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, PathItem, RefOr};

use super::role::Role;
use super::routes::{X_ROLE, X_ROLE_DRY_RUN};

/// The contracts of all routes, by method and path.
// From the description, so that nothing can be accepted without being documented.
#[derive(Debug, Clone)]
pub(super) struct Contracts(Arc<BTreeMap<(&'static str, String), RouteContract>>);

#[derive(Debug)]
pub(super) struct RouteContract {
    pub(super) role: Role,
    /// The lower role that suffices to try a request with `dry_run`, if the route knows that.
    pub(super) dry_run_role: Option<Role>,
    pub(super) query: Vec<String>,
    pub(super) takes_body: bool,
}

impl Contracts {
    pub(super) fn of(description: &OpenApi) -> Contracts {
        let routes = description.paths.paths.iter().flat_map(|(path, item)| {
            operations(item)
                .map(|(method, operation)| ((method, path.clone()), RouteContract::of(operation)))
        });
        Contracts(Arc::new(routes.collect()))
    }

    /// Returns the contract of the route that a request matched; none if there is no such route.
    pub(super) fn get(&self, parts: &Parts) -> Option<&RouteContract> {
        self.find(&parts.extensions, &parts.method)
    }

    /// The same for a request as a whole.
    pub(super) fn of_request(&self, request: &Request) -> Option<&RouteContract> {
        self.find(request.extensions(), request.method())
    }

    fn find(&self, extensions: &Extensions, method: &Method) -> Option<&RouteContract> {
        let route = extensions.get::<MatchedPath>()?.as_str();
        // HEAD is answered by the handlers of GET.
        let method = if method == "HEAD" { "GET" } else { method.as_str() };
        // Not `BTreeMap::get`, which would need the route as a `String` for each request.
        let found = self.0.iter().find(|((it, path), _)| *it == method && path == route);
        found.map(|(_, contract)| contract)
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let all = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

impl RouteContract {
    fn of(operation: &Operation) -> RouteContract {
        let parameters = operation.parameters.iter().flatten().filter_map(|it| match it {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        });
        let in_query = parameters.filter(|it| it.parameter_in == ParameterIn::Query);
        RouteContract {
            // Without a role, only the token that may do everything is admitted.
            role: role(operation, X_ROLE).unwrap_or(Role::Everything),
            dry_run_role: role(operation, X_ROLE_DRY_RUN),
            takes_body: operation.request_body.is_some(),
            query: in_query.map(|it| it.name.clone()).collect(),
        }
    }

    /// Returns whether each successful request changes something. What can be tried is logged by its
    /// handler, which knows whether it was.
    pub(super) fn is_action(&self) -> bool {
        self.role >= Role::Operate && self.dry_run_role.is_none()
    }

    /// Returns the least role with which the handler may be called.
    pub(super) fn role_min(&self) -> Role {
        self.dry_run_role.unwrap_or(self.role)
    }
}

fn role(operation: &Operation, key: &str) -> Option<Role> {
    let name = operation.extensions.as_ref()?.get(key)?.as_str()?;
    Role::NAMED.iter().find(|(it, _)| *it == name).map(|(_, role)| *role)
}
