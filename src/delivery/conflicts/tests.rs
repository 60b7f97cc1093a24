//! Locks and order of events: in small examples, for random events, and for every order of the
//! steps of three events.

mod explorer;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::delivery::acquisition::{Acquisition, AcquisitionResult, AcquisitionStep};
use crate::event::{EventId, KeyKind};
use crate::store::EarlierUpsert;

fn tag(name: &str) -> RecordKey {
    RecordKey::new(KeyKind::Tag, name).unwrap()
}

fn company(id: &str) -> RecordKey {
    RecordKey::new(KeyKind::CompanyUpsert, id).unwrap()
}

fn tags(names: &[&str]) -> LockRequest {
    LockRequest { names: names.iter().map(|name| tag(name)).collect(), upsert: None }
}

fn upsert(id: &str) -> LockRequest {
    LockRequest { names: Vec::new(), upsert: Some(company(id)) }
}

/// Returns the state after these events were claimed and mapped, each with the request that it is
/// about to send.
fn mapped(events: &[(Seq, &LockRequest)]) -> Conflicts {
    let mut conflicts = Conflicts::default();
    for (seq, request) in events {
        conflicts.register(*seq);
        conflicts.set_upserts(*seq, request.upsert.as_slice());
    }
    conflicts
}

fn ready(conflicts: &mut Conflicts) -> Vec<Seq> {
    std::iter::from_fn(|| conflicts.next_ready(|_| true)).collect()
}

fn blocked_by_upsert(event: Seq, id: &str) -> LockResult {
    LockResult::Blocked(BlockedBy::Upsert { event, key: company(id) })
}

fn blocked_by_tag(event: Seq, name: &str) -> LockResult {
    LockResult::Blocked(BlockedBy::Key { event, key: tag(name) })
}

/// Marks the event's request as sent and recorded, without further upserts.
fn record(conflicts: &mut Conflicts, seq: Seq) {
    conflicts.mark_sent(seq);
    conflicts.set_upserts(seq, &[]);
}

#[test]
fn request_waiting_for_an_upsert_blocks_no_key() {
    let (six, red) = (upsert("6"), tags(&["red"]));
    let six_and_red = LockRequest { names: vec![tag("red")], ..six.clone() };
    let mut conflicts = mapped(&[(1, &six), (2, &six_and_red), (3, &red)]);

    assert_eq!(conflicts.try_lock(1, six), LockResult::Granted);
    assert_eq!(conflicts.try_lock(2, six_and_red), blocked_by_upsert(1, "6"));

    assert_eq!(conflicts.try_lock(3, red), LockResult::Granted);
}

#[test]
fn request_is_ready_once_its_upsert_and_its_keys_are_free() {
    let (six, red) = (upsert("6"), tags(&["red"]));
    let six_and_red = LockRequest { names: vec![tag("red")], ..six.clone() };
    let mut conflicts = mapped(&[(1, &six), (2, &six_and_red), (3, &red)]);
    conflicts.try_lock(1, six);
    conflicts.try_lock(2, six_and_red.clone());
    conflicts.try_lock(3, red);

    record(&mut conflicts, 1);
    let waits = Some(BlockedBy::Key { event: 3, key: tag("red") });
    assert_eq!((conflicts.blocked_by(2), ready(&mut conflicts)), (waits, vec![]));
    conflicts.remove(3);

    assert_eq!((conflicts.blocked_by(2), ready(&mut conflicts)), (None, vec![2]));
    assert_eq!(conflicts.try_lock(2, six_and_red), LockResult::Granted);
}

#[test]
fn upsert_blocks_younger_ones_until_it_is_recorded() {
    let six = upsert("6");
    let mut conflicts = mapped(&[(1, &six), (2, &six)]);
    conflicts.try_lock(1, six.clone());
    conflicts.try_lock(2, six.clone());

    conflicts.mark_sent(1);
    assert!(ready(&mut conflicts).is_empty(), "the store does not have it yet");
    conflicts.set_upserts(1, &[]);

    assert_eq!(ready(&mut conflicts), [2]);
    assert_eq!(conflicts.try_lock(2, six), LockResult::Granted);
}

#[test]
fn upsert_waits_until_older_events_are_mapped() {
    let six = upsert("6");
    let mut conflicts = Conflicts::default();
    conflicts.register(1);
    conflicts.register(2);
    conflicts.set_upserts(2, &[company("6")]);

    let unmapped = BlockedBy::Unmapped { event: 1 };
    assert_eq!(conflicts.try_lock(2, six), LockResult::Blocked(unmapped));
    assert_eq!(conflicts.blocked_by(2), Some(unmapped));
    conflicts.set_upserts(1, &[]);

    assert_eq!(ready(&mut conflicts), [2]);
}

