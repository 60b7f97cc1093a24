//! The clock of one delivery task.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::sleep;

/// Starts at a given time and runs by the steady clock.
// A step of the wall clock during the work changes no wait or age, and tests can deliver at any
// time that they choose.
pub(crate) struct SteadyClock {
    now: Timestamp,
    read: Instant,
}

impl SteadyClock {
    pub(crate) fn starting(now: Timestamp) -> SteadyClock {
        SteadyClock { now, read: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now.saturating_add(self.read.elapsed()).unwrap_or(self.now)
    }

    pub(crate) async fn wait_until(&self, at: Timestamp) {
        let left = Duration::try_from(at.duration_since(self.now())).unwrap_or_default();
        // Even a sleep of no time takes up to a millisecond.
        if !left.is_zero() {
            sleep(left).await;
        }
    }
}
