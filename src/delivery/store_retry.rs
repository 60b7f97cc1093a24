//! Waits between tries of a store operation, which are short once the relay stops.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;

const STORE_RETRY_MIN: Duration = Duration::from_millis(100);
pub(super) const STORE_RETRY_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct StoreRetry {
    backoff: Backoff,
    failures: u32,
    stopping: CancellationToken,
}

/// State of the relay after a wait.
// Once it stops, callers retry only what would be lost. What is in the store already is found there
// at the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RelayState {
    Runs,
    Stops,
}

impl StoreRetry {
    pub(super) fn new(stopping: CancellationToken) -> StoreRetry {
        let backoff = Backoff { wait_min: STORE_RETRY_MIN, wait_max: STORE_RETRY_MAX };
        StoreRetry { backoff, failures: 0, stopping }
    }

    /// True before the first wait: only the first failure is logged.
    pub(super) fn is_first(&self) -> bool {
        self.failures == 0
    }

    /// Waits before the next try. A stop ends the wait.
    pub(super) async fn pause(&mut self) -> RelayState {
        let wait = self.backoff.wait(self.failures);
        self.failures = self.failures.saturating_add(1);
        // A stop allows only a few seconds (`shutdown_timeout`) for what has still to be written:
        // it is tried often.
        if self.stopping.is_cancelled() {
            sleep(STORE_RETRY_MIN).await;
            return RelayState::Stops;
        }
        tokio::select! {
            () = sleep(wait) => RelayState::Runs,
            () = self.stopping.cancelled() => RelayState::Stops,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn stop_ends_a_long_wait_and_shortens_the_next() {
        let (stopping, hour) = (CancellationToken::new(), Duration::from_hours(1));
        let mut retry = StoreRetry::new(stopping.clone());
        retry.backoff = Backoff { wait_min: hour, wait_max: hour };
        assert!(retry.is_first());

        let waiting = tokio::spawn(async move {
            let first = retry.pause().await;
            (first, retry.pause().await, retry.is_first())
        });
        tokio::task::yield_now().await;
        stopping.cancel();

        let waited = timeout(Duration::from_mins(1), waiting).await.expect("the stop ends it");
        assert_eq!(waited.unwrap(), (RelayState::Stops, RelayState::Stops, false));
    }
}
