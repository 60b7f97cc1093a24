//! Counts of events by state, and the age of the oldest queued one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Of;
use axum::response::Json;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::error::ApiError;
use crate::admin::state::AdminState;
use crate::clock;
use crate::event::{SourceName, State};
use crate::store::{StateCounts, StoreError};

/// Queued events of a source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueueStats {
    pub(crate) events: u64,
    /// Time since the oldest of them was received.
    pub(crate) oldest_seconds: Option<u64>,
    /// Those that wait for another event.
    pub(crate) waiting_for_event: u64,
}

pub(crate) async fn queues(
    admin: &AdminState,
    now: Timestamp,
) -> Result<BTreeMap<SourceName, QueueStats>, StoreError> {
    let (store, mut queues) = (&admin.store, BTreeMap::<SourceName, QueueStats>::new());
    for count in store.counts().await?.into_iter().filter(|it| it.state == State::Queued) {
        queues.entry(count.source).or_default().events = count.events;
    }
    for (source, received_at) in store.oldest_queued().await? {
        let age = now.duration_since(received_at).as_secs();
        queues.entry(source).or_default().oldest_seconds = Some(u64::try_from(age).unwrap_or(0));
    }
    // The store has the reasons of claimed events only after a renewal of their lease: these are
    // counted in memory.
    let claimed = admin.destinations.values().flat_map(|to| to.delivery.waiting());
    let unclaimed = store.waiting().await?.into_iter().map(|it| (it.source, it.unclaimed));
    for (source, events) in claimed.chain(unclaimed) {
        queues.entry(source).or_default().waiting_for_event += events;
    }
    Ok(queues)
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    events: StateCounts,
    /// Counts by source, of those that have any events.
    sources: BTreeMap<String, StateCounts>,
    oldest_queued_seconds: Option<u64>,
    /// Reason why webhooks cannot be stored at present; null if they can.
    store_problem: Option<String>,
}

/// Count events by state, in total and for each source
#[utoipa::path(get, path = "/api/v1/stats",
    responses((status = 200, description = "The counts", body = Stats)))]
pub(crate) async fn stats(Of(admin): Of<Arc<AdminState>>) -> Result<Json<Stats>, ApiError> {
    let mut events = StateCounts::default();
    let mut sources: BTreeMap<String, StateCounts> = BTreeMap::new();
    for count in admin.store.counts().await? {
        events.add(count.state, count.events);
        sources.entry(count.source.to_string()).or_default().add(count.state, count.events);
    }
    let queues = queues(&admin, clock::now()).await?;
    let oldest_queued_seconds = queues.values().filter_map(|queue| queue.oldest_seconds).max();
    let store_problem = admin.store.ready().await.err().map(|error| error.to_string());
    Ok(Json(Stats { events, sources, oldest_queued_seconds, store_problem }))
}
