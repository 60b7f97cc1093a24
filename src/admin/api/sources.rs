//! Sources: who may send, what waits of each, and what was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::stats::{QueueStats, queues};
use crate::admin::error::{ApiError, CommonErrors, ErrorBody};
use crate::admin::params::{PathSegment, QueryParams};
use crate::admin::state::{AdminState, DestinationHandle};
use crate::clock;
use crate::event::SourceName;
use crate::intake::registry::SourceStatus;
use crate::store::{EventFilter, PageRequest};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourcesListed)]
pub(crate) struct SourceList {
    sources: Vec<SourceView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceView {
    name: SourceName,
    /// Null where the mapping file describes it itself.
    provider: Option<String>,
    /// The address for the tool that sends.
    url: String,
    live: bool,
    /// Why it is not live.
    reason: Option<String>,
    /// Null while it has no mapping.
    destination: Option<String>,
    /// By a person: webhooks are taken, events wait.
    paused: bool,
    queued: u64,
    /// Those of them that wait for another event.
    waiting_for_event: u64,
    /// Why none of them goes on, if none does.
    queued_reason: Option<String>,
    oldest_queued_seconds: Option<u64>,
    last_event_at: Option<Timestamp>,
}

/// List sources, with what waits of each
#[utoipa::path(get, path = "/api/v1/sources", responses(CommonErrors, (status = 200, body = SourceList)))]
pub(crate) async fn list(
    State(inside): State<Arc<AdminState>>,
) -> Result<Json<SourceList>, ApiError> {
    let (paused, queues) = looked_up(&inside).await?;
    let mut sources = Vec::new();
    for (name, standing) in inside.door.sources.current().iter() {
        sources.push(source(&inside, (name, standing), (&paused, &queues)).await?);
    }
    // Those of an earlier process.
    let known: BTreeSet<SourceName> = sources.iter().map(|it| it.name.clone()).collect();
    for name in queues.keys().filter(|name| !known.contains(*name)) {
        let gone = SourceStatus::Off { reason: "it has no mapping file".to_owned() };
        sources.push(source(&inside, (name, &gone), (&paused, &queues)).await?);
    }
    Ok(Json(SourceList { sources }))
}

type PausedSources = BTreeMap<SourceName, Timestamp>;

async fn looked_up(
    inside: &AdminState,
) -> Result<(PausedSources, BTreeMap<SourceName, QueueStats>), ApiError> {
    let paused = match inside.destinations.values().next() {
        Some(any) => any.delivery.paused_sources().await?,
        None => PausedSources::new(),
    };
    Ok((paused, queues(inside, clock::now()).await?))
}

async fn source(
    inside: &AdminState,
    (name, standing): (&SourceName, &SourceStatus),
    (paused, queues): (&PausedSources, &BTreeMap<SourceName, QueueStats>),
) -> Result<SourceView, ApiError> {
    let now = clock::now();
    let (source, reason) = match standing {
        SourceStatus::Live(source) => (Some(source), source.off(now).map(str::to_owned)),
        SourceStatus::AwaitingSecret(setup) => {
            (Some(&setup.source), Some("it waits for its provider's first request".to_owned()))
        }
        SourceStatus::Off { reason } => (None, Some(reason.clone())),
    };
    let own = EventFilter { sources: Some(vec![name.clone()]), ..EventFilter::default() };
    let newest = inside.store.list(own, PageRequest { limit: 1, after: None }).await?;
    let queue = queues.get(name).copied().unwrap_or_default();
    Ok(SourceView {
        provider: source.and_then(|source| source.provider.clone()),
        url: format!("{}/hooks/{name}", inside.url),
        live: reason.is_none(),
        reason,
        destination: inside.destination_of(name).map(|(destination, _)| destination.clone()),
        paused: paused.contains_key(name),
        queued: queue.events,
        waiting_for_event: queue.waiting_for_event,
        queued_reason: inside.why_source_waits(name, now).filter(|_| queue.events > 0),
        oldest_queued_seconds: queue.oldest_seconds,
        last_event_at: newest.events.first().map(|event| event.received_at),
        name: name.clone(),
    })
}

async fn one(inside: &AdminState, name: &SourceName) -> Result<Json<SourceView>, ApiError> {
    let (paused, queues) = looked_up(inside).await?;
    let sources = inside.door.sources.current();
    let gone = || ApiError::NotFound(format!("there is no source {name}"));
    let standing = sources.get(name).ok_or_else(gone)?;
    Ok(Json(source(inside, (name, standing), (&paused, &queues)).await?))
}

/// The destination that records pauses of the source: its own, or any, since the pauses of all sources are shared.
fn recorder_of_pauses<'a>(
    inside: &'a AdminState,
    name: &SourceName,
) -> Option<&'a DestinationHandle> {
    inside.destination_of(name).map(|(_, to)| to).or(inside.destinations.values().next())
}

