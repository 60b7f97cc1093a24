//! Waits between tries of the store: each twice as long as the one before, and short once the relay stops.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{WRITE_WAIT_MAX, WRITE_WAIT_MIN};

#[derive(Debug)]
pub(super) struct Backoff {
    wait: Duration,
    has_failed: bool,
    stopping: watch::Receiver<bool>,
}

/// Whether the relay goes on. When it stops, only what would be lost is tried again: what is in the store
/// already is found there at the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    Runs,
    Stops,
}

impl Backoff {
    pub(super) fn new(stopping: watch::Receiver<bool>) -> Backoff {
        Backoff { wait: WRITE_WAIT_MIN, has_failed: false, stopping }
    }

    /// Whether nothing failed before, so that the failure is to be logged.
    pub(super) fn is_first(&self) -> bool {
        !self.has_failed
    }

    /// Waits before the next try. A stop ends the wait, and makes the next ones short, since it waits for
    /// what is to be written only a few seconds.
    pub(super) async fn pause(&mut self) -> Process {
        self.has_failed = true;
        if *self.stopping.borrow() {
            sleep(WRITE_WAIT_MIN).await;
            return Process::Stops;
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(WRITE_WAIT_MAX);
        tokio::select! {
            () = sleep(wait) => Process::Runs,
            // A sender that is gone means the same.
            _ = self.stopping.wait_for(|stops| *stops) => Process::Stops,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn stop_ends_a_long_wait_and_makes_the_next_ones_short() {
        let stopping = watch::Sender::new(false);
        let mut backoff = Backoff::new(stopping.subscribe());
        backoff.wait = Duration::from_hours(1);
        assert!(backoff.is_first());

        let waiting = tokio::spawn(async move {
            let first = backoff.pause().await;
            (first, backoff.pause().await, backoff.is_first())
        });
        tokio::task::yield_now().await;
        stopping.send_replace(true);

        let waited = timeout(Duration::from_mins(1), waiting).await.expect("the stop ends it");
        assert_eq!(waited.unwrap(), (Process::Stops, Process::Stops, false));
    }

    #[tokio::test]
    async fn waits_double_up_to_the_longest_while_the_relay_runs() {
        let stopping = watch::Sender::new(false);
        let mut backoff = Backoff::new(stopping.subscribe());
        backoff.wait = Duration::ZERO;

        assert_eq!(backoff.pause().await, Process::Runs);
        backoff.wait = Duration::from_millis(1);
        assert_eq!(backoff.pause().await, Process::Runs);
        assert_eq!(backoff.wait, Duration::from_millis(2));
    }
}
