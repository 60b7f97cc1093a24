//! Locks on what requests name, so that two of them do not make the same new thing in Savio. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::known_keys::KnownKeys;
use super::seq::Seq;
use crate::event::RecordKey;

/// Exclusive locks, first come, first served: a request gets all of its keys or none, and while it waits, it
/// stands in line for each of them and holds nothing. So there is no deadlock. Lines are in order of receipt,
/// so the oldest request is passed by no other, and there is no starvation.
///
/// A key that is known to be in Savio needs no lock.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct KeyLocks {
    known: KnownKeys,
    held: BTreeMap<RecordKey, Seq>,
    lines: BTreeMap<RecordKey, BTreeSet<Seq>>,
    /// The keys that each event holds, or stands in line for.
    keys: BTreeMap<Seq, Vec<RecordKey>>,
}

/// What a request waits for: a key that another event holds, or is to get first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contention {
    pub(super) key: RecordKey,
    pub(super) with: Seq,
}

impl KeyLocks {
    pub(super) fn new(known_max: usize) -> KeyLocks {
        KeyLocks {
            known: KnownKeys::new(known_max),
            held: BTreeMap::new(),
            lines: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    /// Locks all of the keys, or none: then the event stands in line for them. It holds no others.
    pub(super) fn try_lock(
        &mut self,
        seq: Seq,
        keys: impl Iterator<Item = RecordKey>,
    ) -> Result<(), Contention> {
        self.queue(seq, keys);
        if let Some(contention) = self.contention(seq) {
            return Err(contention);
        }
        for key in self.keys.get(&seq).into_iter().flatten() {
            leave_line(&mut self.lines, *key, seq);
            self.held.insert(*key, seq);
        }
        Ok(())
    }

    /// Stands in line for those of the keys that are not known. The event holds none.
    pub(super) fn queue(&mut self, seq: Seq, keys: impl Iterator<Item = RecordKey>) {
        let keys: Vec<RecordKey> = keys.filter(|key| !self.known.contains(*key)).collect();
        for key in &keys {
            self.lines.entry(*key).or_default().insert(seq);
        }
        self.keys.insert(seq, keys);
    }

    /// What an event in line waits for; none: it may lock its keys.
    pub(super) fn contention(&self, seq: Seq) -> Option<Contention> {
        let keys = self.keys.get(&seq)?;
        keys.iter().find_map(|key| {
            let holder = self.held.get(key);
            let first = self.lines.get(key).and_then(BTreeSet::first);
            let with = holder.or(first).copied().filter(|with| *with != seq)?;
            Some(Contention { key: *key, with })
        })
    }

    /// The event gives back its locks, or leaves the lines. Returns events that may lock their keys now.
    pub(super) fn release(&mut self, seq: Seq) -> Vec<Seq> {
        let mut candidates = Vec::new();
        for key in self.keys.remove(&seq).unwrap_or_default() {
            if self.held.get(&key) == Some(&seq) {
                self.held.remove(&key);
            }
            leave_line(&mut self.lines, key, seq);
            candidates.extend(self.lines.get(&key).and_then(BTreeSet::first));
        }
        candidates
    }

    /// These are in Savio: they need no lock any more. Returns events that may lock the rest of their keys now.
    pub(super) fn learn(&mut self, keys: &[RecordKey]) -> Vec<Seq> {
        let mut candidates = Vec::new();
        for key in keys {
            self.known.learn(*key);
            for seq in self.lines.remove(key).unwrap_or_default() {
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
        self.held.is_empty() && self.lines.is_empty() && self.keys.is_empty()
    }
}

fn leave_line(lines: &mut BTreeMap<RecordKey, BTreeSet<Seq>>, key: RecordKey, seq: Seq) {
    if let Some(line) = lines.get_mut(&key) {
        line.remove(&seq);
        if line.is_empty() {
            lines.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NameKind;

    fn tag(name: &str) -> RecordKey {
        RecordKey::new(NameKind::Tag, name).unwrap()
    }

    fn lock(locks: &mut KeyLocks, seq: Seq, tags: &[&str]) -> Result<(), Contention> {
        locks.try_lock(seq, tags.iter().map(|name| tag(name)))
    }

    fn waits_for(key: &str, with: Seq) -> Result<(), Contention> {
        Err(Contention { key: tag(key), with })
    }

    #[test]
    fn key_is_locked_by_one_until_it_is_released_and_then_by_the_oldest_in_line() {
        let mut locks = KeyLocks::new(10);

        assert_eq!(lock(&mut locks, 1, &["red"]), Ok(()));
        assert_eq!(lock(&mut locks, 3, &["red"]), waits_for("red", 1));
        assert_eq!(lock(&mut locks, 2, &["red"]), waits_for("red", 1));

        assert_eq!(locks.release(1), [2]);
        assert_eq!(locks.contention(2), None);
        assert_eq!(locks.contention(3), Some(Contention { key: tag("red"), with: 2 }));
    }

    #[test]
    fn request_gets_all_keys_or_none_and_the_older_one_goes_first() {
        let mut locks = KeyLocks::new(10);

        assert_eq!(lock(&mut locks, 1, &["red"]), Ok(()));
        assert_eq!(lock(&mut locks, 2, &["blue", "red"]), waits_for("red", 1));
        assert_eq!(lock(&mut locks, 3, &["blue"]), waits_for("blue", 2));
        assert_eq!(lock(&mut locks, 0, &["blue"]), Ok(()), "nobody who waits holds anything");

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
