//! Events: lists, single events, their bodies, and the release of held ones.

use std::sync::Arc;

use axum::extract::State as Of;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::admin::accept::prefers_csv;
use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::event_csv::event_csv;
use crate::admin::params::{
    EventQuery, JsonBody, NoParams, PathSegment, QueryParams, id, no_event, page,
};
use crate::admin::state::AdminState;
use crate::admin::views::EventView;
use crate::clock;
use crate::event::{EventId, State};
use crate::store::{
    CountFor, Erasure, ErasureOutcome, ErasureRequest, EventFilter, EventPage, HoldDecision,
    MatchCount, ReleaseOutcome, ReleaseRequest, StateCounts,
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Number of events at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next` of the previous page.
    #[param(min_length = 1, pattern = "^-?[0-9]+-[0-9]+$")]
    after: Option<String>,
    /// The `newest` of an earlier page: only events that were stored after it.
    newer_than: Option<u64>,
}

/// List events, newest first
#[utoipa::path(get, path = "/api/v1/events", params(PageParams, EventQuery),
    responses((status = 200, content((EventPage = "application/json"), (String = "text/csv")),
            description = "A page of events. By `Accept: text/csv` a table, with the next page in `Link`"),
        (status = 404, description = "There is no such destination")))]
pub(crate) async fn list(
    Of(admin): Of<Arc<AdminState>>,
    uri: Uri,
    headers: HeaderMap,
    QueryParams(PageParams { limit, after, newer_than }, query): QueryParams<
        PageParams,
        EventQuery,
    >,
) -> Result<Response, ApiError> {
    let page = page(limit, after.as_deref())?;
    let filter = EventFilter { newer_than, ..query.filter(&admin)? };
    let mut page = admin.store.list(filter, page).await?;
    let now = clock::now();
    for event in &mut page.events {
        admin.complete(event, now);
    }
    let vary = [(header::VARY, "accept")];
    if prefers_csv(&headers) {
        return Ok((vary, table(&page, &uri)?).into_response());
    }
    Ok((vary, Json(page)).into_response())
}

/// Returns a page as CSV.
fn table(page: &EventPage, uri: &Uri) -> Result<Response, ApiError> {
    let csv = event_csv(&page.events).map_err(|_| ApiError::Internal)?;
    let mut response =
        ([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], csv).into_response();
    if let Some(next) = page.next {
        let link = format!("<{}>; rel=\"next\"", with_after(uri, &next.to_string()));
        let link = HeaderValue::try_from(link).map_err(|_| ApiError::Internal)?;
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// Returns the address of the page behind a cursor.
fn with_after(uri: &Uri, after: &str) -> String {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let others = pairs.filter(|(key, _)| key != "after");
    let address = format!("{}?", uri.path());
    let start = address.len();
    let mut query = form_urlencoded::Serializer::for_suffix(address, start);
    query.extend_pairs(others).append_pair("after", after).finish()
}

/// Events that match a filter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventCounts {
    events: StateCounts,
    /// True if there may be more: counting stops at 10,000 events of a state, and where events are
    /// compared one by one, at 10,000 in all or after 25 ms; a search of texts after a second.
    at_least: bool,
}

impl EventCounts {
    pub(crate) fn of(MatchCount { states: events, at_least }: MatchCount) -> EventCounts {
        EventCounts { events, at_least }
    }
}

/// Count the events that match a filter, by state
#[utoipa::path(get, path = "/api/v1/events/counts", params(EventQuery),
    responses((status = 200, description = "The counts", body = EventCounts),
        (status = 404, description = "There is no such destination")))]
pub(crate) async fn counts(
    Of(admin): Of<Arc<AdminState>>,
    QueryParams(query, NoParams {}): QueryParams<EventQuery>,
) -> Result<Json<EventCounts>, ApiError> {
    let matching = admin.store.count_matching(query.filter(&admin)?, CountFor::Display).await?;
    Ok(Json(EventCounts::of(matching)))
}

/// Show an event: payload, requests, attempts, and the events beside it in the list of a filter
#[utoipa::path(get, path = "/api/v1/events/{id}",
    params(("id" = EventId, Path, description = "Id of the event"), EventQuery),
    responses((status = 404, description = "There is no such event"),
        (status = 200, description = "The event", body = EventView)))]
pub(crate) async fn show(
    Of(admin): Of<Arc<AdminState>>,
    PathSegment(text): PathSegment,
    QueryParams(query, NoParams {}): QueryParams<EventQuery>,
) -> Result<Response, ApiError> {
    let id = id(&text, "event")?;
    let filter = query.filter(&admin)?;
    let record = admin.store.event(id).await?.ok_or_else(|| no_event(id))?;
    let mut line = record.summary();
    admin.complete(&mut line, clock::now());
    let neighbours = admin.store.neighbours(filter, record.place()).await?;
    Ok(Json(EventView::of(line, &record, neighbours)).into_response())
}

/// Get the body of the webhook, byte for byte as received
#[utoipa::path(get, path = "/api/v1/events/{id}/body",
    params(("id" = EventId, Path, description = "Id of the event")),
    responses((status = 404, description = "There is no such event"),
        (status = 200, description = "The body", body = Vec<u8>,
            content_type = "application/octet-stream")))]
pub(crate) async fn body(
    Of(admin): Of<Arc<AdminState>>,
    PathSegment(text): PathSegment,
) -> Result<Response, ApiError> {
    let id = id(&text, "event")?;
    let body = admin.store.body(id).await?.ok_or_else(|| no_event(id))?;
    // No webhook is stored without a body.
    if body.is_empty() {
        return Err(ApiError::NotFound(format!("the body of event {id} was erased")));
    }
    // The body comes from strangers: a browser must not display it as a page.
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}\"")),
    ];
    Ok((headers, body).into_response())
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseBody {
    /// True if Savio has the request that got no answer. If false, it is sent again.
    arrived: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReleaseResult {
    id: EventId,
    state: State,
}

/// Release a held event: it arrived, or send it again
#[utoipa::path(post, path = "/api/v1/events/{id}/release",
    params(("id" = EventId, Path, description = "Id of the event")),
    request_body = ReleaseBody,
    responses((status = 404, description = "There is no such event"),
        (status = 200, description = "The event and its state now", body = ReleaseResult),
        (status = 409, description = "It is not held")))]
pub(crate) async fn release(
    Of(admin): Of<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(text): PathSegment,
    JsonBody(ReleaseBody { arrived }): JsonBody<ReleaseBody>,
) -> Result<Json<ReleaseResult>, ApiError> {
    let id = id(&text, "event")?;
    let decision = if arrived { HoldDecision::AlreadyArrived } else { HoldDecision::SendAgain };
    let request = ReleaseRequest { id, decision, at: clock::now(), by: caller.actor() };
    let state = match admin.store.release(request).await? {
        ReleaseOutcome::Queued => State::Queued,
        ReleaseOutcome::Delivered => State::Delivered,
        ReleaseOutcome::NotHeld(state) => {
            let state = state.as_str();
            let reason = format!("event {id} is {state}: only what is held is released");
            return Err(ApiError::Conflict(reason));
        }
        ReleaseOutcome::NotFound => return Err(no_event(id)),
    };
    Ok(Json(ReleaseResult { id, state }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EraseResult {
    id: EventId,
    erased_at: Timestamp,
    /// Whether the write-ahead log was emptied as well. It holds old bytes otherwise, until it is
    /// written back.
    log_emptied: bool,
}

/// Erase what a settled event says, for good: payload, headers, requests, details of attempts
#[utoipa::path(post, path = "/api/v1/events/{id}/erase",
    params(("id" = EventId, Path, description = "Id of the event")),
    responses((status = 200, description = "It is erased, now or before", body = EraseResult),
        (status = 404, description = "There is no such event"),
        (status = 409, description = "It is queued or held, so that it may yet be sent")))]
pub(crate) async fn erase(
    Of(admin): Of<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(text): PathSegment,
) -> Result<Json<EraseResult>, ApiError> {
    let id: EventId = id(&text, "event")?;
    // As the store has it.
    let now = clock::now();
    let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    let request = ErasureRequest { ids: vec![id], person: None, at: now, by: caller.actor() };
    let Erasure { outcomes, log_emptied } = admin.store.erase(request).await?;
    let erased_at = match outcomes.first() {
        Some((_, ErasureOutcome::Erased)) => now,
        Some((_, ErasureOutcome::ErasedBefore(at))) => *at,
        Some((_, ErasureOutcome::NotSettled(state))) => {
            return Err(ApiError::Conflict(not_settled(id, *state)));
        }
        Some((_, ErasureOutcome::NotFound)) | None => return Err(no_event(id)),
    };
    Ok(Json(EraseResult { id, erased_at, log_emptied }))
}

/// Says why an event in this state is not erased, and what to do first.
pub(crate) fn not_settled(id: EventId, state: State) -> String {
    let state_name = state.as_str();
    let first = match state {
        State::Held => "release it as arrived, or to be sent again, first",
        State::Queued | State::Delivered | State::Ignored | State::Dead => {
            "wait until it is settled, or cancel its replay, first"
        }
    };
    format!("event {id} is {state_name} and may yet be sent: {first}")
}
