//! Commits to disk: how long they take, and which failed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Duration of commits.
#[derive(Debug, Clone)]
pub struct Commits {
    seconds: Histogram,
    failed: Counter,
    last_failure: Arc<Mutex<Option<(Timestamp, String)>>>,
}

impl Default for Commits {
    /// Buckets from half a millisecond to 8 seconds.
    fn default() -> Commits {
        let seconds = Histogram::new(exponential_buckets(0.0005, 2.0, 15));
        Commits { seconds, failed: Counter::default(), last_failure: Arc::default() }
    }
}

impl Commits {
    pub(super) fn register(self, registry: &mut Registry) {
        let Commits { seconds, failed, .. } = self;
        registry.register("commit_seconds", "Duration of a commit to disk", seconds);
        registry.register("commits_failed", "Commits to disk that failed", failed);
    }

    pub fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    /// Counts a commit that failed.
    pub fn failed(&self, now: Timestamp, reason: &str) {
        self.failed.inc();
        let mut last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((now, reason.to_owned()));
    }

    /// Returns the number of commits that failed, and when and why the last did.
    pub fn failures(&self) -> (u64, Option<(Timestamp, String)>) {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        (self.failed.get(), last.clone())
    }
}
