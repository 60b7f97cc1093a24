//! Savio on the user's own machine: the same routes, codes and messages, with a bounded memory.

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
    /// The one token that is let in; without it, any.
    pub token: Option<SecretString>,
    pub faults: Faults,
    /// What it holds from the start.
    pub seed: Seed,
}

/// Serves until `shutdown` resolves; requests that are under way then are cut off.
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

/// The API under `/app/api/`, and what it holds under `/sandbox/`, where nothing goes wrong.
fn router(Settings { token, faults, seed }: Settings) -> Router {
    let trouble = FaultInjector::new(faults, Instant::now());
    let books = Mutex::new(seed.sow(clock::now()));
    let account = Arc::new(SandboxState { token, trouble, books });
    let api = Router::new()
        .route("/create-feedback/", post(routes::create_feedback))
        .route("/feature-requests/", get(routes::list_feature_requests))
        .route("/feature-requests/{id}/", get(routes::feature_request))
        .route("/users/", get(routes::list_contacts).post(routes::upsert_contact))
        .route("/companies/", get(routes::list_companies).post(routes::upsert_company))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(account.clone(), authenticate))
        .layer(middleware::from_fn_with_state(account.clone(), befall))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .nest(API, api)
        .route("/sandbox/{shelf}", get(routes::held))
        .fallback(not_found)
        .with_state(account)
}

/// What the faults make of a request before the API sees it, or its answer after that.
async fn befall(
    State(account): SharedState,
    ConnectInfo(connection): ConnectInfo<ResetHandle>,
    request: Request,
    next: Next,
) -> Response {
    let fate = match account.trouble.next(Instant::now()) {
        Ok(fate) => fate,
        Err(wait) => return throttled(wait),
    };
    sleep(account.trouble.latency()).await;
    match fate {
        Fault::Well => next.run(request).await,
        Fault::Fail(status) => {
            ErrorResponse::detail(status, "The sandbox was told to fail.").into_response()
        }
        Fault::Hang => std::future::pending().await,
        Fault::ResetBefore => {
            connection.cut();
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
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("Request was throttled. Expected available in {seconds} seconds.");
    let refusal = ErrorResponse::detail(StatusCode::TOO_MANY_REQUESTS, &detail);
    ([(RETRY_AFTER, seconds.to_string())], refusal).into_response()
}

async fn authenticate(State(account): SharedState, request: Request, next: Next) -> Response {
    if account.lets_in(request.headers()) {
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
