//! A stand-in for Savio in memory, with its routes, status codes and messages, and with faults on
//! demand.

mod error;
mod routes;
mod account;
mod connection;
mod list_query;
mod collection;
mod faults;
mod fields;
mod seed;
mod state;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::clock;
use connection::{Connections, ResetHandle};
use error::ErrorResponse;
pub use faults::{FailureRate, Faults, InvalidFaults, Share};
use faults::{Fault, FaultInjector};
use list_query::API;
pub use seed::Seed;
use state::{SandboxState, SharedState};

const BODY_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The only accepted token; none accepts any.
    pub token: Option<SecretString>,
    pub faults: Faults,
    /// Records that exist from the start.
    pub seed: Seed,
}

/// Serves until `shutdown` resolves, and then drops all requests in progress.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let service = router(settings).into_make_service_with_connect_info::<ResetHandle>();
    tokio::select! {
        served = axum::serve(Connections::new(listener), service) => served,
        () = shutdown => Ok(()),
    }
}

/// Serves the API under `/app/api/`, and its records under `/sandbox/`, without faults or
/// authentication.
fn router(Settings { token, faults, seed }: Settings) -> Router {
    let fault_injector = FaultInjector::new(faults, Instant::now());
    let account = Mutex::new(seed.into_account(clock::now()));
    let state = Arc::new(SandboxState { token, fault_injector, account });
    let api = Router::new()
        .route("/create-feedback/", post(routes::create_feedback))
        .route("/feature-requests/", get(routes::list_feature_requests))
        .route("/feature-requests/{id}/", get(routes::feature_request))
        .route("/users/", get(routes::list_contacts).post(routes::upsert_contact))
        .route("/companies/", get(routes::list_companies).post(routes::upsert_company))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(state.clone(), authenticate))
        // Outside authentication, as an overloaded or broken server fails before it looks at a
        // token.
        .layer(middleware::from_fn_with_state(state.clone(), inject_fault))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .nest(API, api)
        .route("/sandbox/{collection}", get(routes::show_collection))
        .fallback(not_found)
        .with_state(state)
}

/// Applies the next fault to a request, before the API handles it or after.
async fn inject_fault(
    State(sandbox): SharedState,
    ConnectInfo(connection): ConnectInfo<ResetHandle>,
    request: Request,
    next: Next,
) -> Response {
    let fault = match sandbox.fault_injector.next(Instant::now()) {
        Ok(fault) => fault,
        Err(wait) => return throttled(wait),
    };
    sleep(sandbox.fault_injector.latency()).await;
    match fault {
        None => next.run(request).await,
        Some(fault) => apply(fault, &connection, request, next).await,
    }
}

async fn apply(fault: Fault, connection: &ResetHandle, request: Request, next: Next) -> Response {
    match fault {
        Fault::Fail(status) => {
            ErrorResponse::detail(status, "The sandbox was told to fail.").into_response()
        }
        // Until the client gives up and closes the connection, which drops this future.
        Fault::Hang => std::future::pending().await,
        Fault::ResetBefore => {
            connection.cut();
            // The response is never sent: the connection refuses to write it.
            StatusCode::NO_CONTENT.into_response()
        }
        Fault::ResetAfter => {
            let answer = next.run(request).await;
            connection.cut();
            answer
        }
    }
}

fn throttled(wait: Duration) -> Response {
    // Rounded up: `Retry-After` has whole seconds, and a client that comes earlier would be refused
    // again.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("Request was throttled. Expected available in {seconds} seconds.");
    let refusal = ErrorResponse::detail(StatusCode::TOO_MANY_REQUESTS, &detail);
    ([(RETRY_AFTER, seconds.to_string())], refusal).into_response()
}

async fn authenticate(State(sandbox): SharedState, request: Request, next: Next) -> Response {
    if sandbox.is_authenticated(request.headers()) {
        return next.run(request).await;
    }
    let detail = if request.headers().contains_key(AUTHORIZATION) {
        "Invalid token."
    } else {
        "Authentication credentials were not provided."
    };
    let refusal = ErrorResponse::detail(StatusCode::UNAUTHORIZED, detail);
    ([(WWW_AUTHENTICATE, "Token")], refusal).into_response()
}

async fn not_found() -> ErrorResponse {
    ErrorResponse::detail(StatusCode::NOT_FOUND, "Not found.")
}

async fn method_not_allowed(method: Method) -> ErrorResponse {
    let detail = format!("Method \"{method}\" not allowed.");
    ErrorResponse::detail(StatusCode::METHOD_NOT_ALLOWED, &detail)
}
