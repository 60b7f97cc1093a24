//! Replays: dry run, start, progress and cancellation.

use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::{IntoParams, ToSchema};

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::{EventQuery, JsonBody, PathSegment, QueryParams, id, limit, no_event};
use crate::admin::reason_kind::ReasonKind;
use crate::admin::role::Role;
use crate::admin::state::AdminState;
use crate::admin::states_param::States;
use crate::admin::time_bound::{Since, Until};
use crate::admin::views::{ReplayLine, ReplayView};
use crate::clock;
use crate::comparison::{ReplayTrial, WouldReplay};
use crate::event::{EventId, State as EventState};
use crate::store::{
    CountFor, EventFilter, PageRequest, ReplayCursor, ReplayId, ReplayPage, ReplayProgress,
    ReplayRequest, StoppedAt,
};

/// Time that a caller waits for the first steps of a replay. The maintenance task does the rest.
const FIRST_STEPS_WAIT: Duration = Duration::from_secs(2);

/// Filter of at least one condition, and options.
// The filter is `EventQuery`, key by key: serde does not support `flatten` with
// `deny_unknown_fields`, and loses the place of a mistake.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayBody {
    /// Events in this state, or in one of several.
    #[schema(inline)]
    state: Option<States>,
    /// Events of this source.
    source: Option<String>,
    /// Events of the sources that send to this destination.
    destination: Option<String>,
    /// Events received at this time or later: an age, a date in UTC or a time.
    #[schema(inline)]
    since: Option<Since>,
    /// Events received before this time; a date includes the whole day.
    #[schema(inline)]
    until: Option<Until>,
    /// Part of the id, delivery id, type, reason, summary, person or company, without regard to case.
    q: Option<String>,
    /// Part of the payload, without regard to case.
    contains: Option<String>,
    /// Events of exactly this type.
    r#type: Option<String>,
    /// Events that were not delivered, by where they stopped.
    #[schema(inline)]
    stage: Option<StoppedAt>,
    /// Dead events of this cause: the `kind` of an entry of `dead/groups`.
    #[schema(inline)]
    reason_kind: Option<ReasonKind>,
    /// Events with at least so many attempts, of all their requests together.
    #[schema(value_type = Option<u32>, minimum = 1)]
    attempts_min: Option<NonZero<u32>>,
    /// Events whose requests lack fields because Savio would refuse their values (true), or do not
    /// (false).
    left_out: Option<bool>,
    /// Events of which Savio may have, or may get, a request twice (true), or the others (false).
    may_repeat: Option<bool>,
    /// Events that a person imported (true), or that were sent (false).
    imported: Option<bool>,
    /// Counts the events, maps up to 500 of them, and replays none.
    #[serde(default)]
    dry_run: bool,
    /// Events per second, over which their due times are spread. By default all are due at once.
    #[schema(exclusive_minimum = 0)]
    rate: Option<f64>,
}

/// Options of the replay of one event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayOneBody {
    /// Maps the event and does not replay it.
    #[serde(default)]
    dry_run: bool,
    /// Events per second. By default the event is due at once.
    #[schema(exclusive_minimum = 0)]
    rate: Option<f64>,
}

/// Options of a replay that its caller may start.
struct ReplayOptions {
    caller: ApiCaller,
    dry_run: bool,
    interval: Duration,
}

impl ReplayOptions {
    /// Fails if the caller's role allows a dry run only, and this is none.
    fn admitted(
        caller: ApiCaller,
        dry_run: bool,
        rate: Option<f64>,
    ) -> Result<ReplayOptions, ApiError> {
        caller.require(if dry_run { Role::Read } else { Role::Operate })?;
        Ok(ReplayOptions { caller, dry_run, interval: every(rate)? })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayStarted {
    /// Matching events found so far, including those that are queued already. A dry run counts erased
    /// ones too, which are not sent again.
    matched: u64,
    /// True if there may be more: a dry run counts up to 10,000 events of a state, and searches for a
    /// second.
    at_least: bool,
    /// Matching events that are sent again; 0 for a dry run.
    replayed: u64,
    /// Null for a dry run.
    replay_id: Option<ReplayId>,
    /// What a dry run makes of the newest 500 of the events that would be replayed, by the mappings in service.
    /// Null for a replay.
    would: Option<WouldReplay>,
}

/// Replay a settled or held event: map it again and send it
#[utoipa::path(post, path = "/api/v1/events/{id}/replay",
    params(("id" = EventId, Path, description = "Id of the event")),
    request_body = ReplayOneBody,
    responses((status = 404, description = "There is no such event"),
        (status = 200, description = "The replay, or what it would be", body = ReplayStarted),
        (status = 409, description = "It is queued already, or erased")))]
