//! Maps events: on threads of their own, within the memory for parsed JSON, and suspects one at a
//! time.

mod mapping_lock;

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::store_retry::STORE_RETRY_MAX;
use crate::event::{Event, State};
use crate::mapping::{FailedMapping, MappedRequests, Mapping};
use crate::parse_memory::{MemoryPermit, ParseMemory, bytes_to_reserve};
use crate::store::{Headline, NextStep};
use mapping_lock::MappingLock;

/// Memory of the default mapper, as in tests.
const MEMORY_BYTES: usize = 128 * 1024 * 1024;

/// Applies mappings. Shared by all destinations of a process.
#[derive(Debug)]
pub struct Mapper {
    pub(super) lock: MappingLock,
    /// One permit for each mapping that may run at a time.
    // As many as there are cores: more would only share them, each with up to 32 MiB of template
    // results in memory.
    threads: Semaphore,
    memory: Arc<ParseMemory>,
}

/// The reason why an event was not mapped.
#[derive(Debug, thiserror::Error)]
pub(super) enum MapError {
    #[error("{reason}")]
    Unmappable { reason: String, headline: Option<Headline> },
    #[error("the mapping failed on it: this is a bug of the relay")]
    Panicked,
    #[error("it could not be marked")]
    Unmarked,
    #[error("the relay stops")]
    Stopped,
}

impl MapError {
    fn unmappable(failed: &FailedMapping) -> MapError {
        let FailedMapping { error, rest } = failed;
        let headline = Headline::of(&rest.requests).saying(rest.said.as_deref());
        let headline = Some(headline).filter(|it| *it != Headline::default());
        MapError::Unmappable { reason: error.to_string(), headline }
    }

    /// Returns what the event says all the same.
    pub(super) fn headline(&self) -> Option<Headline> {
        match self {
            MapError::Unmappable { headline, .. } => headline.clone(),
            MapError::Panicked | MapError::Unmarked | MapError::Stopped => None,
        }
    }

    /// Returns the step to record instead.
    pub(super) fn next(self, now: Timestamp) -> NextStep {
        let reason = self.to_string();
        match self {
            MapError::Unmappable { .. } | MapError::Panicked => {
                NextStep::Settle { state: State::Dead, reason: Some(reason), at: now }
            }
            MapError::Unmarked => {
                NextStep::Wait { until: now.saturating_add(STORE_RETRY_MAX).unwrap_or(now), reason }
            }
            MapError::Stopped => NextStep::Wait { until: now, reason },
        }
    }
}

impl Default for Mapper {
    fn default() -> Mapper {
        Mapper::new(Arc::new(ParseMemory::new(MEMORY_BYTES)))
    }
}

impl Mapper {
    pub fn new(memory: Arc<ParseMemory>) -> Mapper {
        let threads = available_parallelism().map_or(1, NonZero::get);
        Mapper { lock: MappingLock::default(), threads: Semaphore::new(threads), memory }
    }

    /// Waits for the memory that the parsed payload takes.
    pub(super) async fn reserve(&self, event: Event) -> Result<(Event, MemoryPermit), MapError> {
        let memory = Arc::clone(&self.memory);
        // Weighing reads the whole payload, and `take` blocks until others have returned their
        // memory.
        let take = move || {
            let taken = memory.acquire(bytes_to_reserve(&[&event.payload]));
            (event, taken)
        };
        spawn_blocking(take).await.map_err(|_| MapError::Stopped)
    }

    /// Maps an event, within the memory that is reserved, or else reserves it.
    pub(super) async fn map(
        &self,
        mapping: Arc<Mapping>,
        event: Event,
        reserved: Option<MemoryPermit>,
    ) -> Result<MappedRequests, MapError> {
        let _thread = self.threads.acquire().await.map_err(|_| MapError::Stopped)?;
        let memory = Arc::clone(&self.memory);
        // Never on an async worker, however small the payload: a template or a query of a few bytes
        // may take seconds.
        let work = move || {
            let _memory =
                reserved.unwrap_or_else(|| memory.acquire(bytes_to_reserve(&[&event.payload])));
            map(&mapping, &event)
        };
        match spawn_blocking(work).await {
            Ok(mapped) => mapped,
            // A panic affects this event only: a mapping is immutable, and what changes, from the
            // fuel to the requests, is made for one event and dropped with it. The event is dead;
            // otherwise it would be mapped, and fail, again and again.
            Err(error) if error.is_panic() => Err(MapError::Panicked),
            Err(_) => Err(MapError::Stopped),
        }
    }
}

fn map(mapping: &Mapping, event: &Event) -> Result<MappedRequests, MapError> {
    let payload: Value = serde_json::from_str(&event.payload).map_err(|error| {
        let reason = format!("the payload is not JSON: {error}");
        MapError::Unmappable { reason, headline: None }
    })?;
    let mapped = mapping.apply_or_rest(event, &Arc::new(payload));
    mapped.map_err(|failed| MapError::unmappable(&failed))
}
