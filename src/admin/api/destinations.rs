//! Destinations: their status, and pauses by a person.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::stats::{QueueStats, queues};
use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::{PathSegment, QueryParams};
use crate::admin::state::{AdminState, DestinationHandle as To};
use crate::admin::time_bound::Since;
use crate::clock;
use crate::delivery::gate::PausedBy;
use crate::event::SourceName;
use crate::store::{AuditAction, Interruption, InterruptionKind, LoggedInterruption};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DestinationsListed)]
pub(crate) struct DestinationList {
    destinations: Vec<DestinationView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DestinationView {
    name: String,
    base_url: String,
    paused: bool,
    paused_by: Option<PausedBy>,
    paused_since: Option<Timestamp>,
    /// Reason why nothing is sent at present, by a pause or a wait of its own; null if requests are
    /// sent.
    reason: Option<String>,
    /// Time at which the relay asks Savio again, if that may end the pause.
    next_probe_at: Option<Timestamp>,
    /// Time until which it waits by itself, after failures or by its rate.
    backoff_until: Option<Timestamp>,
    /// Reason for which the last request failed; null after a success.
    last_failure: Option<String>,
    /// Requests in progress.
    in_flight: usize,
    /// Queued events of the sources that send to it.
    queued: u64,
    /// Queued events that wait for another event.
    waiting_for_event: u64,
    oldest_queued_seconds: Option<u64>,
}

/// List destinations, with what waits for each
#[utoipa::path(get, path = "/api/v1/destinations",
    responses((status = 200, description = "All destinations, by name", body = DestinationList)))]
pub(crate) async fn list(
    State(admin): State<Arc<AdminState>>,
) -> Result<Json<DestinationList>, ApiError> {
    let queues = queues(&admin, clock::now()).await?;
    let mut destinations = Vec::new();
    for (name, to) in &admin.destinations {
        destinations.push(destination((name, to), &queues).await?);
    }
    Ok(Json(DestinationList { destinations }))
}

async fn destination(
    (name, to): (&String, &To),
    queues: &BTreeMap<SourceName, QueueStats>,
) -> Result<DestinationView, ApiError> {
    let status = to.delivery.status(clock::now()).await?;
    let until = status.waiting_for.as_ref().and_then(|it| it.until);
    let is_paused = status.paused_by.is_some();
    let sources = to.delivery.sources();
    let own = || sources.iter().filter_map(|source| queues.get(source));
    Ok(DestinationView {
        name: name.clone(),
        base_url: to.base_url.clone(),
        paused: is_paused,
        paused_by: status.paused_by,
        paused_since: status.paused_since,
        reason: status.waiting_for.map(|it| it.reason),
        last_failure: status.last_failure,
        next_probe_at: until.filter(|_| is_paused),
        backoff_until: until.filter(|_| !is_paused),
        in_flight: to.delivery.in_flight(),
        queued: own().map(|queue| queue.events).sum(),
        waiting_for_event: own().map(|queue| queue.waiting_for_event).sum(),
        oldest_queued_seconds: own().filter_map(|queue| queue.oldest_seconds).max(),
    })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Only interruptions that went on at this time or began later: an age, a date in UTC or a time; all that are
    /// kept by default.
    #[param(inline)]
    since: Option<Since>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InterruptionList {
    /// Newest first.
    interruptions: Vec<InterruptionView>,
}

/// A time in which requests were not sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InterruptionView {
    kind: InterruptionKind,
    /// Why it began.
    reason: String,
    began_at: Timestamp,
    /// Null while it goes on. A wait that Savio asked for has the time at which it is to end.
    ended_at: Option<Timestamp>,
    /// Events that are queued now, or were when it ended; of a wait that Savio asked for, when it was last extended.
    waiting: u64,
}

/// List when requests were not sent to a destination, and why, newest first: kept for 90 days
#[utoipa::path(get, path = "/api/v1/destinations/{name}/log", params(LogQuery,
        ("name" = SourceName, Path, description = "Name of the destination")),
    responses((status = 200, description = "At most the last 1000 interruptions", body = InterruptionList),
        (status = 404, description = "There is no such destination")))]
