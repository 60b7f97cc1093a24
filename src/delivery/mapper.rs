//! Where events are mapped: on a few threads apart from those that wait for the network, within the memory
//! for parsed JSON, and a suspect alone.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::available_parallelism;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::suspect::MappingLock;
use crate::event::Event;
use crate::mapping::{Mapped, Mapping};
use crate::parse_memory::{ParseMemory, weigh};

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
    #[error("the relay stops")]
    Stopped,
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

    /// However small the payload: a template or a query of a few bytes may take seconds. A bug there costs
    /// this event only.
    pub(super) async fn map(
        &self,
        mapping: Arc<Mapping>,
        event: Event,
    ) -> Result<Mapped, MapError> {
        let _thread = self.threads.acquire().await.map_err(|_| MapError::Stopped)?;
        let memory = Arc::clone(&self.memory);
        let work = move || catch_unwind(AssertUnwindSafe(|| map(&mapping, &event, &memory)));
        match spawn_blocking(work).await {
            Ok(Ok(mapped)) => mapped.map_err(MapError::Unmappable),
            Ok(Err(_panic)) => Err(MapError::Panicked),
            Err(_) => Err(MapError::Stopped),
        }
    }
}

fn map(mapping: &Mapping, event: &Event, memory: &Arc<ParseMemory>) -> Result<Mapped, String> {
    let _memory = memory.take(weigh(&event.payload));
    let payload: Value = serde_json::from_str(&event.payload)
        .map_err(|error| format!("the payload is no JSON: {error}"))?;
    mapping.apply(event, &Arc::new(payload)).map_err(|unmappable| unmappable.to_string())
}
