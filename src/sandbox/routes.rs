//! The routes of the API, and the look at what is held.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::account::Account;
use super::collection::Fields;
use super::error::ErrorResponse;
use super::fields::{self, Rule};
use super::list_query::ListQuery;
use super::state::SharedState;
use crate::clock;

type ApiResult = Result<(StatusCode, Json<Value>), ErrorResponse>;

pub(super) async fn create_feedback(
    State(account): SharedState,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult {
    let feedback = read(&headers, &body, fields::FEEDBACK)?;
    let id = account.books().create_feedback(feedback, clock::now());
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

pub(super) async fn upsert_contact(
    State(account): SharedState,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult {
    let contact = read(&headers, &body, fields::CONTACT)?;
    let mut books = account.books();
    let id = books.upsert_contact(contact, clock::now()).map_err(ErrorResponse::fields)?;
    let kept = books.contacts.get(id).map(|contact| books.show_contact(contact));
    Ok((StatusCode::CREATED, Json(kept.unwrap_or_default())))
}

pub(super) async fn upsert_company(
    State(account): SharedState,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult {
    let company = read(&headers, &body, fields::COMPANY)?;
    let mut books = account.books();
    let id = books.upsert_company(company, clock::now());
    let kept = books.companies.get(id).map(Account::show_company);
    Ok((StatusCode::CREATED, Json(kept.unwrap_or_default())))
}

/// The reference gives 201 for the lists of contacts and companies, and so does the sandbox.
pub(super) async fn list_contacts(
    State(account): SharedState,
    Query(asked): Query<ListQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult {
    let books = account.books();
    let found = books.contacts.entries().filter(|it| asked.finds(it, &["email", "name"]));
    let page = asked.window(found)?.page((&headers, &uri), |it| books.show_contact(it));
    Ok((StatusCode::CREATED, Json(Value::Object(page))))
}

pub(super) async fn list_companies(
    State(account): SharedState,
    Query(asked): Query<ListQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult {
    let books = account.books();
    let found = books.companies.entries().filter(|it| asked.finds(it, &["name"]));
    let page = asked.window(found)?.page((&headers, &uri), Account::show_company);
    Ok((StatusCode::CREATED, Json(Value::Object(page))))
}

pub(super) async fn list_feature_requests(
    State(account): SharedState,
    Query(asked): Query<ListQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult {
    let books = account.books();
    let found = books.feature_requests.entries().filter(|it| is_asked_for(it, &asked, &books));
    let mut page = asked.window(found)?.page((&headers, &uri), |it| books.show_feature_request(it));
    page.shift_remove("count");
    Ok((StatusCode::OK, Json(Value::Object(page))))
}

pub(super) async fn feature_request(
    State(account): SharedState,
    Path(id): Path<String>,
) -> ApiResult {
    let books = account.books();
    let found = id.parse().ok().and_then(|id| books.feature_requests.get(id));
    let found = found.ok_or_else(|| ErrorResponse::detail(StatusCode::NOT_FOUND, "Not found."))?;
    Ok((StatusCode::OK, Json(books.show_feature_request(found))))
}

fn is_asked_for(entry: &Fields, asked: &ListQuery, books: &Account) -> bool {
    let is = |wanted: &str, field: &str| {
        wanted.is_empty() || entry.get(field).and_then(Value::as_str) == Some(wanted)
    };
    let lists = |wanted: &str, field: &str, key: &str| {
        let mut items = entry.get(field).and_then(Value::as_array).into_iter().flatten();
        wanted.is_empty() || items.any(|item| item[key] == wanted)
    };
    // Without the feature on the account, its filter is ignored.
    let is_of = |wanted: &str, field: &str| !books.products.contains(&field) || is(wanted, field);
    asked.finds(entry, &["title"])
        && is(&asked.state, "state")
        && is_of(&asked.product, "product")
        && is_of(&asked.product_area, "product_area")
        && lists(&asked.tag, "tags", "title")
        && lists(&asked.roadmap, "roadmaps", "roadmap")
}

/// A list, oldest first. `X-Sandbox-Dropped` tells how many were dropped to make room.
pub(super) async fn held(
    State(account): SharedState,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ErrorResponse> {
    let books = account.books();
    let as_kept = |fields: &Fields| Value::Object(fields.clone());
    let (shelf, show): (_, &dyn Fn(&Fields) -> Value) = match name.as_str() {
        "feedback" => (&books.feedback, &as_kept),
        "contacts" => (&books.contacts, &|it| books.show_contact(it)),
        "companies" => (&books.companies, &Account::show_company),
        "feature-requests" => (&books.feature_requests, &|it| books.show_feature_request(it)),
        _ => return Err(ErrorResponse::detail(StatusCode::NOT_FOUND, "Not found.")),
    };
    let texts: Vec<String> = shelf.entries().map(|entry| show(entry).to_string()).collect();
    let dropped = [("x-sandbox-dropped", shelf.dropped().to_string())];
    Ok((dropped, [(CONTENT_TYPE, "application/json")], format!("[{}]", texts.join(","))))
}

/// The body's fields, if they are fit to be kept.
fn read(headers: &HeaderMap, body: &[u8], rules: &[Rule]) -> Result<Fields, ErrorResponse> {
    let kind = headers.get(CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap_or_default());
    if !kind.to_ascii_lowercase().starts_with("application/json") {
        let detail = format!("Unsupported media type \"{kind}\" in request.");
        return Err(ErrorResponse::detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, &detail));
    }
    let body = serde_json::from_slice(body).map_err(|error| {
        ErrorResponse::detail(StatusCode::BAD_REQUEST, &format!("JSON parse error - {error}"))
    })?;
    let Value::Object(body) = body else {
        let errors = json!(["Invalid data. Expected a dictionary."]);
        return Err(ErrorResponse::fields(Map::from_iter([(
            "non_field_errors".to_owned(),
            errors,
        )])));
    };
    fields::clean(&body, rules).map_err(ErrorResponse::fields)
}
