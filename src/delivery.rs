//! Takes queued events from the store, maps them, and sends the requests until Savio has them.

mod worker;
mod job;
mod attempt;
mod progress;
mod context;
mod settings;
mod acquisition;
mod plan;
pub mod mapper;
mod feature_requests;
pub mod source_pauses;
mod claims;
pub mod outcome;
mod persisted_gate;
mod conflicts;
pub mod gate;
mod store_retry;
mod clock;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::event::SourceName;
use crate::store::{Queue, StoreError};
use context::Context;
pub use context::ProcessContext;
use gate::PausedBy;
use persisted_gate::why_closed;
pub use persisted_gate::why_closed_in;
pub use settings::{Destination, Mappings, Settings};
use worker::Worker;

/// The delivery to one destination.
pub struct Delivery {
    context: Arc<Context>,
}

/// How the destination is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationStatus {
    pub paused_by: Option<PausedBy>,
    /// Why nothing goes to it now, if nothing does.
    pub reason: Option<String>,
}

impl Delivery {
    /// Of a process in which there is no other.
    pub fn new(store: Arc<dyn Queue>, destination: Destination, settings: Settings) -> Delivery {
        Delivery::sharing(ProcessContext::default(), store, destination, settings)
    }

    pub fn sharing(
        process: ProcessContext,
        store: Arc<dyn Queue>,
        destination: Destination,
        settings: Settings,
    ) -> Delivery {
        Delivery { context: Arc::new(Context::new(process, store, destination, settings)) }
    }

    /// Works on events as they come, until `shutdown`; then finishes what is in flight.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        Worker::new(self.context.clone()).run(shutdown).await;
    }

    /// Works on all that is due at `now`, and returns how many events that were.
    pub async fn deliver_all(&self, now: Timestamp) -> usize {
        Worker::new(self.context.clone()).run_once(now).await
    }

    /// Takes the whole new set. Requests that an event has become already stay as they are.
    pub fn replace_mappings(&self, mappings: Mappings) {
        self.context.replace_mappings(mappings);
    }

    /// What is on its way is finished; then events wait, until `resume`.
    pub async fn pause(&self, now: Timestamp) -> Result<(), StoreError> {
        self.context.open(now).await?;
        self.context.gate.change_by_person(|gate| gate.stop("by a person", now)).await
    }

    /// Ends every pause, the relay's own too.
    pub async fn resume(&self, now: Timestamp) -> Result<(), StoreError> {
        self.context.open(now).await?;
        self.context.gate.change_by_person(|gate| gate.resume(now)).await
    }

    /// Webhooks of the source are still taken; its events wait.
    pub async fn pause_source(&self, source: SourceName, now: Timestamp) -> Result<(), StoreError> {
        let Context { process, store, .. } = &*self.context;
        process.pauses.pause(&**store, source, now).await
    }

    pub async fn resume_source(&self, source: &SourceName) -> Result<(), StoreError> {
        let Context { process, store, gate, .. } = &*self.context;
        process.pauses.resume(&**store, source).await?;
        gate.turned.notify_one();
        Ok(())
    }

    /// The sources that a person paused, and since when.
    pub async fn paused_sources(&self) -> Result<BTreeMap<SourceName, Timestamp>, StoreError> {
        self.context.process.pauses.of_sources(&*self.context.store).await
    }

    pub async fn status(&self, now: Timestamp) -> Result<DestinationStatus, StoreError> {
        self.context.open(now).await?;
        Ok(self.context.gate.read(|gate| DestinationStatus {
            paused_by: gate.paused_by(),
            reason: gate.closed(now).map(|closed| closed.reason),
        }))
    }

    /// The sources that send to its destination now.
    pub fn sources(&self) -> Vec<SourceName> {
        self.context.mappings().keys().cloned().collect()
    }

    /// How many requests are on their way.
    pub fn in_flight(&self) -> usize {
        let Context { destination, claims, .. } = &*self.context;
        destination.max_in_flight.saturating_sub(claims.free_slots())
    }

    /// Why no queued event of the source goes on, if none does.
    pub fn why_source_waits(&self, source: &SourceName) -> Option<String> {
        self.context.why_source_waits(source)
    }

    /// Why nothing goes to the destination now, if nothing does.
    pub fn why_closed(&self, now: Timestamp) -> Option<String> {
        let closed = self.context.gate.read(|gate| gate.closed(now))?;
        Some(why_closed(&self.context.destination.name, &closed))
    }

    /// What an event in hand waits for: another event, by its place in the order of receipt.
    pub fn waits_for(&self, seq: u64) -> Option<String> {
        self.context.claims.waits_for(seq).map(|waits_for| waits_for.reason)
    }

    /// Of each source, how many events in hand wait for another event.
    pub fn waiting(&self) -> BTreeMap<SourceName, u64> {
        self.context.claims.waiting()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Delivery")
            .field("destination", &self.context.destination)
            .field("settings", &self.context.settings)
            .finish_non_exhaustive()
    }
}
