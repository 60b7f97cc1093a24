//! Decides which requests are admitted: it must be known who sends them, their role must suffice for
//! the route, and no page of another site may have sent them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::info;

pub(crate) use super::caller::ApiCaller;
use super::contract::{Contracts, RouteContract};
use super::csrf;
use super::error::ApiError;
use super::logins::Logins;
use crate::store::LoginMethod;

/// What decides about a request.
#[derive(Debug, Clone)]
pub(super) struct AccessControl {
    pub(super) logins: Arc<Logins>,
    pub(super) contracts: Contracts,
}

/// Passes on the requests whose caller has the role of their route. Answers 401 if nobody knows the
/// caller, and 403 without the role.
pub(super) async fn admit(
    State(access): State<AccessControl>,
    request: Request,
    next: Next,
) -> Response {
    match access.admitted(request).await {
        Ok((caller, request)) => run(&access, caller, request, next).await,
        Err(refusal) => refusal.into_response(),
    }
}

impl AccessControl {
    async fn admitted(&self, request: Request) -> Result<(ApiCaller, Request), ApiError> {
        let (mut parts, body) = request.into_parts();
        let caller = self.logins.caller(&parts).await?;
        match self.contracts.get(&parts) {
            Some(contract) if caller.role < contract.role_min() => {
                return Err(caller.forbidden(contract.role));
            }
            // Anybody may learn that a route does not exist: the description is public.
            Some(_) | None => {}
        }
        csrf::check(&mut parts, &caller, &self.logins)?;
        parts.extensions.insert(caller.clone());
        Ok((caller, Request::from_parts(parts, body)))
    }
}

async fn run(access: &AccessControl, caller: ApiCaller, request: Request, next: Next) -> Response {
    let is_action = access.contracts.of_request(&request).is_some_and(RouteContract::is_action);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if is_action && response.status().is_success() {
        let name = &caller.name;
        match caller.via {
            LoginMethod::Token | LoginMethod::Link => info!(token = %name, "{method} {path}"),
            LoginMethod::Proxy => info!(user = %name, "{method} {path}"),
        }
    }
    response
}
