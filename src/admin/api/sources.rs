//! Sources: their status and their queued events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::stats::{QueueStats, queues};
use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::PathSegment;
use crate::admin::state::{AdminState, DestinationHandle};
use crate::clock;
use crate::event::SourceName;
use crate::intake::registry::SourceStatus;
use crate::store::{AuditAction, EventFilter, PageRequest, StoreError};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourcesListed)]
pub(crate) struct SourceList {
    sources: Vec<SourceView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SourceView {
    name: SourceName,
    /// Null if the mapping file describes the provider itself.
    provider: Option<String>,
    /// Whether it has a file in the folder of the mapping files.
    in_folder: bool,
    /// Address to enter in the tool that sends.
    url: String,
    live: bool,
    /// Reason why it is not live.
    reason: Option<String>,
    /// Null while it has no mapping.
    destination: Option<String>,
    /// True if a person paused it: webhooks are accepted, and events wait.
    paused: bool,
    queued: u64,
    /// Queued events that wait for another event.
    waiting_for_event: u64,
    /// Reason why none of the queued events is delivered; null if they are.
    queued_reason: Option<String>,
    oldest_queued_seconds: Option<u64>,
    last_event_at: Option<Timestamp>,
}

/// List sources, with what waits of each
#[utoipa::path(get, path = "/api/v1/sources",
    responses((status = 200, description = "All sources, by name", body = SourceList)))]
pub(crate) async fn list(
    State(admin): State<Arc<AdminState>>,
) -> Result<Json<SourceList>, ApiError> {
    let (paused, queues) = pauses_and_queues(&admin).await?;
    let mut sources = Vec::new();
    for (name, status) in admin.intake.sources.current().iter() {
        sources.push(source(&admin, (name, status), (&paused, &queues)).await?);
    }
    // A source that lost its mapping file before this start is unknown to intake, but its queued
    // events still wait.
    let known: BTreeSet<SourceName> = sources.iter().map(|it| it.name.clone()).collect();
    for name in queues.keys().filter(|name| !known.contains(*name)) {
        let gone = SourceStatus::Off { reason: "it has no mapping file".to_owned() };
        sources.push(source(&admin, (name, &gone), (&paused, &queues)).await?);
    }
    Ok(Json(SourceList { sources }))
}

pub(in crate::admin) type PausedSources = BTreeMap<SourceName, Timestamp>;

async fn pauses_and_queues(
    admin: &AdminState,
) -> Result<(PausedSources, BTreeMap<SourceName, QueueStats>), ApiError> {
    Ok((paused_sources(admin).await?, queues(admin, clock::now()).await?))
}

/// Returns the paused sources with the time at which each was paused.
pub(in crate::admin) async fn paused_sources(
    admin: &AdminState,
) -> Result<PausedSources, StoreError> {
    // All destinations share the pauses of sources.
    match admin.destinations.values().next() {
        Some(any) => any.delivery.paused_sources().await,
        None => Ok(PausedSources::new()),
    }
}

/// Returns why a source is not live; none if it is.
pub(in crate::admin) fn off_reason(status: &SourceStatus, now: Timestamp) -> Option<String> {
    match status {
        SourceStatus::Live(source) => source.off_reason(now).map(str::to_owned),
        SourceStatus::AwaitingSecret(_) => {
            Some("it waits for its provider's first request".to_owned())
        }
        SourceStatus::Off { reason } => Some(reason.clone()),
    }
}

async fn source(
    admin: &AdminState,
    (name, status): (&SourceName, &SourceStatus),
    (paused, queues): (&PausedSources, &BTreeMap<SourceName, QueueStats>),
) -> Result<SourceView, ApiError> {
    let now = clock::now();
    let source = match status {
        SourceStatus::Live(source) => Some(source),
        SourceStatus::AwaitingSecret(setup) => Some(&setup.source),
        SourceStatus::Off { .. } => None,
    };
    let reason = off_reason(status, now);
    let own = EventFilter { sources: Some(vec![name.clone()]), ..EventFilter::default() };
    let newest = admin.store.list(own, PageRequest { limit: 1, after: None }).await?;
    let queue = queues.get(name).copied().unwrap_or_default();
    Ok(SourceView {
        provider: match source {
            Some(source) => source.provider.clone(),
            // Without its secret there is no source yet, but a file that names the provider.
            None => admin.files.current().of(name).and_then(|file| file.proof.provider.clone()),
        },
        in_folder: admin.files.current().of(name).is_some_and(|file| !file.is_bundled()),
        url: format!("{}/hooks/{name}", admin.url),
        live: reason.is_none(),
        reason,
        destination: admin.destination_of(name).map(|(destination, _)| destination.clone()),
        paused: paused.contains_key(name),
        queued: queue.events,
        waiting_for_event: queue.waiting_for_event,
        queued_reason: admin
            .why_source_waits(name, now)
            .filter(|_| queue.events > 0)
            .map(|it| it.reason),
        oldest_queued_seconds: queue.oldest_seconds,
        last_event_at: newest.events.first().map(|event| event.received_at),
        name: name.clone(),
    })
}

pub(super) async fn one(
    admin: &AdminState,
    name: &SourceName,
) -> Result<Json<SourceView>, ApiError> {
    let (paused, queues) = pauses_and_queues(admin).await?;
    let sources = admin.intake.sources.current();
    let gone = || ApiError::NotFound(format!("there is no source {name}"));
    let status = sources.get(name).ok_or_else(gone)?;
    Ok(Json(source(admin, (name, status), (&paused, &queues)).await?))
}

/// Returns the destination through which the source is paused: its own, or else any, since all
/// share the pauses.
// Its own, because `resume_source` wakes the worker of that destination.
pub(super) fn pausing_destination<'a>(
    admin: &'a AdminState,
    name: &SourceName,
) -> Option<&'a DestinationHandle> {
    admin.destination_of(name).map(|(_, to)| to).or(admin.destinations.values().next())
}

/// Pause a source: its events wait, its webhooks are still accepted
#[utoipa::path(post, path = "/api/v1/sources/{name}/pause",
    params(("name" = SourceName, Path, description = "Name of the source")),
    responses((status = 200, description = "The source as it is now", body = SourceView),
        (status = 404, description = "There is no such source")))]
pub(crate) async fn pause(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(name): PathSegment,
) -> Result<Json<SourceView>, ApiError> {
    let name = admin.source(&name)?;
    if let Some(to) = pausing_destination(&admin, &name) {
        to.delivery.pause_source(name.clone(), clock::now()).await?;
    }
    admin.record(caller.did(AuditAction::Pause).on(&format!("source {name}"))).await;
    one(&admin, &name).await
}

/// Resume a source
#[utoipa::path(post, path = "/api/v1/sources/{name}/resume",
    params(("name" = SourceName, Path, description = "Name of the source")),
    responses((status = 200, description = "The source as it is now", body = SourceView),
        (status = 404, description = "There is no such source")))]
pub(crate) async fn resume(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(name): PathSegment,
) -> Result<Json<SourceView>, ApiError> {
    let name = admin.source(&name)?;
    if let Some(to) = pausing_destination(&admin, &name) {
        to.delivery.resume_source(&name).await?;
    }
    admin.record(caller.did(AuditAction::Resume).on(&format!("source {name}"))).await;
    one(&admin, &name).await
}