pub(crate) async fn replay_one(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(text): PathSegment,
    JsonBody(ReplayOneBody { dry_run, rate }): JsonBody<ReplayOneBody>,
) -> Result<Json<ReplayStarted>, ApiError> {
    let options = ReplayOptions::admitted(caller, dry_run, rate)?;
    let id: EventId = id(&text, "event")?;
    let filter = EventFilter { ids: vec![id], ..EventFilter::default() };
    let page = PageRequest { limit: 1, after: None };
    let listed = admin.store.list(filter.clone(), page).await?.events.pop();
    let event = listed.ok_or_else(|| no_event(id))?;
    if event.state == EventState::Queued {
        return Err(ApiError::Conflict(format!("event {id} is queued already")));
    }
    if event.erased_at.is_some() {
        let reason = format!("event {id} is erased: there is nothing left to send");
        return Err(ApiError::Conflict(reason));
    }
    start(&admin, filter, options).await
}

/// Replay the settled and held events that match a filter
#[utoipa::path(post, path = "/api/v1/replay", request_body = ReplayBody,
    responses((status = 200, description = "The replay, or what it would be", body = ReplayStarted),
        (status = 404, description = "There is no such destination")))]
pub(crate) async fn replay(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    JsonBody(body): JsonBody<ReplayBody>,
) -> Result<Json<ReplayStarted>, ApiError> {
    let ReplayBody { state, source, destination, since, until, q, contains, .. } = body;
    let ReplayBody { r#type, stage, attempts_min, left_out, may_repeat, imported, .. } = body;
    let ReplayBody { dry_run, rate, reason_kind, .. } = body;
    let query = EventQuery {
        state,
        source,
        destination,
        since,
        until,
        q,
        contains,
        r#type,
        stage,
        reason_kind,
        attempts_min,
        left_out,
        may_repeat,
        imported,
    };
    let options = ReplayOptions::admitted(caller, dry_run, rate)?;
    // An empty body is more often a mistake than the wish to send everything again.
    if query.is_everything() {
        let reason = "name which events: by state, source, destination, since, until, q or another \
                      condition of a list";
        return Err(ApiError::BadRequest(reason.to_owned()));
    }
    let filter = query.filter(&admin)?;
    start(&admin, filter, options).await
}

async fn start(
    admin: &AdminState,
    filter: EventFilter,
    options: ReplayOptions,
) -> Result<Json<ReplayStarted>, ApiError> {
    let ReplayOptions { caller, dry_run, interval } = options;
    if dry_run {
        return try_it(admin, filter, &caller).await;
    }
    let now = clock::now();
    let id = ReplayId::new(now);
    let request = ReplayRequest { id, filter, interval, begun_at: now };
    admin.store.start_replay(request, caller.actor()).await?;
    info!(token = %caller.name, replay = %id, "started a replay");
    let ReplayProgress { matched, replayed, .. } = first_steps(admin, id).await?;
    let replay_id = Some(id);
    Ok(Json(ReplayStarted { matched, at_least: false, replayed, replay_id, would: None }))
}

async fn try_it(
    admin: &AdminState,
    filter: EventFilter,
    caller: &ApiCaller,
) -> Result<Json<ReplayStarted>, ApiError> {
    let matching = admin.store.count_matching(filter.clone(), CountFor::Replay).await?;
    let trial = ReplayTrial::list(&*admin.store, filter).await?;
    let mapping = |source| admin.mapping_of(&source).map(|it| (source, it.mapping));
    let mappings = trial.sources().into_iter().filter_map(mapping).collect();
    // A turn of its own: dry runs of one token do not end each other, as comparisons do while somebody types.
    let turn = format!("{}, replay {}", caller.key(), ReplayId::new(clock::now()));
    let turn = admin.comparisons.begin(turn.into());
    let memory = admin.intake.parse_memory();
    let with = (memory, &admin.comparisons, turn);
    let would = Some(trial.map(&*admin.store, &mappings, with).await?);
    let (matched, at_least) = (matching.events(), matching.at_least);
    Ok(Json(ReplayStarted { matched, at_least, replayed: 0, replay_id: None, would }))
}

fn every(rate: Option<f64>) -> Result<Duration, ApiError> {
    let Some(rate) = rate else { return Ok(Duration::ZERO) };
    let wrong =
        || ApiError::BadRequest("`rate` must be a number of events per second above 0".to_owned());
    if rate <= 0.0 {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(1.0 / rate).map_err(|_| wrong())
}

/// Steps the replay until it is complete or the wait is over.
// A small replay is complete when its caller is answered, with exact counts. A large one is left to
// the maintenance task.
async fn first_steps(admin: &AdminState, id: ReplayId) -> Result<ReplayProgress, ApiError> {
    let begun = Instant::now();
    loop {
        let replay = admin.store.step_replay(id).await?.ok_or_else(|| no_replay(id))?;
        if !replay.has_more {
            return Ok(replay);
        }
        if begun.elapsed() > FIRST_STEPS_WAIT {
            admin.replay_ordered.notify_one();
            return Ok(replay);
        }
    }
}

fn no_replay(id: ReplayId) -> ApiError {
    ApiError::NotFound(format!("there is no replay {id}"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReplayPageParams {
    /// Number of replays at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next` of the previous page.
    #[param(min_length = 1, pattern = "^[01]-[0-9]+$")]
    after: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayList {
    /// Those that run, then those that have ended, the newest first. One that ends between two pages may be on
    /// both.
    pub(crate) replays: Vec<ReplayLine>,
    /// Where the next page begins; null at the end.
    #[schema(value_type = Option<String>)]
    pub(crate) next: Option<ReplayCursor>,
}

impl ReplayList {
    pub(crate) fn of(page: ReplayPage) -> ReplayList {
        let ReplayPage { replays, next } = page;
        ReplayList { replays: replays.into_iter().map(ReplayLine::of).collect(), next }
    }
}

/// List replays: those that run, then those that have ended, the newest first
#[utoipa::path(get, path = "/api/v1/replays", params(ReplayPageParams),
    responses((status = 200, description = "A page of replays", body = ReplayList)))]
pub(crate) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(query, _): QueryParams<ReplayPageParams>,
) -> Result<Json<ReplayList>, ApiError> {
    let ReplayPageParams { limit: replays, after } = query;
    let replays = limit(replays)?;
    let after = after.as_deref().map(str::parse).transpose();
    let after = after.map_err(|error| ApiError::BadRequest(format!("`after`: {error}")))?;
    Ok(Json(ReplayList::of(admin.store.replays(replays, after).await?)))
}

/// Show the progress of a replay
#[utoipa::path(get, path = "/api/v1/replays/{id}",
    params(("id" = ReplayId, Path, description = "Id of the replay")),
    responses((status = 200, description = "The replay as it is now", body = ReplayView),
        (status = 404, description = "There is no such replay")))]
pub(crate) async fn progress(
    State(admin): State<Arc<AdminState>>,
    PathSegment(text): PathSegment,
) -> Result<Json<ReplayView>, ApiError> {
    let id = id(&text, "replay")?;
    let replay = admin.store.replay(id).await?.ok_or_else(|| no_replay(id))?;
    Ok(Json(ReplayView::of(&replay)))
}

/// Cancel a replay: events that were not started yet keep their earlier state
#[utoipa::path(delete, path = "/api/v1/replays/{id}",
    params(("id" = ReplayId, Path, description = "Id of the replay")),
    responses((status = 200, description = "The replay as it is now", body = ReplayView),
        (status = 404, description = "There is no such replay")))]
pub(crate) async fn cancel(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(text): PathSegment,
) -> Result<Json<ReplayView>, ApiError> {
    let id = id(&text, "replay")?;
    admin.store.cancel_replay(id, clock::now(), caller.actor()).await?;
    Ok(Json(ReplayView::of(&first_steps(&admin, id).await?)))
}
