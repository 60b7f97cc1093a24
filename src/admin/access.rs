//! Decides which requests are admitted: the token must be known, and its role must suffice for the
//! route.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::info;

use super::contract::{Contracts, RouteContract};
use super::error::ApiError;
use super::role::Role;
use super::tokens::{AdminToken, AdminTokens};
use crate::clock;
use crate::store::{Actor, AuditAction, AuditVia, NewAuditEntry};

/// Header by which a command says who runs it. It counts with the token of `admin.token` alone,
/// whose holder may do everything and could be anybody.
pub(crate) const USER_HEADER: &str = "x-savio-relay-user";

/// What decides about a request.
#[derive(Debug, Clone)]
pub(super) struct AccessControl {
    pub(super) tokens: Arc<AdminTokens>,
    pub(super) contracts: Contracts,
}

/// Whoever sent an admitted request: the name and the role of the token, and who that is in the
/// audit.
#[derive(Debug, Clone)]
pub(crate) struct ApiCaller {
    pub(super) name: Arc<str>,
    role: Role,
    actor: Actor,
}

impl ApiCaller {
    /// Returns who it is in the audit, for actions that the store records itself.
    pub(super) fn actor(&self) -> Actor {
        self.actor.clone()
    }

    /// Returns the audit's entry of an action of this caller, for `AdminState::record`.
    pub(super) fn did(&self, action: AuditAction) -> NewAuditEntry {
        self.actor.did(action, clock::now())
    }

    /// Fails if the role does not suffice.
    pub(super) fn require(&self, needed: Role) -> Result<(), ApiError> {
        if self.role >= needed { Ok(()) } else { Err(self.forbidden(needed)) }
    }

    fn forbidden(&self, needed: Role) -> ApiError {
        ApiError::Forbidden { token: Arc::clone(&self.name), has: self.role, needed }
    }
}

impl<S: Sync> FromRequestParts<S> for ApiCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ApiCaller, ApiError> {
        parts.extensions.get::<ApiCaller>().cloned().ok_or(ApiError::Internal)
    }
}

/// Passes on the requests whose token has the role of their route. Answers 401 without a known
/// token, and 403 without the role.
pub(super) async fn admit(
    State(access): State<AccessControl>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match access.caller(&request) {
        Ok(caller) => run(&access, caller, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    // Responses hold payloads that strangers wrote, and depend on the token: no cache keeps them,
    // no browser guesses a type.
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl AccessControl {
    fn caller(&self, request: &Request) -> Result<ApiCaller, ApiError> {
        let header = request.headers().get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
        let token = header.and_then(bearer).and_then(|token| self.tokens.find(token));
        let AdminToken { name, role, .. } = token.ok_or(ApiError::Unauthorized)?;
        let user = named_user(request.headers()).filter(|_| role == Role::Everything);
        let actor = user.unwrap_or_else(|| Actor::new(&name, AuditVia::Token));
        let caller = ApiCaller { name, role, actor };
        match self.contracts.get(request) {
            Some(contract) if role < contract.role_min() => Err(caller.forbidden(contract.role)),
            // Anybody may learn that a route does not exist: the description is public.
            Some(_) | None => Ok(caller),
        }
    }
}

async fn run(
    access: &AccessControl,
    caller: ApiCaller,
    mut request: Request,
    next: Next,
) -> Response {
    let is_action = access.contracts.get(&request).is_some_and(RouteContract::is_action);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let name = Arc::clone(&caller.name);
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    if is_action && response.status().is_success() {
        info!(token = %name, "{method} {path}");
    }
    response
}

/// Returns the user that a command names.
fn named_user(headers: &HeaderMap) -> Option<Actor> {
    let named = headers.get(USER_HEADER)?.to_str().ok()?;
    let actor = Actor::new(named, AuditVia::Cli);
    (!actor.who.is_empty()).then_some(actor)
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
