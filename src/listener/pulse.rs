//! The sign of life of an accept loop.

use std::sync::Arc;

use tokio::sync::Notify;

/// Asks an accept loop whether it still runs. The loop answers between two events.
// Not by a connection of our own: under a flood it would wait behind those of the flood, and a
// firewall may drop it.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<Signals>);

#[derive(Debug, Default)]
struct Signals {
    asked: Notify,
    answered: Notify,
}

impl Pulse {
    /// Resolves when the loop answers; never if it does not run.
    pub async fn beat(&self) {
        let answered = self.0.answered.notified();
        tokio::pin!(answered);
        // Before the question, so that no answer is missed.
        answered.as_mut().enable();
        self.0.asked.notify_one();
        answered.await;
    }

    /// Waits for the event, and answers meanwhile.
    pub(super) async fn beating<T>(&self, event: impl Future<Output = T>) -> T {
        tokio::pin!(event);
        loop {
            tokio::select! {
                () = self.0.asked.notified() => self.0.answered.notify_waiters(),
                happened = &mut event => return happened,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn loop_that_waits_answers_and_one_that_does_not_run_is_silent() {
        let pulse = Pulse::default();

        tokio::select! {
            () = pulse.beat() => {}
            () = pulse.beating(std::future::pending()) => unreachable!("the event never happens"),
        }

        assert_eq!(pulse.beating(async { 7 }).await, 7);
        tokio::select! {
            biased;
            () = pulse.beat() => panic!("nothing runs that could answer"),
            () = tokio::task::yield_now() => {}
        }
    }
}
