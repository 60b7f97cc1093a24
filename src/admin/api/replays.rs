//! Sending again: ordered, followed and canceled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::error::{ApiError, BodyErrors, CommonErrors, ErrorBody, EventNotFound};
use crate::admin::params::{EventQuery, JsonBody, PathSegment, id, no_event};
use crate::admin::state::AdminState;
use crate::admin::views::ReplayView;
use crate::clock;
use crate::event::{EventId, State as EventState};
use crate::store::{EventFilter, MatchCount, ReplayId, ReplayProgress, ReplayRequest};

/// How long a caller waits for the first steps; the rest goes on without.
const FIRST_STEPS_WAIT: Duration = Duration::from_secs(2);

/// Which events, at least one parameter of it, and how. The filter is `EventQuery`, key by key: serde does not
/// support `flatten` with `deny_unknown_fields`, and loses the place of a mistake.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayBody {
    #[schema(inline)]
    state: Option<EventState>,
    /// Of this source.
    source: Option<String>,
    /// Of the sources that send to this destination.
    destination: Option<String>,
    /// Received then or later.
    since: Option<Timestamp>,
    /// Received before.
    until: Option<Timestamp>,
    /// A part of the id, delivery id, type or reason; capital letters make no difference.
    q: Option<String>,
    /// Whether fields were left out of its requests, since Savio would not take their values.
    left_out: Option<bool>,
    /// Only count what would be sent again.
    #[serde(default)]
    dry_run: bool,
    /// How many in a second: their due times are spread. Left out: all at once.
    #[schema(exclusive_minimum = 0)]
    rate: Option<f64>,
}

/// For one event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayOneBody {
    /// Only count what would be sent again.
    #[serde(default)]
    dry_run: bool,
    /// Left out: at once.
    #[schema(exclusive_minimum = 0)]
    rate: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct ReplayOptions {
    dry_run: bool,
    rate: Option<f64>,
}

impl ReplayBody {
    fn into_parts(self) -> (EventQuery, ReplayOptions) {
        let ReplayBody { state, source, destination, since, until, q, left_out, dry_run, rate } =
            self;
        let meant = EventQuery { state, source, destination, since, until, q, left_out };
        (meant, ReplayOptions { dry_run, rate })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayStarted {
    /// Events that the filter means so far, those that are queued already included.
    matched: u64,
    /// Whether there may be more: a dry run looks for a text for a second, and counts up to 10,000 events with it.
    at_least: bool,
    /// Those of them that are sent again; of a dry run none.
    replayed: u64,
    /// Null for a dry run.
    replay_id: Option<ReplayId>,
}

/// Replay a settled or held event: map it again and send it
#[utoipa::path(post, path = "/api/v1/events/{id}/replay", params(("id" = String, Path)),
    request_body = ReplayOneBody,
    responses(CommonErrors, EventNotFound, BodyErrors, (status = 200, body = ReplayStarted),
        (status = 409, description = "It is queued: it goes out anyway", body = ErrorBody)))]
pub(crate) async fn replay_one(
    State(inside): State<Arc<AdminState>>,
    PathSegment(written): PathSegment,
    JsonBody(ReplayOneBody { dry_run, rate }): JsonBody<ReplayOneBody>,
) -> Result<Json<ReplayStarted>, ApiError> {
    let id: EventId = id(&written, "event")?;
    let filter = EventFilter { ids: vec![id], ..EventFilter::default() };
    let matching = inside.store.count_matching(filter.clone()).await?;
    if matching.events == 0 {
        return Err(no_event(id));
    }
    if matching.queued > 0 {
        return Err(ApiError::Conflict(format!("event {id} is queued: it goes out anyway")));
    }
    order(&inside, filter, ReplayOptions { dry_run, rate }).await
}

/// Replay the settled and held events that match a filter
#[utoipa::path(post, path = "/api/v1/replay", request_body = ReplayBody,
    responses(CommonErrors, BodyErrors, (status = 200, body = ReplayStarted),
        (status = 404, description = "There is no such destination", body = ErrorBody)))]
pub(crate) async fn replay(
    State(inside): State<Arc<AdminState>>,
    JsonBody(order_of): JsonBody<ReplayBody>,
) -> Result<Json<ReplayStarted>, ApiError> {
    let (meant, how) = order_of.into_parts();
    if meant.is_everything() {
        let reason = "say which events: state, source, destination, since, until, q or left_out";
        return Err(ApiError::Wrong(reason.to_owned()));
    }
    let filter = meant.filter(&inside)?;
    order(&inside, filter, how).await
}

async fn order(
    inside: &AdminState,
    filter: EventFilter,
    how: ReplayOptions,
) -> Result<Json<ReplayStarted>, ApiError> {
    let every = every(how.rate)?;
    if how.dry_run {
        let MatchCount { events: matched, at_least, .. } =
            inside.store.count_matching(filter).await?;
        return Ok(Json(ReplayStarted { matched, at_least, replayed: 0, replay_id: None }));
    }
    let now = clock::now();
    let id = ReplayId::new(now);
    inside.store.start_replay(ReplayRequest { id, filter, every, begun_at: now }).await?;
    let ReplayProgress { matched, replayed, .. } = first_steps(inside, id).await?;
    Ok(Json(ReplayStarted { matched, at_least: false, replayed, replay_id: Some(id) }))
}

fn every(rate: Option<f64>) -> Result<Duration, ApiError> {
    let Some(rate) = rate else { return Ok(Duration::ZERO) };
    let wrong = || ApiError::Wrong("`rate` is a number of events a second, more than 0".to_owned());
    if rate <= 0.0 {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(1.0 / rate).map_err(|_| wrong())
}

/// A small replay is all queued when its caller is answered; what keeps up the store goes on with a
/// larger one.
async fn first_steps(inside: &AdminState, id: ReplayId) -> Result<ReplayProgress, ApiError> {
    let begun = Instant::now();
    loop {
        let replay = inside.store.step_replay(id).await?.ok_or_else(|| no_replay(id))?;
        if !replay.has_steps {
            return Ok(replay);
        }
        if begun.elapsed() > FIRST_STEPS_WAIT {
            inside.replay_ordered.notify_one();
            return Ok(replay);
        }
    }
}

fn no_replay(id: ReplayId) -> ApiError {
    ApiError::NotFound(format!("there is no replay {id}"))
}

/// Show the progress of a replay
#[utoipa::path(get, path = "/api/v1/replays/{id}", params(("id" = String, Path)),
    responses(CommonErrors, (status = 200, body = ReplayView),
        (status = 404, description = "There is no such replay", body = ErrorBody)))]
pub(crate) async fn progress(
    State(inside): State<Arc<AdminState>>,
    PathSegment(written): PathSegment,
) -> Result<Json<ReplayView>, ApiError> {
    let id = id(&written, "replay")?;
    let replay = inside.store.replay(id).await?.ok_or_else(|| no_replay(id))?;
    Ok(Json(ReplayView::of(&replay)))
}

/// Cancel a replay: events that were not started yet keep their earlier state
#[utoipa::path(delete, path = "/api/v1/replays/{id}", params(("id" = String, Path)),
    responses(CommonErrors, (status = 200, body = ReplayView),
        (status = 404, description = "There is no such replay", body = ErrorBody)))]
pub(crate) async fn cancel(
    State(inside): State<Arc<AdminState>>,
    PathSegment(written): PathSegment,
) -> Result<Json<ReplayView>, ApiError> {
    let id = id(&written, "replay")?;
    inside.store.cancel_replay(id, clock::now()).await?;
    Ok(Json(ReplayView::of(&first_steps(&inside, id).await?)))
}