pub(crate) async fn log(
    State(admin): State<Arc<AdminState>>,
    PathSegment(name): PathSegment,
    QueryParams(query, _): QueryParams<LogQuery>,
) -> Result<Json<InterruptionList>, ApiError> {
    let to = admin.destination(&name)?;
    let now = clock::now();
    let since = query.since.map_or(Timestamp::MIN, |Since(time)| time);
    let logged = admin.store.interruptions(&name, since).await?;
    let queued = queues(&admin, now).await?;
    let sources = to.delivery.sources();
    let waiting_now: u64 =
        sources.iter().filter_map(|source| queued.get(source)).map(|queue| queue.events).sum();
    let view = |LoggedInterruption { interruption, waiting }| {
        let Interruption { kind, reason, began_at, ended_at } = interruption;
        let goes_on = ended_at.is_none_or(|end| end > now);
        let waiting = if goes_on { waiting_now } else { waiting };
        InterruptionView { kind, reason, began_at, ended_at, waiting }
    };
    Ok(Json(InterruptionList { interruptions: logged.into_iter().map(view).collect() }))
}

async fn one(
    admin: &AdminState,
    (name, to): (&String, &To),
) -> Result<Json<DestinationView>, ApiError> {
    let queues = queues(admin, clock::now()).await?;
    Ok(Json(destination((name, to), &queues).await?))
}

/// Pause a destination: its events wait, requests in progress are finished
#[utoipa::path(post, path = "/api/v1/destinations/{name}/pause",
    params(("name" = SourceName, Path, description = "Name of the destination")),
    responses((status = 200, description = "The destination as it is now", body = DestinationView),
        (status = 404, description = "There is no such destination")))]
pub(crate) async fn pause(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(name): PathSegment,
) -> Result<Json<DestinationView>, ApiError> {
    let to = admin.destination(&name)?;
    to.delivery.pause(clock::now()).await?;
    admin.record(caller.did(AuditAction::Pause).on(&format!("destination {name}"))).await;
    one(&admin, (&name, to)).await
}

/// Resume a destination, also if the relay itself paused it
#[utoipa::path(post, path = "/api/v1/destinations/{name}/resume",
    params(("name" = SourceName, Path, description = "Name of the destination")),
    responses((status = 200, description = "The destination as it is now", body = DestinationView),
        (status = 404, description = "There is no such destination")))]
pub(crate) async fn resume(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(name): PathSegment,
) -> Result<Json<DestinationView>, ApiError> {
    let to = admin.destination(&name)?;
    to.delivery.resume(clock::now()).await?;
    admin.record(caller.did(AuditAction::Resume).on(&format!("destination {name}"))).await;
    one(&admin, (&name, to)).await
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProbeResult {
    /// Whether Savio answers and accepts the token.
    works: bool,
    /// Reason why it does not; null if it does.
    reason: Option<String>,
    /// Whether that ended a pause by an answer, or a wait after failures.
    resumed: bool,
    /// The destination as it is now.
    destination: DestinationView,
}

/// Ask Savio now, and resume if the destination was paused by an answer and it works
#[utoipa::path(post, path = "/api/v1/destinations/{name}/probe",
    params(("name" = SourceName, Path, description = "Name of the destination")),
    responses((status = 200, description = "Savio's answer, and the destination as it is now", body = ProbeResult),
        (status = 404, description = "There is no such destination")))]
pub(crate) async fn probe(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(name): PathSegment,
) -> Result<Json<ProbeResult>, ApiError> {
    let to = admin.destination(&name)?;
    let report = to.delivery.probe(clock::now()).await?;
    let detail = match (&report.answer, report.resumed) {
        (Ok(()), true) => "it works and was resumed",
        (Ok(()), false) => "it works",
        (Err(_), _) => "it does not work",
    };
    let entry = caller.did(AuditAction::Probe).on(&format!("destination {name}")).detail(detail);
    admin.record(entry).await;
    let Json(destination) = one(&admin, (&name, to)).await?;
    let (works, reason) = (report.answer.is_ok(), report.answer.err());
    Ok(Json(ProbeResult { works, reason, resumed: report.resumed, destination }))
}
