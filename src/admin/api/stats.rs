//! How many events there are in each state, and how long the oldest has waited.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Of;
use axum::response::Json;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::error::{ApiError, CommonErrors};
use crate::admin::state::AdminState;
use crate::clock;
use crate::event::{SourceName, State};
use crate::store::StoreError;

/// What waits of a source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueueStats {
    pub(crate) events: u64,
    /// Since the oldest of them was received.
    pub(crate) oldest_seconds: Option<u64>,
    /// Those of them that wait for another event.
    pub(crate) waiting_for_event: u64,
}

pub(crate) async fn queues(
    inside: &AdminState,
    now: Timestamp,
) -> Result<BTreeMap<SourceName, QueueStats>, StoreError> {
    let (store, mut queues) = (&inside.store, BTreeMap::<SourceName, QueueStats>::new());
    for count in store.counts().await?.into_iter().filter(|it| it.state == State::Queued) {
        queues.entry(count.source).or_default().events = count.events;
    }
    for (source, received_at) in store.oldest_queued().await? {
        let age = now.duration_since(received_at).as_secs();
        queues.entry(source).or_default().oldest_seconds = Some(u64::try_from(age).unwrap_or(0));
    }
    // Of those in hand the store knows it later.
    let in_hand = inside.destinations.values().flat_map(|to| to.delivery.waiting());
    let in_store = store.waiting().await?.into_iter().map(|it| (it.source, it.unclaimed));
    for (source, events) in in_hand.chain(in_store) {
        queues.entry(source).or_default().waiting_for_event += events;
    }
    Ok(queues)
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    events: StateCounts,
    /// By name, those that have any.
    sources: BTreeMap<String, StateCounts>,
    oldest_queued_seconds: Option<u64>,
    /// Why a webhook would not be kept now; null where it would.
    store_problem: Option<String>,
}

/// How many events are in each state.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub(crate) struct StateCounts {
    queued: u64,
    delivered: u64,
    ignored: u64,
    held: u64,
    dead: u64,
}

impl StateCounts {
    fn add(&mut self, state: State, events: u64) {
        let count = match state {
            State::Queued => &mut self.queued,
            State::Delivered => &mut self.delivered,
            State::Ignored => &mut self.ignored,
            State::Held => &mut self.held,
            State::Dead => &mut self.dead,
        };
        *count += events;
    }
}

/// Count events by state, in total and for each source
#[utoipa::path(get, path = "/api/v1/stats", responses(CommonErrors, (status = 200, body = Stats)))]
pub(crate) async fn stats(Of(inside): Of<Arc<AdminState>>) -> Result<Json<Stats>, ApiError> {
    let mut events = StateCounts::default();
    let mut sources: BTreeMap<String, StateCounts> = BTreeMap::new();
    for count in inside.store.counts().await? {
        events.add(count.state, count.events);
        sources.entry(count.source.to_string()).or_default().add(count.state, count.events);
    }
    let queues = queues(&inside, clock::now()).await?;
    let oldest_queued_seconds = queues.values().filter_map(|queue| queue.oldest_seconds).max();
    let store_problem = inside.store.ready().await.err().map(|error| error.to_string());
    Ok(Json(Stats { events, sources, oldest_queued_seconds, store_problem }))
}
