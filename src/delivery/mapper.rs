//! Where events are mapped: on a few threads apart from those that wait for the network, within the memory
//! for parsed JSON, and a suspect alone.

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
use crate::mapping::{MappedRequests, Mapping};
use crate::parse_memory::{ParseMemory, Taken, weigh};
use crate::store::NextStep;
use mapping_lock::MappingLock;

/// Where no other is given, as in tests.
const MEMORY_BYTES: usize = 128 * 1024 * 1024;

/// One for all destinations of a process.
#[derive(Debug)]
pub struct Mapper {
    pub(super) lock: MappingLock,
    /// One permit for each thread that may map at a time.
    threads: Semaphore,
    memory: Arc<ParseMemory>,
}

/// Why an event became nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum MapError {
    #[error("{0}")]
    Unmappable(String),
    #[error("the mapping failed on it: this is a bug of the relay")]
    Panicked,
    #[error("it could not be marked")]
    Unmarked,
    #[error("the relay stops")]
    Stopped,
}

impl MapError {
    pub(super) fn next(self, now: Timestamp) -> NextStep {
        let reason = self.to_string();
        match self {
            MapError::Unmappable(_) | MapError::Panicked => {
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

    /// Waits for the memory that the event's payload takes. For a suspect, before it is marked: while it
    /// waits, the process may end by what others do.
    pub(super) async fn reserve(&self, event: Event) -> Result<(Event, Taken), MapError> {
        let memory = Arc::clone(&self.memory);
        let take = move || {
            let taken = memory.take(weigh(&event.payload));
            (event, taken)
        };
        spawn_blocking(take).await.map_err(|_| MapError::Stopped)
    }

    /// However small the payload: a template or a query of a few bytes may take seconds. A bug there costs
    /// this event only.
    pub(super) async fn map(
        &self,
        mapping: Arc<Mapping>,
        event: Event,
        reserved: Option<Taken>,
    ) -> Result<MappedRequests, MapError> {
        let _thread = self.threads.acquire().await.map_err(|_| MapError::Stopped)?;
        let memory = Arc::clone(&self.memory);
        let work = move || {
            let _memory = reserved.unwrap_or_else(|| memory.take(weigh(&event.payload)));
            map(&mapping, &event)
        };
        match spawn_blocking(work).await {
            Ok(mapped) => mapped.map_err(MapError::Unmappable),
            // It costs this event only: the mapping is not changed, and what is, from the fuel to the requests, is made for
            // one event and dropped with it. The event is dead, or it would be mapped, and fail, again and again.
            Err(error) if error.is_panic() => Err(MapError::Panicked),
            Err(_) => Err(MapError::Stopped),
        }
    }
}

fn map(mapping: &Mapping, event: &Event) -> Result<MappedRequests, String> {
    let payload: Value = serde_json::from_str(&event.payload)
        .map_err(|error| format!("the payload is no JSON: {error}"))?;
    mapping.apply(event, &Arc::new(payload)).map_err(|unmappable| unmappable.to_string())
}
