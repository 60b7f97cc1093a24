//! Locks on the records that requests name, so that two requests do not create the same one in
//! Savio. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::known_keys::ExistingRecords;
use super::seq::Seq;
use crate::event::RecordKey;

/// Exclusive locks, granted in order of receipt. A request locks all of its keys or none; while it
/// waits, it is queued for each of them. A key of a record that is known to exist needs no lock.
// A waiting request holds nothing, so there is no deadlock. Queues are in order of receipt, so no
// other request overtakes the oldest, and there is no starvation.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Hash))]
pub(crate) struct KeyLocks {
    known: ExistingRecords,
    held: BTreeMap<RecordKey, Seq>,
    queues: BTreeMap<RecordKey, BTreeSet<Seq>>,
    /// The keys that each event holds or is queued for.
    keys: BTreeMap<Seq, Vec<RecordKey>>,
}

/// A key that blocks a request, and the event that holds it or is before it in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contention {
    pub(crate) key: RecordKey,
    pub(crate) with: Seq,
}

impl KeyLocks {
    pub(crate) fn new(known_max: usize) -> KeyLocks {
        KeyLocks {
            known: ExistingRecords::new(known_max),
            held: BTreeMap::new(),
            queues: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    /// Locks all of the keys, or none; in that case the event is queued for them. It must hold no
    /// others.
    pub(crate) fn try_lock(
        &mut self,
        seq: Seq,
        keys: impl Iterator<Item = RecordKey>,
    ) -> Result<(), Contention> {
        self.queue(seq, keys);
        if let Some(contention) = self.contention(seq) {
            return Err(contention);
        }
        for key in self.keys.get(&seq).into_iter().flatten() {
            leave_queue(&mut self.queues, *key, seq);
            self.held.insert(*key, seq);
        }
        Ok(())
    }

    /// Queues the event for those of the keys that are not known. It must hold none.
    pub(super) fn queue(&mut self, seq: Seq, keys: impl Iterator<Item = RecordKey>) {
        let keys: Vec<RecordKey> = keys.filter(|key| !self.known.contains(*key)).collect();
        for key in &keys {
            self.queues.entry(*key).or_default().insert(seq);
        }
        self.keys.insert(seq, keys);
    }

    /// Returns what blocks a queued event; none if it may lock its keys.
    pub(super) fn contention(&self, seq: Seq) -> Option<Contention> {
        let keys = self.keys.get(&seq)?;
        keys.iter().find_map(|key| {
            let holder = self.held.get(key);
            let first = self.queues.get(key).and_then(BTreeSet::first);
            let with = holder.or(first).copied().filter(|with| *with != seq)?;
            Some(Contention { key: *key, with })
        })
    }

    /// Releases the event's locks or removes it from the queues. Returns the events that this may
    /// unblock.
    pub(crate) fn release(&mut self, seq: Seq) -> Vec<Seq> {
        let mut candidates = Vec::new();
        for key in self.keys.remove(&seq).unwrap_or_default() {
            if self.held.get(&key) == Some(&seq) {
                self.held.remove(&key);
            }
            leave_queue(&mut self.queues, key, seq);
            // Only the first in the queue can be unblocked; the others wait for it.
            candidates.extend(self.queues.get(&key).and_then(BTreeSet::first));
        }
        candidates
    }

    /// Remembers that these records exist in Savio: their keys need no lock any more. Returns the
    /// events that this may unblock.
    pub(crate) fn learn(&mut self, keys: &[RecordKey]) -> Vec<Seq> {
        let mut candidates = Vec::new();
        for key in keys {
            self.known.learn(*key);
            for seq in self.queues.remove(key).unwrap_or_default() {
                if let Some(keys) = self.keys.get_mut(&seq) {
                    keys.retain(|other| other != key);
                }
                candidates.push(seq);
            }
        }
        candidates
    }

    #[cfg(test)]
    pub(super) fn knows(&self, key: RecordKey) -> bool {
        self.known.contains(key)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.queues.is_empty() && self.keys.is_empty()
    }
}

fn leave_queue(queues: &mut BTreeMap<RecordKey, BTreeSet<Seq>>, key: RecordKey, seq: Seq) {
    if let Some(queue) = queues.get_mut(&key) {
        queue.remove(&seq);
        if queue.is_empty() {
            queues.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::KeyKind;

    fn tag(name: &str) -> RecordKey {
        RecordKey::new(KeyKind::Tag, name).unwrap()
    }

    fn lock(locks: &mut KeyLocks, seq: Seq, tags: &[&str]) -> Result<(), Contention> {
        locks.try_lock(seq, tags.iter().map(|name| tag(name)))
    }

    fn waits_for(key: &str, with: Seq) -> Result<(), Contention> {
        Err(Contention { key: tag(key), with })
    }

    #[test]
    fn released_key_goes_to_the_oldest_waiting_request() {
        let mut locks = KeyLocks::new(10);

        assert_eq!(lock(&mut locks, 1, &["red"]), Ok(()));
        assert_eq!(lock(&mut locks, 3, &["red"]), waits_for("red", 1));
        assert_eq!(lock(&mut locks, 2, &["red"]), waits_for("red", 1));

        assert_eq!(locks.release(1), [2]);
        assert_eq!(locks.contention(2), None);
        assert_eq!(locks.contention(3), Some(Contention { key: tag("red"), with: 2 }));
    }

    #[test]
    fn request_locks_all_keys_or_none_in_order_of_receipt() {
        let mut locks = KeyLocks::new(10);

        assert_eq!(lock(&mut locks, 1, &["red"]), Ok(()));
        assert_eq!(lock(&mut locks, 2, &["blue", "red"]), waits_for("red", 1));
        assert_eq!(lock(&mut locks, 3, &["blue"]), waits_for("blue", 2));
        assert_eq!(lock(&mut locks, 0, &["blue"]), Ok(()), "a waiting request holds nothing");

        assert_eq!(locks.release(1), [2]);
        assert_eq!(locks.contention(2), Some(Contention { key: tag("blue"), with: 0 }));
        assert_eq!(locks.release(0), [2]);
        assert_eq!(locks.contention(2), None);
        assert_eq!(locks.release(2), [3]);
    }

    #[test]
    fn known_key_needs_no_lock() {
        let mut locks = KeyLocks::new(10);
        assert_eq!(lock(&mut locks, 1, &["red"]), Ok(()));
        assert_eq!(lock(&mut locks, 2, &["red"]), waits_for("red", 1));
        assert_eq!(lock(&mut locks, 3, &["red", "blue"]), waits_for("red", 1));

        assert_eq!(locks.learn(&[tag("red")]), [2, 3]);

        assert_eq!((locks.contention(2), locks.contention(3)), (None, None));
        assert_eq!(lock(&mut locks, 4, &["red"]), Ok(()));
        for seq in 1..5 {
            locks.release(seq);
        }
        assert!(locks.is_empty());
    }
}
