//! Counts of events by state, and the age of the oldest queued one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Of;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::admin::error::ApiError;
use crate::admin::params::QueryParams;
use crate::admin::state::AdminState;
use crate::admin::time_bound::Since;
use crate::clock;
use crate::event::{SourceName, State};
use crate::store::{Balance, StateCounts, StoreError};

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

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsQuery {
    /// Events that were received at this time or later: an age, a date in UTC or a time.
    #[param(inline)]
    since: Option<Since>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    events: StateCounts,
    /// Counts by source, of those that have any.
    sources: BTreeMap<String, SourceStats>,
    /// Webhooks that were rejected since the begin of the half hour that `since` is in; only with `since`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
    /// Events that were received again since the begin of the half hour that `since` is in; only with
    /// `since`.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    oldest_queued_seconds: Option<u64>,
    /// Reason why webhooks cannot be stored at present; null if they can.
    store_problem: Option<String>,
}

/// Counts of a source.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct SourceStats {
    #[serde(flatten)]
    events: StateCounts,
    /// As in the total; only with `since`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
    /// As in the total; only with `since`.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
}

/// Count events by their present state, in total and for each source
#[utoipa::path(get, path = "/api/v1/stats", params(StatsQuery),
    responses((status = 200, description = "The counts", body = Stats)))]
pub(crate) async fn stats(
    Of(admin): Of<Arc<AdminState>>,
    QueryParams(StatsQuery { since }, _): QueryParams<StatsQuery>,
) -> Result<Json<Stats>, ApiError> {
    let sources = match since {
        None => counted(&admin).await?,
        Some(Since(since)) => received(&admin, since).await?,
    };
    let mut events = StateCounts::default();
    for counts in sources.values() {
        for state in State::ALL {
            events.add(state, counts.events.of(state));
        }
    }
    let sum = |of: fn(&SourceStats) -> Option<u64>| {
        since.map(|_| sources.values().filter_map(of).sum::<u64>())
    };
    let (rejected, duplicates) = (sum(|it| it.rejected), sum(|it| it.duplicates));
    let queues = queues(&admin, clock::now()).await?;
    let oldest_queued_seconds = queues.values().filter_map(|queue| queue.oldest_seconds).max();
    let store_problem = admin.store.ready().await.err().map(|error| error.to_string());
    let stats =
        Stats { events, sources, rejected, duplicates, oldest_queued_seconds, store_problem };
    Ok(Json(stats))
}

/// Counts all events.
async fn counted(admin: &AdminState) -> Result<BTreeMap<String, SourceStats>, StoreError> {
    let mut sources: BTreeMap<String, SourceStats> = BTreeMap::new();
    for count in admin.store.counts().await? {
        let of_source = sources.entry(count.source.to_string()).or_default();
        of_source.events.add(count.state, count.events);
    }
    Ok(sources)
}

/// Counts the events that were received since a time.
async fn received(
    admin: &AdminState,
    since: Timestamp,
) -> Result<BTreeMap<String, SourceStats>, StoreError> {
    let balances = admin.store.balances(since).await?.into_iter();
    let some = balances.filter(|(_, balance)| *balance != Balance::default());
    let of_source = some.map(|(source, Balance { events, rejected, duplicates })| {
        let (rejected, duplicates) = (Some(rejected), Some(duplicates));
        (source.to_string(), SourceStats { events, rejected, duplicates })
    });
    Ok(of_source.collect())
}
