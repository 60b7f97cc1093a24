//! State that all tasks of a destination share, and state that all destinations share.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::active_destination::ActiveDestination;
use super::claims::ClaimTable;
use super::feature_requests::FeatureRequests;
use super::gate::Signal;
use super::mapper::Mapper;
use super::observer::EventObserver;
use super::persisted_gate::PersistedGate;
use super::settings::{Destination, Mappings, Settings};
use super::source_pauses::{SourcePauses, why_source_waits};
use crate::event::{SourceName, WaitingFor};
use crate::store::{Queue, StoreError};
use crate::telemetry::metrics::{Attempts, DeadEvents};
use crate::telemetry::traces::Traces;

/// State that all destinations of a process share.
#[derive(Debug, Clone, Default)]
pub struct ProcessContext {
    pub pauses: Arc<SourcePauses>,
    pub mapper: Arc<Mapper>,
    /// Counts the attempts of all destinations.
    pub attempts: Attempts,
    pub dead: DeadEvents,
    /// Who watches the mapped events.
    pub observer: EventObserver,
    pub traces: Traces,
}

/// State that all tasks of a destination share.
pub(super) struct Context {
    pub(super) process: ProcessContext,
    pub(super) store: Arc<dyn Queue>,
    pub(super) destination: ActiveDestination,
    pub(super) settings: Settings,
    pub(super) claims: ClaimTable,
    pub(super) gate: PersistedGate,
    pub(super) feature_requests: FeatureRequests,
    mappings: RwLock<Arc<Mappings>>,
    pub(super) mappings_replaced: Notify,
}

impl Context {
    pub(super) fn new(
        process: ProcessContext,
        store: Arc<dyn Queue>,
        destination: Destination,
        settings: Settings,
    ) -> Context {
        Context {
            process,
            claims: ClaimTable::new(destination.max_in_flight),
            gate: PersistedGate::new(store.clone(), &destination.name, settings.gate.clone()),
            feature_requests: FeatureRequests::new(),
            store,
            destination: ActiveDestination::new(destination),
            settings,
            mappings: RwLock::default(),
            mappings_replaced: Notify::new(),
        }
    }

    /// Reads the stored pauses and the stored gate at the first call, and lets the gate follow the
    /// clock.
    pub(super) async fn open(&self, now: Timestamp) -> Result<(), StoreError> {
        let client = self.destination.client();
        let missing = client.as_ref().as_ref().err().map(String::as_str);
        self.process.pauses.open(&*self.store).await?;
        // At a start, so that the destination is paused before a first request would send the token
        // in clear text.
        if self.gate.open(missing, now).await?
            && let Err(reason) = self.destination.permitted().await
        {
            self.gate.note(&Signal::Misconfigured { reason }, now).await;
        }
        Ok(())
    }

    pub(super) fn mappings(&self) -> Arc<Mappings> {
        self.mappings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace_mappings(&self, mappings: Mappings) {
        self.gate.serve(mappings.keys().cloned().collect());
        *self.mappings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(mappings);
        self.mappings_replaced.notify_one();
    }

    /// Sources that have a mapping and are not paused.
    pub(super) fn live_sources(&self) -> Vec<SourceName> {
        let mappings = self.mappings();
        // Locked once: this runs for each webhook, with the bundled sources beside those in use.
        let paused = self.process.pauses.all();
        let live = mappings.keys().filter(|source| !paused.contains_key(*source));
        live.cloned().collect()
    }

    pub(super) fn why_source_waits(&self, source: &SourceName) -> Option<WaitingFor> {
        let has_mapping = self.mappings().contains_key(source);
        why_source_waits(source, (has_mapping, self.process.pauses.is_paused(source)))
    }
}
