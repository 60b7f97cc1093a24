//! The asynchronous runtime of a command and the signals that end it.

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use super::error::CommandError;

pub(super) fn new() -> Result<Runtime, CommandError> {
    Runtime::new().map_err(|error| CommandError::Failed(error.to_string()))
}

/// Resolves at the first SIGTERM or SIGINT from now on.
pub(super) fn stopped() -> impl Future<Output = ()> {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    async {
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            warn!("signals cannot be watched: only kill -9 ends this process");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
