//! The tasks that run until the relay stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

/// The tasks that run until the relay stops.
pub(super) struct Tasks {
    pub(super) closing: CancellationToken,
    /// Ends them if the relay could not start and is dropped.
    _closes_on_drop: DropGuard,
    /// Notified when one of them ends, even by a panic.
    pub(super) task_ended: Arc<Notify>,
    // A `TaskTracker` would be waited for as one, and tell neither which task was late nor that one
    // panicked.
    running: Vec<JoinHandle<()>>,
    /// Time in which they have to end.
    pub(super) shutdown_timeout: Duration,
}

impl Tasks {
    pub(super) fn new(shutdown_timeout: Duration) -> Tasks {
        let closing = CancellationToken::new();
        Tasks {
            _closes_on_drop: closing.clone().drop_guard(),
            closing,
            task_ended: Arc::default(),
            running: Vec::new(),
            shutdown_timeout,
        }
    }

    /// Resolves when the tasks have to end.
    pub(super) fn shutdown_started(&self) -> impl Future<Output = ()> + use<> {
        self.closing.clone().cancelled_owned()
    }

    pub(super) fn spawn(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        let one_ended = Arc::clone(&self.task_ended);
        self.running.push(tokio::spawn(supervised(part, one_ended)));
    }

    pub(super) async fn end(self, deadline: Instant) {
        self.closing.cancel();
        for task in self.running {
            match timeout_at(deadline, task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "a background task ended with an error"),
                Err(_) => warn!("a background task did not end in time"),
            }
        }
    }
}

/// Runs a task, and notifies `ended` when it ends, even by a panic.
async fn supervised(part: impl Future<Output = ()>, ended: Arc<Notify>) {
    // By a drop, which a panic runs as well. Without this the relay would run on without its
    // listener or its delivery, and nothing would restart it.
    struct NotifyOnDrop(Arc<Notify>);
    impl Drop for NotifyOnDrop {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let _ending = NotifyOnDrop(ended);
    part.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panicking_task_is_noticed() {
        let ended = Arc::new(Notify::new());

        let part = tokio::spawn(supervised(async { panic!("in a test") }, ended.clone()));

        ended.notified().await;
        assert!(part.await.is_err());
    }
}
