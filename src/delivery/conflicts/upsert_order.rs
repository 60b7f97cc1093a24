//! The order of upserts: those of one record are sent one by one, in order of receipt of their
//! events. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::seq::Seq;
use crate::event::RecordKey;

/// For each record, the claimed events that have still to upsert it, in order of receipt. The first
/// of them may make its upsert.
// An event that is not mapped yet may turn out to have any upsert, so it counts as a member of
// every such set until `set_upserts` names those that it has.
//
// An upsert stays pending until it is recorded in the store, not just until Savio has answered: an
// event that is the first here and then reads the store must not find an upsert there that is done
// already.
#[derive(Debug, Clone, Default)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct UpsertOrder {
    pending: BTreeMap<RecordKey, BTreeSet<Seq>>,
    /// The keys for which each event is in `pending`.
    keys: BTreeMap<Seq, Vec<RecordKey>>,
    unmapped: BTreeSet<Seq>,
    /// Events that are the first for their key, and wait only until older ones are mapped.
    waiting_for_mapping: BTreeSet<Seq>,
}

/// An older claimed event that goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarlierEvent {
    Upserts(Seq),
    Unmapped(Seq),
}

impl UpsertOrder {
    /// Registers a claimed event that is not mapped yet.
    pub(super) fn register(&mut self, seq: Seq) {
        // A second registration does not make a mapped event unmapped, which would block all
        // younger upserts.
        if !self.keys.contains_key(&seq) {
            self.unmapped.insert(seq);
        }
    }

    /// Sets the upserts that a mapped event has still to make. Returns the events that this may
    /// unblock.
    pub(super) fn set_upserts(&mut self, seq: Seq, upserts: &[RecordKey]) -> Vec<Seq> {
        let mut keys = upserts.to_vec();
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            self.pending.entry(*key).or_default().insert(seq);
        }
        let before = self.keys.insert(seq, keys.clone()).unwrap_or_default();
        let dropped = before.into_iter().filter(|key| !keys.contains(key));
        let mut candidates = self.leave(seq, dropped);
        candidates.extend(self.mapped(seq));
        candidates
    }

    /// Removes an event. Returns the events that this may unblock.
    pub(super) fn remove(&mut self, seq: Seq) -> Vec<Seq> {
        self.waiting_for_mapping.remove(&seq);
        let keys = self.keys.remove(&seq).unwrap_or_default();
        let mut candidates = self.leave(seq, keys.into_iter());
        candidates.extend(self.mapped(seq));
        candidates
    }

    /// Returns the event that goes before this one's upsert; none if this one may go.
    pub(super) fn earlier(&self, seq: Seq, key: RecordKey) -> Option<EarlierEvent> {
        let first = self.pending.get(&key).and_then(BTreeSet::first).copied();
        let unmapped = self.unmapped.first().copied();
        let is_older = |other: &Seq| *other < seq;
        first
            .filter(is_older)
            .map(EarlierEvent::Upserts)
            .or(unmapped.filter(is_older).map(EarlierEvent::Unmapped))
    }

    /// Makes the event a candidate once all older ones are mapped.
    pub(super) fn wait_for_mapping(&mut self, seq: Seq) {
        self.waiting_for_mapping.insert(seq);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
            && self.keys.is_empty()
            && self.unmapped.is_empty()
            && self.waiting_for_mapping.is_empty()
    }

    fn leave(&mut self, seq: Seq, keys: impl Iterator<Item = RecordKey>) -> Vec<Seq> {
        let mut candidates = Vec::new();
        for key in keys {
            if let Some(events) = self.pending.get_mut(&key) {
                events.remove(&seq);
                candidates.extend(events.first());
                if events.is_empty() {
                    self.pending.remove(&key);
                }
            }
        }
        candidates
    }

    /// Notes that the event is mapped or removed. Returns the events that waited only for that.
    fn mapped(&mut self, seq: Seq) -> BTreeSet<Seq> {
        if !self.unmapped.remove(&seq) {
            return BTreeSet::new();
        }
        // The events before the first unmapped one wait no longer, the others still do. Kept apart
        // from `pending`, they are checked once, and not each time that any of the older events is
        // mapped.
        match self.unmapped.first() {
            None => std::mem::take(&mut self.waiting_for_mapping),
            Some(first) => {
                let later = self.waiting_for_mapping.split_off(first);
                std::mem::replace(&mut self.waiting_for_mapping, later)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::KeyKind;

    fn company(id: &str) -> RecordKey {
        RecordKey::new(KeyKind::CompanyUpsert, id).unwrap()
    }

    fn order(events: &[(Seq, &[RecordKey])]) -> UpsertOrder {
        let mut order = UpsertOrder::default();
        for (seq, upserts) in events {
            order.register(*seq);
            order.set_upserts(*seq, upserts);
        }
        order
    }

    #[test]
    fn next_event_of_a_key_is_unblocked_when_the_first_is_done() {
        let six = company("6");
        let mut order = order(&[(3, &[six]), (1, &[six]), (2, &[six])]);

        assert_eq!(order.earlier(1, six), None);
        assert_eq!(order.earlier(2, six), Some(EarlierEvent::Upserts(1)));
        assert_eq!(order.set_upserts(1, &[]), [2]);
        assert_eq!(order.earlier(2, six), None);
        assert_eq!(order.remove(2), [3]);
        assert_eq!(order.earlier(3, six), None);
    }

    #[test]
    fn upserts_of_other_records_wait_for_nothing() {
        let order = order(&[(1, &[company("6")]), (2, &[company("7")])]);

        assert_eq!(order.earlier(2, company("7")), None);
    }

    #[test]
    fn repeated_upsert_blocks_others_until_both_are_done() {
        let (six, seven) = (company("6"), company("7"));
        let mut order = order(&[(1, &[six, seven, six]), (2, &[six])]);

        assert_eq!(order.set_upserts(1, &[seven, six]), [] as [Seq; 0]);
        assert_eq!(order.earlier(2, six), Some(EarlierEvent::Upserts(1)));
        assert_eq!(order.set_upserts(1, &[seven]), [2]);
    }

    #[test]
    fn older_unmapped_event_blocks_every_upsert() {
        let six = company("6");
        let mut order = order(&[(3, &[six]), (5, &[six])]);
        order.register(2);
        order.register(4);

        assert_eq!(order.earlier(3, six), Some(EarlierEvent::Unmapped(2)));
        order.wait_for_mapping(3);
        assert_eq!(order.set_upserts(4, &[]), [] as [Seq; 0]);
        assert_eq!(order.set_upserts(2, &[company("7")]), [3]);
        assert_eq!(order.earlier(3, six), None);
    }

    #[test]
    fn removed_unmapped_event_blocks_no_more() {
        let six = company("6");
        let mut order = order(&[(2, &[six])]);
        order.register(1);
        order.wait_for_mapping(2);

        assert_eq!(order.remove(1), [2]);
        order.remove(2);
        assert!(order.is_empty());
    }
}