#[test]
fn granted_lock_is_kept_when_an_older_event_arrives() {
    let six = upsert("6");
    let mut conflicts = mapped(&[(2, &six)]);
    assert_eq!(conflicts.try_lock(2, six.clone()), LockResult::Granted);
    conflicts.register(1);

    assert_eq!(conflicts.try_lock(2, six.clone()), LockResult::Granted);
    conflicts.set_upserts(1, &[company("6")]);
    let in_flight = BlockedBy::Key { event: 2, key: company("6") };
    assert_eq!(conflicts.try_lock(1, six), LockResult::Blocked(in_flight));
    conflicts.remove(2);

    assert_eq!(ready(&mut conflicts), [1]);
}

#[test]
fn ready_event_yields_to_older_events_only() {
    let red = tags(&["red"]);
    let mut conflicts = mapped(&[(1, &red), (2, &red), (3, &red)]);
    conflicts.try_lock(2, red.clone());
    conflicts.try_lock(3, red.clone());
    conflicts.remove(2);
    assert_eq!(ready(&mut conflicts), [3]);

    assert_eq!(conflicts.try_lock(4, red.clone()), blocked_by_tag(3, "red"));
    assert_eq!(conflicts.try_lock(1, red.clone()), LockResult::Granted);
    assert_eq!(conflicts.try_lock(3, red), blocked_by_tag(1, "red"));
}

#[test]
fn events_beyond_the_limit_are_rejected() {
    let red = tags(&["red"]);
    let mut conflicts = Conflicts::new(10, 4);
    let results: Vec<LockResult> = (1..6).map(|seq| conflicts.try_lock(seq, red.clone())).collect();

    let blocked = blocked_by_tag(1, "red");
    let (first, second) = (LockResult::QueueFull(1), LockResult::QueueFull(2));
    assert_eq!(results, [LockResult::Granted, blocked, blocked, first, second]);
    for seq in 1..6 {
        conflicts.remove(seq);
    }
    assert_eq!(conflicts.try_lock(7, red), LockResult::Granted);
}

/// Requests of an event: the tags and the internal_id of each, out of few values.
type Plan = Vec<(Vec<u8>, Option<u8>)>;

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let request = (prop::collection::vec(0..4_u8, 0..3), prop::option::of(0..3_u8));
    prop::collection::vec(prop::collection::vec(request, 1..4), 1..12)
}

fn request((tags, upsert): &(Vec<u8>, Option<u8>)) -> LockRequest {
    let mut names: Vec<RecordKey> = tags.iter().map(|name| tag(&name.to_string())).collect();
    names.sort_unstable();
    names.dedup();
    LockRequest { names, upsert: upsert.map(|id| company(&id.to_string())) }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    InStore,
    Unmapped,
    Acquiring,
    InFlight,
    Waiting,
    Done,
}

/// Delivery in one thread. Random numbers choose the event that takes the next step, and how it
/// ends.
struct World {
    conflicts: Conflicts,
    requests: Vec<Vec<LockRequest>>,
    stages: Vec<Stage>,
    next: Vec<usize>,
    /// True if the store has the event's requests.
    is_planned: Vec<bool>,
    known: BTreeSet<RecordKey>,
    upserted: Vec<(RecordKey, Seq)>,
}

impl World {
    fn new(plans: &[Plan]) -> World {
        let requests: Vec<Vec<LockRequest>> =
            plans.iter().map(|plan| plan.iter().map(request).collect()).collect();
        let count = requests.len();
        World {
            conflicts: Conflicts::new(6, 1_000),
            requests,
            stages: vec![Stage::InStore; count],
            next: vec![0; count],
            is_planned: vec![false; count],
            known: BTreeSet::new(),
            upserted: Vec::new(),
        }
    }

    fn request(&self, event: usize) -> LockRequest {
        self.requests[event][self.next[event]].clone()
    }

    fn upserts(&self, event: usize) -> Vec<RecordKey> {
        let left = &self.requests[event][self.next[event]..];
        left.iter().filter_map(|request| request.upsert).collect()
    }

    /// Finds an earlier event in the store with this upsert.
    fn earlier(&self, event: usize, upsert: RecordKey) -> Option<EarlierUpsert> {
        let is_earlier = |at: &usize| {
            self.stages[*at] == Stage::InStore
                && self.is_planned[*at]
                && self.upserts(*at).contains(&upsert)
        };
        let seq = (0..event).find(is_earlier)? as Seq;
        let event = EventId::from_bytes([0; 16]);
        Some(EarlierUpsert { seq, event, token: 0, is_claimed: false })
    }

