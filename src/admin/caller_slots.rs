//! Work that each caller of the API may have done once at a time, such as the check of a text that is
//! being edited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::ApiError;

/// Longest wait for the caller's work before.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// One slot for each caller, by its key.
#[derive(Debug, Default)]
pub struct CallerSlots(Mutex<HashMap<Arc<str>, Weak<Semaphore>>>);

/// The right of a caller to have work done. Whoever does it keeps this.
#[derive(Debug)]
pub(super) struct CallerSlot {
    _permit: OwnedSemaphorePermit,
    // The map forgets a slot that nobody has or waits for.
    _slot: Arc<Semaphore>,
}

impl CallerSlots {
    /// Waits until no earlier work of the caller is done any more, for a short time.
    pub(super) async fn acquire(&self, caller: Arc<str>) -> Result<CallerSlot, ApiError> {
        let slot = self.slot(caller);
        if let Ok(Ok(permit)) = timeout(WAIT_MAX, Arc::clone(&slot).acquire_owned()).await {
            return Ok(CallerSlot { _permit: permit, _slot: slot });
        }
        let reason =
            "an earlier request of yours is still being worked on: try again when it has ended";
        Err(ApiError::Unavailable(reason.to_owned()))
    }

    fn slot(&self, key: Arc<str>) -> Arc<Semaphore> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.strong_count() > 0);
        if let Some(slot) = slots.get(&key).and_then(Weak::upgrade) {
            return slot;
        }
        let slot = Arc::new(Semaphore::new(1));
        slots.insert(key, Arc::downgrade(&slot));
        slot
    }
}
