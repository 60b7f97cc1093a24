//! A bounded set of the keys of records that are known to exist in Savio.

use std::collections::BTreeSet;

use crate::event::RecordKey;

/// Keeps at least the newest half of `keys_max` keys. A key that is learned again counts as new.
// Two generations of half that many each: a key in use moves to the young one, and the old one is
// dropped as a whole. This needs no order of use, which a real LRU cache would have to update at
// each lookup.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct ExistingRecords {
    keys_max: usize,
    young: BTreeSet<RecordKey>,
    old: BTreeSet<RecordKey>,
}

impl ExistingRecords {
    pub(super) fn new(keys_max: usize) -> ExistingRecords {
        ExistingRecords { keys_max, young: BTreeSet::new(), old: BTreeSet::new() }
    }

    pub(super) fn contains(&self, key: RecordKey) -> bool {
        self.young.contains(&key) || self.old.contains(&key)
    }

    pub(super) fn learn(&mut self, key: RecordKey) {
        if self.young.len() >= self.keys_max / 2 && !self.young.contains(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::KeyKind;

    fn name(number: usize) -> RecordKey {
        RecordKey::new(KeyKind::Tag, &number.to_string()).unwrap()
    }

    #[test]
    fn newest_keys_are_known_and_oldest_forgotten() {
        let mut known = ExistingRecords::new(10);

        for number in 0..100 {
            known.learn(name(number));
            known.learn(name(0));
            assert!(known.young.len() + known.old.len() <= 10);
        }

        assert!(known.contains(name(0)), "one in use stays");
        assert!((96..100).all(|number| known.contains(name(number))));
        assert!((1..90).all(|number| !known.contains(name(number))));
    }
}
