//! Savio on the user's own machine: the same routes, codes and messages, with a bounded memory.

mod faults;
mod fields;
mod line;
mod page;
mod shelf;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::clock;
use faults::{Fate, Trouble};
use fields::Errors;
use line::{Cut, Lines};
use page::Asked;
use shelf::Shelf;

pub use faults::{BadFaults, Failing, Faults, Share};

const API: &str = "/app/api";
const BODY_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The one token that is let in; without it, any.
    pub token: Option<SecretString>,
    pub faults: Faults,
}

#[derive(Debug)]
struct Account {
    token: Option<SecretString>,
    trouble: Trouble,
    books: Mutex<Books>,
}

/// All that the sandbox remembers.
#[derive(Debug, Default)]
struct Books {
    feedback: Shelf,
    contacts: Shelf,
    companies: Shelf,
}

type Shared = State<Arc<Account>>;
type Answer = Result<(StatusCode, Json<Value>), Refusal>;

/// Serves until `shutdown` resolves; requests that are under way then are cut off.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let service = router(settings).into_make_service_with_connect_info::<Cut>();
    tokio::select! {
        served = axum::serve(Lines::new(listener), service) => served,
        () = shutdown => Ok(()),
    }
}

/// The API under `/app/api/`, and what it holds under `/sandbox/`, where nothing goes wrong.
fn router(Settings { token, faults }: Settings) -> Router {
    let trouble = Trouble::new(faults, clock::now());
    let account = Arc::new(Account { token, trouble, books: Mutex::default() });
    let api = Router::new()
        .route("/create-feedback/", post(create_feedback))
        .route("/users/", get(list_contacts).post(upsert_contact))
        .route("/companies/", get(list_companies).post(upsert_company))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(account.clone(), authenticate))
        .layer(middleware::from_fn_with_state(account.clone(), befall))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .nest(API, api)
        .route("/sandbox/{shelf}", get(held))
        .fallback(not_found)
        .with_state(account)
}

impl Account {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let (scheme, token) = given.split_at(given.len().min(b"Token ".len()));
        let token = token.trim_ascii();
        let is_right = match &self.token {
            Some(wanted) => token.ct_eq(wanted.expose_secret().as_bytes()).into(),
            None => !token.is_empty(),
        };
        scheme.eq_ignore_ascii_case(b"Token ") && is_right
    }
}

/// What the faults make of a request before the API sees it, or its answer after that.
async fn befall(
    State(account): Shared,
    ConnectInfo(connection): ConnectInfo<Cut>,
    request: Request,
    next: Next,
) -> Response {
    let fate = match account.trouble.next(clock::now()) {
        Ok(fate) => fate,
        Err(wait) => return throttled(wait),
    };
    sleep(account.trouble.latency()).await;
    match fate {
        Fate::Well => next.run(request).await,
        Fate::Fail(status) => {
            Refusal::detail(status, "The sandbox was told to fail.").into_response()
        }
        Fate::Hang => std::future::pending().await,
        Fate::ResetBefore => {
            connection.cut();
            StatusCode::NO_CONTENT.into_response()
        }
        Fate::ResetAfter => {
            let answer = next.run(request).await;
            connection.cut();
            answer
        }
    }
}

fn throttled(wait: Duration) -> Response {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("Request was throttled. Expected available in {seconds} seconds.");
    let refusal = Refusal::detail(StatusCode::TOO_MANY_REQUESTS, &detail);
    ([(RETRY_AFTER, seconds.to_string())], refusal).into_response()
}

async fn authenticate(State(account): Shared, request: Request, next: Next) -> Response {
    if account.lets_in(request.headers()) {
        return next.run(request).await;
    }
    let detail = if request.headers().contains_key(AUTHORIZATION) {
        "Invalid token."
    } else {
        "Authentication credentials were not provided."
    };
    let refusal = Refusal::detail(StatusCode::UNAUTHORIZED, detail);
    ([(WWW_AUTHENTICATE, "Token")], refusal).into_response()
}

async fn create_feedback(State(account): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let feedback = read(&headers, &body, fields::check_feedback)?;
    let id = account.books().feedback.add(feedback);
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

async fn upsert_contact(State(account): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let mut contact = read(&headers, &body, fields::check_contact)?;
    let mut books = account.books();
    let company = contact.get("company_internal_id").and_then(Value::as_str);
    if let Some(company) = company.and_then(|id| books.companies.find("internal_id", id)) {
        contact.insert("company".to_owned(), company["id"].clone());
        contact.insert("company_name".to_owned(), company["name"].clone());
    }
    let kept = books.contacts.upsert(contact, clock::now());
    Ok((StatusCode::CREATED, Json(Value::Object(kept))))
}

async fn upsert_company(State(account): Shared, headers: HeaderMap, body: Bytes) -> Answer {
    let company = read(&headers, &body, fields::check_company)?;
    let kept = account.books().companies.upsert(company, clock::now());
    Ok((StatusCode::CREATED, Json(Value::Object(kept))))
}

async fn list_contacts(
    State(account): Shared,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let books = account.books();
    let found = books.contacts.entries().filter(|it| asked.finds(it, &["email", "name"]));
    asked.page(&found.collect::<Vec<_>>(), (&headers, &uri)).map(Json)
}

async fn list_companies(
    State(account): Shared,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let books = account.books();
    let found = books.companies.entries().filter(|it| asked.finds(it, &["name"]));
    asked.page(&found.collect::<Vec<_>>(), (&headers, &uri)).map(Json)
}

/// A list, oldest first. `X-Sandbox-Dropped` tells how many were dropped to make room.
async fn held(
    State(account): Shared,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, Refusal> {
    let books = account.books();
    let shelf = match name.as_str() {
        "feedback" => &books.feedback,
        "contacts" => &books.contacts,
        "companies" => &books.companies,
        _ => return Err(Refusal::detail(StatusCode::NOT_FOUND, "Not found.")),
    };
    let dropped = [("x-sandbox-dropped", shelf.dropped().to_string())];
    Ok((dropped, [(CONTENT_TYPE, "application/json")], shelf.to_json()))
}

/// The body's fields, if they are fit to be kept.
fn read(
    headers: &HeaderMap,
    body: &[u8],
    check: fn(&Map<String, Value>) -> Errors,
) -> Result<Map<String, Value>, Refusal> {
    let kind = headers.get(CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap_or_default());
    if !kind.to_ascii_lowercase().starts_with("application/json") {
        let detail = format!("Unsupported media type \"{kind}\" in request.");
        return Err(Refusal::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, &detail));
    }
    let body = serde_json::from_slice(body).map_err(|error| {
        Refusal::detail(StatusCode::BAD_REQUEST, &format!("JSON parse error - {error}"))
    })?;
    let Value::Object(body) = body else {
        let errors = json!({ "non_field_errors": ["Invalid data. Expected a dictionary."] });
        return Err(Refusal { status: StatusCode::BAD_REQUEST, body: errors });
    };
    let errors = check(&body);
    if errors.is_empty() {
        Ok(body)
    } else {
        Err(Refusal { status: StatusCode::BAD_REQUEST, body: Value::Object(errors) })
    }
}

async fn not_found() -> Refusal {
    Refusal::detail(StatusCode::NOT_FOUND, "Not found.")
}

async fn method_not_allowed(method: Method) -> Refusal {
    let detail = format!("Method \"{method}\" not allowed.");
    Refusal::detail(StatusCode::METHOD_NOT_ALLOWED, &detail)
}

/// An answer that is no success, in the words of the real API.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    fn detail(status: StatusCode, detail: &str) -> Refusal {
        Refusal { status, body: json!({ "detail": detail }) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
