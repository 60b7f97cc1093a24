//! Results of reading the mapping files again.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::clock;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// Results of reading the mapping files again.
#[derive(Debug, Clone)]
pub struct Reloads {
    results: Family<ResultLabel, Counter>,
    last_successful: Gauge,
    last_success_at: Gauge,
    refused: Arc<Mutex<Option<RefusedReload>>>,
}

/// The sets of files since the last one that was applied, if any was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedReload {
    /// When the last of them was read.
    pub at: Timestamp,
    /// Why it was refused.
    pub reason: String,
    /// Number of them.
    pub count: u64,
}

impl Default for Reloads {
    fn default() -> Reloads {
        let results = Family::default();
        for result in ["applied", "rejected"] {
            drop(results.get_or_create(&ResultLabel { result }));
        }
        // The files were read at the start, or there would be no relay.
        let (last_successful, last_success_at) = (Gauge::default(), Gauge::default());
        last_successful.set(1);
        last_success_at.set(clock::now().as_second());
        Reloads { results, last_successful, last_success_at, refused: Arc::default() }
    }
}

impl Reloads {
    pub(super) fn register(self, registry: &mut Registry) {
        let Reloads { results, last_successful, last_success_at, .. } = self;
        let help = "Reloads of the mapping files, by result: what is rejected changes nothing";
        registry.register("reloads", help, results);
        let help = "1 if the mapping files that were read last are in use, 0 if they were rejected";
        registry.register("last_reload_successful", help, last_successful);
        let help = "Time since 1970 at which the mapping files in use were read";
        registry.register("last_reload_success_timestamp_seconds", help, last_success_at);
    }

    pub fn applied(&self, now: Timestamp) {
        self.results.get_or_create(&ResultLabel { result: "applied" }).inc();
        self.last_successful.set(1);
        self.last_success_at.set(now.as_second());
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Records that the files were not applied, so that the relay runs with earlier ones.
    pub fn rejected(&self, now: Timestamp, reason: String) {
        self.results.get_or_create(&ResultLabel { result: "rejected" }).inc();
        self.last_successful.set(0);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let count = refused.take().map_or(0, |it| it.count).saturating_add(1);
        *refused = Some(RefusedReload { at: now, reason, count });
    }

    /// Returns why the files that were read last are not in use; none if they are.
    pub fn refused(&self) -> Option<RefusedReload> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns whether the files that were read last are in use.
    pub fn is_last_applied(&self) -> bool {
        self.last_successful.get() == 1
    }
}
