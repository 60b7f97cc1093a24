//! Results of reading the mapping files again.

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
        Reloads { results, last_successful, last_success_at }
    }
}

impl Reloads {
    pub(super) fn register(self, registry: &mut Registry) {
        let Reloads { results, last_successful, last_success_at } = self;
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
    }

    /// Records that the files were not applied, so that the relay runs with earlier ones.
    pub fn rejected(&self) {
        self.results.get_or_create(&ResultLabel { result: "rejected" }).inc();
        self.last_successful.set(0);
    }

    /// Returns whether the files that were read last are in use.
    pub fn is_last_applied(&self) -> bool {
        self.last_successful.get() == 1
    }
}
