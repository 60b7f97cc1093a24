//! Lets a suspect be mapped while no other event is, so that the mark on disk tells which event
//! ended the process.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::store::Suspect;

/// Time after the start of a process, and random addition to it, in which suspects that ended an
/// earlier one are not mapped.
// Others are delivered meanwhile. And where something else ends the process again and again, no
// event is marked at the beginning of each short life: with 0 to 2 seconds instead, one of four
// loops of 100 kills met an event three times in the few milliseconds in which it was marked.
const COOLDOWN_MIN: Duration = Duration::from_secs(5);
const COOLDOWN_MORE: Duration = Duration::from_secs(5);

/// Admits many mappings at a time, or that of one suspect. Shared by all destinations of a process.
// tokio's lock is fair, first come, first served: suspects and others cannot keep each other
// waiting for ever.
#[derive(Debug, Default)]
pub(in crate::delivery) struct MappingLock {
    lock: RwLock<()>,
    /// Starts with the first event of the process.
    cooldown: OnceLock<Cooldown>,
}

/// The right to map one event, until this is dropped.
#[derive(Debug)]
pub(in crate::delivery) struct MappingPermit<'a> {
    _shared: Option<RwLockReadGuard<'a, ()>>,
    _alone: Option<RwLockWriteGuard<'a, ()>>,
}

impl MappingLock {
    /// Returns for how much longer the event must not be mapped.
    pub(in crate::delivery) fn cooldown(
        &self,
        suspect: Option<Suspect>,
        now: Timestamp,
    ) -> Option<Duration> {
        let cooldown = self.cooldown.get_or_init(|| Cooldown::beginning(now, fastrand::f64()));
        // Only events during which the process died: all others that a crash made suspects are
        // mapped at once, one at a time.
        let is_known = suspect.is_some_and(|suspect| suspect.crashes > 0);
        if is_known { cooldown.left(now) } else { None }
    }

    pub(in crate::delivery) async fn acquire(&self, suspect: Option<Suspect>) -> MappingPermit<'_> {
        match suspect {
            None => MappingPermit { _shared: Some(self.lock.read().await), _alone: None },
            Some(_) => MappingPermit { _shared: None, _alone: Some(self.lock.write().await) },
        }
    }
}

#[derive(Debug)]
struct Cooldown {
    since: Timestamp,
    started: Instant,
    length: Duration,
}

impl Cooldown {
    /// `chance` is from 0 to 1.
    fn beginning(now: Timestamp, chance: f64) -> Cooldown {
        let length = COOLDOWN_MIN + COOLDOWN_MORE.mul_f64(chance);
        Cooldown { since: now, started: Instant::now(), length }
    }

    /// Returns the time that is left.
    fn left(&self, now: Timestamp) -> Option<Duration> {
        // The clock by which more time has passed counts, since the wall clock may have been set
        // back.
        let passed = Duration::try_from(now.duration_since(self.since)).unwrap_or_default();
        let passed = passed.max(self.started.elapsed());
        self.length.checked_sub(passed).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SUSPECT: Option<Suspect> = Some(Suspect { crashes: 0 });

    /// Returns whether an event may be mapped at once.
    async fn may_map(lock: &MappingLock, suspect: Option<Suspect>) -> bool {
        timeout(Duration::ZERO, lock.acquire(suspect)).await.is_ok()
    }

    #[tokio::test]
    async fn suspect_is_mapped_alone() {
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
    fn suspect_with_a_death_is_not_mapped_in_the_first_seconds() {
        let (lock, start) = (MappingLock::default(), Timestamp::UNIX_EPOCH);
        let known = Some(Suspect { crashes: 1 });

        let longest = COOLDOWN_MIN + COOLDOWN_MORE;
        let left = lock.cooldown(known, start).expect("it is left alone");
        assert!(left <= longest, "{left:?}");
        assert_eq!(lock.cooldown(SUSPECT, start), None);
        assert_eq!(lock.cooldown(None, start), None);
        assert_eq!(lock.cooldown(known, start + longest), None);
        let set_back = lock.cooldown(known, start - Duration::from_hours(1));
        assert!(set_back.is_none_or(|left| left <= longest), "{set_back:?}");
    }
}
