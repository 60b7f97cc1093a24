//! Checks of mapping texts that requests bring: each may take seconds of a core.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::error::ApiError;

/// Number of texts that are checked at a time.
const CHECKS_MAX: usize = 1;
/// Longest wait for the check before.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Lets one check run at a time, on a thread of its own.
#[derive(Debug)]
pub struct TextChecks(Arc<Semaphore>);

impl Default for TextChecks {
    fn default() -> TextChecks {
        TextChecks(Arc::new(Semaphore::new(CHECKS_MAX)))
    }
}

impl TextChecks {
    pub(super) async fn run<T: Send + 'static>(
        &self,
        check: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let slot = timeout(WAIT_MAX, Arc::clone(&self.0).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else {
            let reason = "another mapping is being checked: try again in a few seconds";
            return Err(ApiError::Unavailable(reason.to_owned()));
        };
        let checked = spawn_blocking(move || {
            // Held until the check has ended, even if nobody waits for it any more.
            let _slot = slot;
            check()
        });
        checked.await.map_err(|_| ApiError::Internal)
    }
}
