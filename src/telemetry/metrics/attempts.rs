//! Counters of requests to Savio.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::event::Outcome;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DestinationLabel {
    pub(super) destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    destination: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeftOutLabels {
    destination: String,
    field: String,
}

/// Counters of requests to Savio.
#[derive(Debug, Clone)]
pub struct Attempts {
    left_out: Family<LeftOutLabels, Counter>,
    outcomes: Family<OutcomeLabels, Counter>,
    seconds: Family<DestinationLabel, Histogram, fn() -> Histogram>,
    /// Events that nobody could watch, as too many came at a time.
    unobserved: Counter,
}

impl Default for Attempts {
    /// Buckets from 10 milliseconds to 41 seconds.
    fn default() -> Attempts {
        let histogram = || Histogram::new(exponential_buckets(0.01, 2.0, 13));
        Attempts {
            left_out: Family::default(),
            outcomes: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            unobserved: Counter::default(),
        }
    }
}

impl Attempts {
    pub(super) fn register(self, registry: &mut Registry) {
        let Attempts { left_out, outcomes, seconds, unobserved } = self;
        let refused = "Fields that were omitted from requests because Savio rejected their values";
        registry.register("fields_left_out", refused, left_out);
        registry.register("attempts", "Requests to Savio, by outcome", outcomes);
        registry.register("attempt_seconds", "Response time of Savio", seconds);
        let dropped = "Events that were not watched for missing fields, as too many came at a time";
        registry.register("drift_events_dropped", dropped, unobserved);
    }

    /// Makes the time series of a destination exist, with 0.
    pub fn expect(&self, destination: &str) {
        let destination = destination.to_owned();
        drop(self.seconds.get_or_create(&DestinationLabel { destination: destination.clone() }));
        for outcome in Outcome::ALL {
            let of = OutcomeLabels { destination: destination.clone(), outcome: outcome.as_str() };
            drop(self.outcomes.get_or_create(&of));
        }
    }

    pub fn record_outcome(&self, destination: &str, outcome: &'static str) {
        let destination = destination.to_owned();
        self.outcomes.get_or_create(&OutcomeLabels { destination, outcome }).inc();
    }

    /// Counts fields that were omitted from requests. There are a few names only.
    pub fn left_out<'f>(&self, destination: &str, fields: impl IntoIterator<Item = &'f String>) {
        for field in fields {
            let (destination, field) = (destination.to_owned(), field.clone());
            self.left_out.get_or_create(&LeftOutLabels { destination, field }).inc();
        }
    }

    /// Counts an event that was not watched for missing fields.
    pub fn unobserved(&self) {
        self.unobserved.inc();
    }

    pub fn took(&self, destination: &str, time: Duration) {
        let destination = destination.to_owned();
        let time_s = time.as_secs_f64();
        self.seconds.get_or_create(&DestinationLabel { destination }).observe(time_s);
    }
}
