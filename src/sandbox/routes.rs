//! Routes of the API, and the one that shows what the sandbox holds.

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
    State(sandbox): SharedState,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult {
    let feedback = read(&headers, &body, fields::FEEDBACK)?;
    let id = sandbox.account().create_feedback(feedback, clock::now());
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

pub(super) async fn upsert_contact(
    State(sandbox): SharedState,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult {
    let contact = read(&headers, &body, fields::CONTACT)?;
    let mut account = sandbox.account();
    let id = account.upsert_contact(contact, clock::now()).map_err(ErrorResponse::fields)?;
    let stored = account.contacts.get(id).map(|contact| account.show_contact(contact));
    Ok((StatusCode::CREATED, Json(stored.unwrap_or_default())))
}

pub(super) async fn upsert_company(
    State(sandbox): SharedState,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult {
    let company = read(&headers, &body, fields::COMPANY)?;
    let mut account = sandbox.account();
    let id = account.upsert_company(company, clock::now());
    let stored = account.companies.get(id).map(Account::show_company);
    Ok((StatusCode::CREATED, Json(stored.unwrap_or_default())))
}

pub(super) async fn list_contacts(
    State(sandbox): SharedState,
    Query(query): Query<ListQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult {
    let account = sandbox.account();
    let found = account.contacts.entries().filter(|it| query.finds(it, &["email", "name"]));
    let page = query.window(found)?.page((&headers, &uri), |it| account.show_contact(it));
    // 201 and not 200: the reference documents it for the lists of contacts and companies.
    Ok((StatusCode::CREATED, Json(Value::Object(page))))
}

pub(super) async fn list_companies(
    State(sandbox): SharedState,
    Query(query): Query<ListQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult {
    let account = sandbox.account();
    let found = account.companies.entries().filter(|it| query.finds(it, &["name"]));
    let page = query.window(found)?.page((&headers, &uri), Account::show_company);
    Ok((StatusCode::CREATED, Json(Value::Object(page))))
}

pub(super) async fn list_feature_requests(
    State(sandbox): SharedState,
    Query(query): Query<ListQuery>,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult {
    let account = sandbox.account();
    let found = account.feature_requests.entries().filter(|it| matches(it, &query, &account));
    let page = query.window(found)?;
    let mut page = page.page((&headers, &uri), |it| account.show_feature_request(it));
    // The reference shows no count for this list.
    page.shift_remove("count");
    Ok((StatusCode::OK, Json(Value::Object(page))))
}

pub(super) async fn feature_request(
    State(sandbox): SharedState,
    Path(id): Path<String>,
) -> ApiResult {
    let account = sandbox.account();
    let found = id.parse().ok().and_then(|id| account.feature_requests.get(id));
    let found = found.ok_or_else(|| ErrorResponse::detail(StatusCode::NOT_FOUND, "Not found."))?;
    Ok((StatusCode::OK, Json(account.show_feature_request(found))))
}

fn matches(entry: &Fields, query: &ListQuery, account: &Account) -> bool {
    let is = |value: &str, field: &str| {
        value.is_empty() || entry.get(field).and_then(Value::as_str) == Some(value)
    };
    let lists = |value: &str, field: &str, key: &str| {
        let mut items = entry.get(field).and_then(Value::as_array).into_iter().flatten();
        value.is_empty() || items.any(|item| item[key] == value)
    };
    // Savio ignores a filter for products or product areas on accounts without them.
    let is_of = |value: &str, field: &str| !account.products.contains(&field) || is(value, field);
    query.finds(entry, &["title"])
        && is(&query.state, "state")
        && is_of(&query.product, "product")
        && is_of(&query.product_area, "product_area")
        && lists(&query.tag, "tags", "title")
        && lists(&query.roadmap, "roadmaps", "roadmap")
}

/// Returns all records of a collection, oldest first. `X-Sandbox-Dropped` counts those that were
/// dropped to make room.
pub(super) async fn show_collection(
    State(sandbox): SharedState,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ErrorResponse> {
    let account = sandbox.account();
    let as_stored = |fields: &Fields| Value::Object(fields.clone());
    let (collection, show): (_, &dyn Fn(&Fields) -> Value) = match name.as_str() {
        "feedback" => (&account.feedback, &as_stored),
        "contacts" => (&account.contacts, &|it| account.show_contact(it)),
        "companies" => (&account.companies, &Account::show_company),
        "feature-requests" => (&account.feature_requests, &|it| account.show_feature_request(it)),
        _ => return Err(ErrorResponse::detail(StatusCode::NOT_FOUND, "Not found.")),
    };
    // As text, entry by entry: 200,000 of them as one `Value` would take several times the memory.
    let texts: Vec<String> = collection.entries().map(|entry| show(entry).to_string()).collect();
    let dropped = [("x-sandbox-dropped", collection.dropped().to_string())];
    Ok((dropped, [(CONTENT_TYPE, "application/json")], format!("[{}]", texts.join(","))))
}

/// Parses and validates the fields of a JSON body.
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