    fn step(&mut self, event: usize, chance: u8) {
        let seq = event as Seq;
        match self.stages[event] {
            Stage::InStore => {
                self.conflicts.register(seq);
                self.stages[event] = Stage::Unmapped;
            }
            Stage::Unmapped => {
                self.conflicts.set_upserts(seq, &self.upserts(event));
                self.stages[event] = Stage::Acquiring;
            }
            Stage::Acquiring => self.acquire(event),
            Stage::InFlight if chance.is_multiple_of(4) => self.leave(event),
            Stage::InFlight => self.succeed(event),
            Stage::Waiting | Stage::Done => {}
        }
    }

    fn acquire(&mut self, event: usize) {
        let mut acquisition = Acquisition::new(event as Seq, self.request(event));
        let mut step = acquisition.begin(&mut self.conflicts);
        if let AcquisitionStep::AskStore(upsert) = step {
            let earlier = self.earlier(event, upsert);
            step = acquisition.continue_with(&mut self.conflicts, earlier);
        }
        match step {
            AcquisitionStep::Done(AcquisitionResult::Granted) => {
                self.is_planned[event] = true;
                self.stages[event] = Stage::InFlight;
            }
            AcquisitionStep::Done(AcquisitionResult::Blocked) => {
                self.stages[event] = Stage::Waiting;
            }
            AcquisitionStep::Done(AcquisitionResult::Behind(..)) => {
                self.is_planned[event] = true;
                self.leave(event);
            }
            unexpected => panic!("{unexpected:?}"),
        }
    }

    fn leave(&mut self, event: usize) {
        self.stages[event] = Stage::InStore;
        self.conflicts.remove(event as Seq);
    }

    fn succeed(&mut self, event: usize) {
        let request = self.request(event);
        self.known.extend(&request.names);
        self.upserted.extend(request.upsert.map(|name| (name, event as Seq)));
        self.next[event] += 1;
        self.conflicts.mark_sent(event as Seq);
        self.conflicts.set_upserts(event as Seq, &self.upserts(event));
        self.stages[event] = Stage::Acquiring;
        if self.next[event] == self.requests[event].len() {
            self.leave(event);
            self.stages[event] = Stage::Done;
        }
    }

    /// Lets ready events try again, and checks that each of the others waits for a claimed event.
    fn wake(&mut self) {
        for seq in ready(&mut self.conflicts) {
            self.stages[usize::try_from(seq).unwrap()] = Stage::Acquiring;
        }
        for event in 0..self.stages.len() {
            if self.stages[event] == Stage::Waiting {
                let blocked_by = self.conflicts.blocked_by(event as Seq);
                let (BlockedBy::Upsert { event: by, .. }
                | BlockedBy::Unmapped { event: by }
                | BlockedBy::Key { event: by, .. }) = blocked_by.expect("it waits for an event");
                let stage = self.stages[usize::try_from(by).unwrap()];
                assert!(
                    !matches!(stage, Stage::InStore | Stage::Done),
                    "{blocked_by:?}: {stage:?}"
                );
            }
        }
    }

    /// Returns whether no two requests in flight share a new key or an upsert.
    fn is_exclusive(&self) -> bool {
        let mut seen = BTreeSet::new();
        let in_flight = |event: &usize| self.stages[*event] == Stage::InFlight;
        (0..self.stages.len())
            .filter(in_flight)
            .flat_map(|event| self.request(event).keys().collect::<Vec<_>>())
            .all(|key| self.known.contains(&key) || seen.insert(key))
    }
}

proptest! {
    #[test]
    fn new_records_are_exclusive_and_all_events_are_delivered(
        plans in plans(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..200),
    ) {
        let mut world = World::new(&plans);

        for (who, chance) in steps {
            world.step(who.index(plans.len()), chance);
            world.wake();
            prop_assert!(world.is_exclusive());
        }
        // Whatever happened: if nothing fails from now on, all events are delivered.
        for _ in 0..100 * plans.len() {
            for event in 0..plans.len() {
                world.step(event, 1);
                world.wake();
                prop_assert!(world.is_exclusive());
            }
        }
        prop_assert!(world.stages.iter().all(|stage| *stage == Stage::Done), "{:?}", world.stages);
        prop_assert!(world.conflicts.holders.is_empty() && world.conflicts.ready.is_empty());
        prop_assert!(world.conflicts.locks.is_empty() && world.conflicts.order.is_empty());
        prop_assert_eq!(world.conflicts.waiting, 0);
    }

    #[test]
    fn upserts_are_sent_in_order_of_receipt(
        plans in plans(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..300),
    ) {
        let mut world = World::new(&plans);
        for event in 0..plans.len() {
            world.step(event, 1);
        }

        for (who, chance) in steps {
            world.step(who.index(plans.len()), chance);
            world.wake();
        }

        let mut last = BTreeMap::new();
        for (name, seq) in &world.upserted {
            let before = last.insert(*name, *seq);
            prop_assert!(before <= Some(*seq), "{:?}", world.upserted);
        }
    }
}
