//! Destinations: whether anything goes to them, and a person's pause.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::stats::{QueueStats, queues};
use crate::admin::error::{ApiError, CommonErrors, ErrorBody};
use crate::admin::params::PathSegment;
use crate::admin::state::{AdminState, DestinationHandle as To};
use crate::clock;
use crate::delivery::gate::PausedBy;
use crate::event::SourceName;

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
    /// Why nothing goes to it now, whether it is paused or waits by itself.
    reason: Option<String>,
    /// Requests that are on their way.
    in_flight: usize,
    /// Of the sources that send to it.
    queued: u64,
    /// Those of them that wait for another event.
    waiting_for_event: u64,
    oldest_queued_seconds: Option<u64>,
}

/// List destinations, with what waits for each
#[utoipa::path(get, path = "/api/v1/destinations", responses(CommonErrors, (status = 200, body = DestinationList)))]
pub(crate) async fn list(
    State(inside): State<Arc<AdminState>>,
) -> Result<Json<DestinationList>, ApiError> {
    let queues = queues(&inside, clock::now()).await?;
    let mut destinations = Vec::new();
    for (name, to) in &inside.destinations {
        destinations.push(destination((name, to), &queues).await?);
    }
    Ok(Json(DestinationList { destinations }))
}

async fn destination(
    (name, to): (&String, &To),
    queues: &BTreeMap<SourceName, QueueStats>,
) -> Result<DestinationView, ApiError> {
    let standing = to.delivery.status(clock::now()).await?;
    let sources = to.delivery.sources();
    let own = || sources.iter().filter_map(|source| queues.get(source));
    Ok(DestinationView {
        name: name.clone(),
        base_url: to.base_url.clone(),
        paused: standing.paused_by.is_some(),
        paused_by: standing.paused_by,
        reason: standing.reason,
        in_flight: to.delivery.in_flight(),
        queued: own().map(|queue| queue.events).sum(),
        waiting_for_event: own().map(|queue| queue.waiting_for_event).sum(),
        oldest_queued_seconds: own().filter_map(|queue| queue.oldest_seconds).max(),
    })
}

async fn one(
    inside: &AdminState,
    (name, to): (&String, &To),
) -> Result<Json<DestinationView>, ApiError> {
    let queues = queues(inside, clock::now()).await?;
    Ok(Json(destination((name, to), &queues).await?))
}

/// Pause a destination: its events wait, requests in progress are finished
#[utoipa::path(post, path = "/api/v1/destinations/{name}/pause", params(("name" = String, Path)),
    responses(CommonErrors, (status = 200, body = DestinationView),
        (status = 404, description = "There is no such destination", body = ErrorBody)))]
pub(crate) async fn pause(
    State(inside): State<Arc<AdminState>>,
    PathSegment(name): PathSegment,
) -> Result<Json<DestinationView>, ApiError> {
    let to = inside.destination(&name)?;
    to.delivery.pause(clock::now()).await?;
    one(&inside, (&name, to)).await
}

/// Resume a destination, also if the relay itself paused it
#[utoipa::path(post, path = "/api/v1/destinations/{name}/resume", params(("name" = String, Path)),
    responses(CommonErrors, (status = 200, body = DestinationView),
        (status = 404, description = "There is no such destination", body = ErrorBody)))]
pub(crate) async fn resume(
    State(inside): State<Arc<AdminState>>,
    PathSegment(name): PathSegment,
) -> Result<Json<DestinationView>, ApiError> {
    let to = inside.destination(&name)?;
    to.delivery.resume(clock::now()).await?;
    one(&inside, (&name, to)).await
}
