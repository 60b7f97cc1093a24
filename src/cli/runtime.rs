//! The asynchronous runtime of a command and the signals that end it.

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use super::error::CommandError;

/// Runs the asynchronous part of a command on a runtime of its own.
pub(super) fn block_on<T>(
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let runtime = Runtime::new().map_err(|error| CommandError::Failed(error.to_string()))?;
    let result = runtime.block_on(work);
    // Dropping the runtime would wait for blocking calls, such as SQLite's wait of five seconds for
    // a lock, a read from a disk that hangs, or one of standard input. Everything that can be
    // written is written by now.
    runtime.shutdown_background();
    result
}

/// Resolves at the first SIGTERM or SIGINT after this call.
pub(super) fn stopped() -> impl Future<Output = ()> {
    // Here and not in the future, so that a signal before the first poll is not lost, or ends the
    // process at once.
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
