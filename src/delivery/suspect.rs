//! Mapping a suspect: with nothing else being mapped and a mark on disk meanwhile, so that if the process
//! ends, the next one knows by which event.

use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::sleep;
use tracing::{error, warn};

use super::claims::Held;
use super::{Delivery, NotOurs, WRITE_WAIT_MAX, WRITE_WAIT_MIN};
use crate::store::{StoreError, Suspect};

/// After each death of the process a suspect waits up to so much longer, by chance. The rest of what was in
/// hand goes before it; and where something else ends the process again and again, a short time after each
/// start, that hardly ever falls twice into the few milliseconds in which the same event is marked.
const WAIT_PER_DEATH: Duration = Duration::from_secs(2);

/// Who may map now: many at a time, or one suspect. One for all destinations of a process. Whoever comes
/// first goes first, so that neither waits for ever.
#[derive(Debug, Default)]
pub(super) struct MappingLock(RwLock<()>);

/// The right to map one event, until this is dropped.
#[derive(Debug)]
pub(super) struct MappingPermit<'a> {
    _shared: Option<RwLockReadGuard<'a, ()>>,
    _alone: Option<RwLockWriteGuard<'a, ()>>,
}

impl MappingLock {
    pub(super) async fn acquire(&self, suspect: Option<Suspect>) -> MappingPermit<'_> {
        let Some(suspect) = suspect else {
            return MappingPermit { _shared: Some(self.0.read().await), _alone: None };
        };
        sleep(wait(suspect, fastrand::f64())).await;
        MappingPermit { _shared: None, _alone: Some(self.0.write().await) }
    }
}

/// `chance` is from 0 to 1.
fn wait(suspect: Suspect, chance: f64) -> Duration {
    WAIT_PER_DEATH.saturating_mul(suspect.deaths).mul_f64(chance)
}

/// Whether a suspect is being mapped.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Set,
    Unset,
}

impl Delivery {
    /// Marks a suspect; once this returns, the mark is on disk.
    pub(super) async fn mark(&self, held: &Held<'_>) -> Result<(), NotOurs> {
        self.write_mark(held, Mark::Set).await
    }

    pub(super) async fn unmark(&self, held: &Held<'_>) {
        // If the event is not ours any more, the mark is not either.
        let _ = self.write_mark(held, Mark::Unset).await;
    }

    /// Retries until the store is available, since nothing could be sent before that anyway.
    async fn write_mark(&self, held: &Held<'_>, mark: Mark) -> Result<(), NotOurs> {
        let mut wait = WRITE_WAIT_MIN;
        loop {
            let claim = held.claim();
            let id = claim.event;
            let written = match mark {
                Mark::Set => self.store.mark(claim).await,
                Mark::Unset => self.store.unmark(claim).await,
            };
            match written {
                Ok(()) => return Ok(()),
                Err(StoreError::ClaimLost) if held.has_replaced(claim).await => {}
                Err(StoreError::ClaimLost) => return Err(NotOurs),
                Err(StoreError::Impossible { reason }) => {
                    error!(event.id = %id, reason, "event {id} cannot be marked as a suspect: a bug");
                    return Err(NotOurs);
                }
                Err(StoreError::Unavailable { reason }) => {
                    if wait == WRITE_WAIT_MIN {
                        warn!(event.id = %id, reason, "cannot mark event {id} as a suspect yet");
                    }
                    sleep(wait).await;
                    wait = (wait * 2).min(WRITE_WAIT_MAX);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SUSPECT: Option<Suspect> = Some(Suspect { deaths: 0 });

    /// Whether an event may be mapped at once.
    async fn may_map(lock: &MappingLock, suspect: Option<Suspect>) -> bool {
        timeout(Duration::ZERO, lock.acquire(suspect)).await.is_ok()
    }

    #[tokio::test]
    async fn suspect_is_mapped_with_nothing_else_being_mapped() {
        let lock = MappingLock::default();

        let first = lock.acquire(None).await;
        assert!(may_map(&lock, None).await, "others are mapped side by side");
        assert!(!may_map(&lock, SUSPECT).await, "another event is being mapped");
        drop(first);

        let alone = lock.acquire(SUSPECT).await;
        assert!(!may_map(&lock, None).await, "a suspect is being mapped");
        assert!(!may_map(&lock, SUSPECT).await, "a suspect is being mapped");
        drop(alone);
        assert!(may_map(&lock, SUSPECT).await);
    }

    #[test]
    fn suspect_waits_longer_the_more_often_the_process_died_of_it() {
        assert_eq!(wait(Suspect { deaths: 0 }, 0.9), Duration::ZERO);
        assert_eq!(wait(Suspect { deaths: 1 }, 0.5), Duration::from_secs(1));
        assert_eq!(wait(Suspect { deaths: 2 }, 1.0), Duration::from_secs(4));
    }
}