/// Pause a source: its events wait, its webhooks are still accepted
#[utoipa::path(post, path = "/api/v1/sources/{name}/pause", params(("name" = String, Path)),
    responses(CommonErrors, (status = 200, body = SourceView),
        (status = 404, description = "There is no such source", body = ErrorBody)))]
pub(crate) async fn pause(
    State(inside): State<Arc<AdminState>>,
    PathSegment(name): PathSegment,
) -> Result<Json<SourceView>, ApiError> {
    let name = inside.source(&name)?;
    if let Some(to) = recorder_of_pauses(&inside, &name) {
        to.delivery.pause_source(name.clone(), clock::now()).await?;
    }
    one(&inside, &name).await
}

/// Resume a source
#[utoipa::path(post, path = "/api/v1/sources/{name}/resume", params(("name" = String, Path)),
    responses(CommonErrors, (status = 200, body = SourceView),
        (status = 404, description = "There is no such source", body = ErrorBody)))]
pub(crate) async fn resume(
    State(inside): State<Arc<AdminState>>,
    PathSegment(name): PathSegment,
) -> Result<Json<SourceView>, ApiError> {
    let name = inside.source(&name)?;
    if let Some(to) = recorder_of_pauses(&inside, &name) {
        to.delivery.resume_source(&name).await?;
    }
    one(&inside, &name).await
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SourceParam {
    /// Only of this source.
    source: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectionList {
    rejected: Vec<RejectionView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RejectionView {
    /// When the last one of these came.
    at: Timestamp,
    /// How many equal ones came, each within a minute of the one before.
    count: u64,
    source: SourceName,
    status: u16,
    /// As its sender was told.
    reason: String,
    /// What is probably to be changed; its sender was not told.
    hint: Option<String>,
    #[schema(value_type = Option<String>)]
    client: Option<IpAddr>,
}

/// List the last 200 rejected webhooks of each source since the start, newest first
#[utoipa::path(get, path = "/api/v1/rejected", params(SourceParam),
    responses(CommonErrors, (status = 200, body = RejectionList),
        (status = 404, description = "There is no such source", body = ErrorBody)))]
pub(crate) async fn rejected(
    State(inside): State<Arc<AdminState>>,
    QueryParams(SourceParam { source }, _): QueryParams<SourceParam>,
) -> Result<Json<RejectionList>, ApiError> {
    let names: Vec<SourceName> = match source {
        Some(name) => vec![inside.source(&name)?],
        None => inside.door.sources.current().keys().cloned().collect(),
    };
    let of = |source: &SourceName| {
        let source = source.clone();
        inside.door.rejected.last(&source).into_iter().map(move |it| RejectionView {
            at: it.at,
            count: it.count,
            source: source.clone(),
            status: it.status,
            reason: it.reason,
            hint: it.hint,
            client: it.client,
        })
    };
    let mut rejected: Vec<RejectionView> = names.iter().flat_map(of).collect();
    rejected.sort_by_key(|it| std::cmp::Reverse(it.at));
    Ok(Json(RejectionList { rejected }))
}
