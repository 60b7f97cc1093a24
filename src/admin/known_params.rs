//! Rejects query parameters that the description of a route does not name. A misspelled filter
//! would otherwise be ignored, and match everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Query, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, PathItem, RefOr};

use super::error::ApiError;

/// Names of the query parameters by method and route.
#[derive(Debug, Clone)]
pub(super) struct KnownParams(Arc<BTreeMap<(&'static str, String), Vec<String>>>);

impl KnownParams {
    // From the description, so that a parameter cannot be accepted without being documented.
    pub(super) fn of(description: &OpenApi) -> KnownParams {
        let routes = description.paths.paths.iter().flat_map(|(path, item)| {
            operations(item).map(|(method, operation)| ((method, path.clone()), names(operation)))
        });
        KnownParams(Arc::new(routes.collect()))
    }

    /// Returns the parameters of a route; none if the API has no such route.
    fn get(&self, method: &str, route: &str) -> &[String] {
        // Not `BTreeMap::get`, which would need the route as a `String` for each request.
        let found = self.0.iter().find(|((it, path), _)| *it == method && path == route);
        found.map_or(&[], |(_, names)| names)
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let all = [("GET", &item.get), ("POST", &item.post), ("DELETE", &item.delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn names(operation: &Operation) -> Vec<String> {
    let parameters = operation.parameters.iter().flatten().filter_map(|it| match it {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    });
    let in_query = parameters.filter(|it| it.parameter_in == ParameterIn::Query);
    in_query.map(|it| it.name.clone()).collect()
}

/// Middleware that answers 400 to an unknown parameter.
pub(super) async fn check(
    State(known): State<KnownParams>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    // HEAD is answered by the handlers of GET.
    let method = if request.method() == "HEAD" { "GET" } else { request.method().as_str() };
    let known = known.get(method, route.as_str());
    let received: Query<Vec<(String, String)>> = Query::try_from_uri(request.uri())
        .map_err(|error| ApiError::BadRequest(error.body_text()))?;
    match received.iter().find(|(name, _)| !known.contains(name)) {
        Some((name, _)) if known.is_empty() => {
            let reason = format!("unknown parameter `{name}`; none is known here");
            Err(ApiError::BadRequest(reason))
        }
        Some((name, _)) => {
            let known = known.join(", ");
            let reason = format!("unknown parameter `{name}`; known here: {known}");
            Err(ApiError::BadRequest(reason))
        }
        None => Ok(next.run(request).await),
    }
}
