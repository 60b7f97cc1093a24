//! Delivers stored events: claims them, maps them to requests, and retries each request until Savio
//! accepts it.

mod worker;
mod active_destination;
mod job;
mod attempt;
mod progress;
mod context;
mod observer;
mod settings;
mod acquisition;
mod plan;
pub mod mapper;
mod feature_requests;
pub mod source_pauses;
mod claims;
pub mod outcome;
mod interruption_log;
mod persisted_gate;
pub(crate) mod conflicts;
pub mod gate;
mod store_retry;
pub mod waits;
pub(crate) mod clock;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::event::{SourceName, WaitingFor};
use crate::savio::Client;
use crate::store::{Queue, StoreError};
pub use attempt::ProbeReport;
use context::Context;
pub use context::ProcessContext;
use gate::{PausedBy, Signal};
pub use observer::{EventObserver, ObservedEvent};
pub use persisted_gate::why_closed_in;
pub use settings::{Destination, MappingInService, Mappings, Settings};
use worker::Worker;

/// Delivery to one destination: runs its worker, and controls and reports its state.
pub struct Delivery {
    context: Arc<Context>,
}

/// State of the destination, as the admin API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationStatus {
    pub paused_by: Option<PausedBy>,
    pub paused_since: Option<Timestamp>,
    /// Since when it fails, if so often that only single requests are sent.
    pub failing_since: Option<Timestamp>,
    /// Why no requests are sent at present; none if they are.
    pub waiting_for: Option<WaitingFor>,
    /// Reason of the last failure; none after a success.
    pub last_failure: Option<String>,
}

impl Delivery {
    /// Creates the only delivery of a process.
    pub fn new(store: Arc<dyn Queue>, destination: Destination, settings: Settings) -> Delivery {
        Delivery::sharing(ProcessContext::default(), store, destination, settings)
    }

    /// Creates one of several deliveries that share source pauses, mapping threads, metrics and
    /// traces.
    pub fn sharing(
        process: ProcessContext,
        store: Arc<dyn Queue>,
        destination: Destination,
        settings: Settings,
    ) -> Delivery {
        Delivery { context: Arc::new(Context::new(process, store, destination, settings)) }
    }

    /// Delivers events as they become due, until `shutdown`; then finishes the events in progress,
    /// within `Settings::shutdown_timeout`.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        Worker::new(self.context.clone()).run(shutdown).await;
    }

    /// Delivers all events that are due at `now` and returns their number.
    pub async fn deliver_all(&self, now: Timestamp) -> usize {
        Worker::new(self.context.clone()).run_once(now).await
    }

    /// Replaces all mappings at once. Events that were mapped before keep their requests.
    pub fn replace_mappings(&self, mappings: Mappings) {
        self.context.replace_mappings(mappings);
    }

    /// Replaces the client, as after a change of the token. A pause that the old one caused ends once
    /// Savio accepts the new one.
    pub async fn replace_client(&self, client: Client, now: Timestamp) -> Result<(), StoreError> {
        self.context.destination.replace_client(client, now);
        // If the stored gate cannot be read now, the first call that succeeds makes a probe due.
        self.context.open(now).await?;
        self.context.gate.note(&Signal::TokenReplaced, now).await;
        Ok(())
    }

    /// Pauses the destination until `resume`. Requests in flight are finished.
    pub async fn pause(&self, now: Timestamp) -> Result<(), StoreError> {
        // The stored gate is read first: it would replace a pause that is set before.
        self.context.open(now).await?;
        self.context
            .gate
            .change_by_person(now, |gate| gate.pause_by_person("by a person", now))
            .await
    }

    /// Ends all pauses of the destination, those by the relay as well, except the one for a missing
    /// token.
    pub async fn resume(&self, now: Timestamp) -> Result<(), StoreError> {
        self.context.open(now).await?;
        self.context.gate.change_by_person(now, |gate| gate.resume(now)).await
    }

    /// Pauses delivery of the source's events, for all destinations. Its webhooks are still
    /// accepted.
    pub async fn pause_source(&self, source: SourceName, now: Timestamp) -> Result<(), StoreError> {
        let Context { process, store, .. } = &*self.context;
        process.pauses.pause(&**store, source, now).await
    }

    pub async fn resume_source(&self, source: &SourceName) -> Result<(), StoreError> {
        let Context { process, store, gate, .. } = &*self.context;
        process.pauses.resume(&**store, source).await?;
        // Wakes the worker, which may sleep for up to a minute: no event of the source was due
        // while it was paused.
        gate.changed.notify_one();
        Ok(())
    }

    /// Returns the paused sources with the time at which each was paused.
    pub async fn paused_sources(&self) -> Result<BTreeMap<SourceName, Timestamp>, StoreError> {
        self.context.process.pauses.paused_sources(&*self.context.store).await
    }

    /// Asks Savio now whether it answers and accepts the token. If it does, a pause by an answer
    /// ends, and so does a wait after failures, also that of each event; a person's pause stays.
    pub async fn probe(&self, now: Timestamp) -> Result<ProbeReport, StoreError> {
        self.context.open(now).await?;
        let report = attempt::probe_for_person(&self.context, now).await;
        if report.answer.is_ok() {
            let Context { store, gate, .. } = &*self.context;
            store.end_retry_waits(self.sources(), now).await?;
            // Wakes the worker, which sleeps until the next event was to be due.
            gate.changed.notify_one();
        }
        Ok(report)
    }

    pub async fn status(&self, now: Timestamp) -> Result<DestinationStatus, StoreError> {
        self.context.open(now).await?;
        let waiting_for = self.why_closed(now);
        Ok(self.context.gate.read(|gate| DestinationStatus {
            paused_by: gate.paused_by(),
            paused_since: gate.pause().map(|pause| pause.since),
            failing_since: gate.failing_since(),
            waiting_for,
            last_failure: gate.last_failure().map(str::to_owned),
        }))
    }

    /// Sources with a mapping for this destination.
    pub fn sources(&self) -> Vec<SourceName> {
        self.context.mappings().keys().cloned().collect()
    }

    /// Returns the mapping of a source, if its events are sent to this destination.
    pub fn mapping(&self, source: &SourceName) -> Option<MappingInService> {
        self.context.mappings().get(source).cloned()
    }

    /// Number of slots in use: requests in flight or about to be sent.
    pub fn in_flight(&self) -> usize {
        let Context { destination, claims, .. } = &*self.context;
        destination.max_in_flight.saturating_sub(claims.free_slots())
    }

    /// Returns why no queued event of the source is delivered; none if they are.
    pub fn why_source_waits(&self, source: &SourceName) -> Option<WaitingFor> {
        self.context.why_source_waits(source)
    }

    /// Returns why no requests are sent to the destination at present; none if they are.
    pub fn why_closed(&self, now: Timestamp) -> Option<WaitingFor> {
        self.context.gate.closed(now)
    }

    /// Returns which other event a claimed event waits for. `seq` is its position in the order of
    /// receipt.
    pub fn waits_for(&self, seq: u64) -> Option<String> {
        self.context.claims.waits_for(seq).map(|waits_for| waits_for.reason)
    }

    /// Counts, for each source, the claimed events that wait for another event.
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
