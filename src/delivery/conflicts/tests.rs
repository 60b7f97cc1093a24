//! Whose turn it is: in small stories, for any events in any order, and in every order of the steps of three.

mod explorer;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::delivery::acquisition::{Acquisition, AcquisitionStep, Turn};
use crate::event::{EventId, NameKind};
use crate::store::EarlierUpsert;

fn tag(name: &str) -> RecordKey {
    RecordKey::new(NameKind::Tag, name).unwrap()
}

fn company(id: &str) -> RecordKey {
    RecordKey::new(NameKind::CompanyUpsert, id).unwrap()
}

fn tags(names: &[&str]) -> LockRequest {
    LockRequest { names: names.iter().map(|name| tag(name)).collect(), upsert: None }
}

fn upsert(id: &str) -> LockRequest {
    LockRequest { names: Vec::new(), upsert: Some(company(id)) }
}

/// Events in hand, mapped, in this order, each about to send this request.
fn in_hand(events: &[(Seq, &LockRequest)]) -> Conflicts {
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

/// What the event made is recorded, and it has nothing more to upsert.
fn record(conflicts: &mut Conflicts, seq: Seq) {
    conflicts.mark_sent(seq);
    conflicts.set_upserts(seq, &[]);
}

#[test]
fn request_that_waits_for_an_upsert_keeps_no_key_from_others() {
    let (six, red) = (upsert("6"), tags(&["red"]));
    let six_and_red = LockRequest { names: vec![tag("red")], ..six.clone() };
    let mut conflicts = in_hand(&[(1, &six), (2, &six_and_red), (3, &red)]);

    assert_eq!(conflicts.try_lock(1, six), LockResult::Granted);
    assert_eq!(conflicts.try_lock(2, six_and_red), blocked_by_upsert(1, "6"));

    assert_eq!(conflicts.try_lock(3, red), LockResult::Granted);
}

#[test]
fn request_may_go_once_its_turn_and_its_keys_have_come() {
    let (six, red) = (upsert("6"), tags(&["red"]));
    let six_and_red = LockRequest { names: vec![tag("red")], ..six.clone() };
    let mut conflicts = in_hand(&[(1, &six), (2, &six_and_red), (3, &red)]);
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
fn upsert_is_waited_for_until_it_is_recorded() {
    let six = upsert("6");
    let mut conflicts = in_hand(&[(1, &six), (2, &six)]);
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
fn lock_stays_with_its_request_whoever_arrives() {
    let six = upsert("6");
    let mut conflicts = in_hand(&[(2, &six)]);
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
fn event_that_is_ready_keeps_its_place_from_younger_ones_only() {
    let red = tags(&["red"]);
    let mut conflicts = in_hand(&[(1, &red), (2, &red), (3, &red)]);
    conflicts.try_lock(2, red.clone());
    conflicts.try_lock(3, red.clone());
    conflicts.remove(2);
    assert_eq!(ready(&mut conflicts), [3]);

    assert_eq!(conflicts.try_lock(4, red.clone()), blocked_by_tag(3, "red"));
    assert_eq!(conflicts.try_lock(1, red.clone()), LockResult::Granted);
    assert_eq!(conflicts.try_lock(3, red), blocked_by_tag(1, "red"));
}

#[test]
fn events_beyond_the_bound_are_turned_away() {
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

/// Requests of an event: the tags and the internal_id of each, from few.
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
    Away,
    Unmapped,
    Asking,
    Flying,
    Waiting,
    Done,
}

/// Delivery, in one thread: chance says who makes the next step, and how it ends.
struct World {
    conflicts: Conflicts,
    requests: Vec<Vec<LockRequest>>,
    stages: Vec<Stage>,
    next: Vec<usize>,
    /// Whether the store has what the mapping made of the event.
    is_planned: Vec<bool>,
    known: BTreeSet<RecordKey>,
    made: Vec<(RecordKey, Seq)>,
}

impl World {
    fn new(plans: &[Plan]) -> World {
        let requests: Vec<Vec<LockRequest>> =
            plans.iter().map(|plan| plan.iter().map(request).collect()).collect();
        let count = requests.len();
        World {
            conflicts: Conflicts::new(6, 1_000),
            requests,
            stages: vec![Stage::Away; count],
            next: vec![0; count],
            is_planned: vec![false; count],
            known: BTreeSet::new(),
            made: Vec::new(),
        }
    }

    fn request(&self, event: usize) -> LockRequest {
        self.requests[event][self.next[event]].clone()
    }

    fn upserts(&self, event: usize) -> Vec<RecordKey> {
        let left = &self.requests[event][self.next[event]..];
        left.iter().filter_map(|request| request.upsert).collect()
    }

    /// The event in the store that has this upsert before this one.
    fn earlier(&self, event: usize, upsert: RecordKey) -> Option<EarlierUpsert> {
        let is_earlier = |at: &usize| {
            self.stages[*at] == Stage::Away
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
            Stage::Away => {
                self.conflicts.register(seq);
                self.stages[event] = Stage::Unmapped;
            }
            Stage::Unmapped => {
                self.conflicts.set_upserts(seq, &self.upserts(event));
                self.stages[event] = Stage::Asking;
            }
            Stage::Asking => self.ask(event),
            Stage::Flying if chance.is_multiple_of(4) => self.leave(event),
            Stage::Flying => self.succeed(event),
            Stage::Waiting | Stage::Done => {}
        }
    }

    fn ask(&mut self, event: usize) {
        let mut acquisition = Acquisition::new(event as Seq, self.request(event));
        let mut step = acquisition.begin(&mut self.conflicts);
        if let AcquisitionStep::AskStore(upsert) = step {
            let earlier = self.earlier(event, upsert);
            step = acquisition.go_on(&mut self.conflicts, earlier);
        }
        match step {
            AcquisitionStep::Done(Turn::Granted) => {
                self.is_planned[event] = true;
                self.stages[event] = Stage::Flying;
            }
            AcquisitionStep::Done(Turn::Blocked) => self.stages[event] = Stage::Waiting,
            AcquisitionStep::Done(Turn::Behind(..)) => {
                self.is_planned[event] = true;
                self.leave(event);
            }
            unexpected => panic!("{unexpected:?}"),
        }
    }

    fn leave(&mut self, event: usize) {
        self.stages[event] = Stage::Away;
        self.conflicts.remove(event as Seq);
    }

    fn succeed(&mut self, event: usize) {
        let request = self.request(event);
        self.known.extend(&request.names);
        self.made.extend(request.upsert.map(|name| (name, event as Seq)));
        self.next[event] += 1;
        self.conflicts.mark_sent(event as Seq);
        self.conflicts.set_upserts(event as Seq, &self.upserts(event));
        self.stages[event] = Stage::Asking;
        if self.next[event] == self.requests[event].len() {
            self.leave(event);
            self.stages[event] = Stage::Done;
        }
    }

    /// Who is ready asks again. Who is not waits for somebody in hand.
    fn wake(&mut self) {
        for seq in ready(&mut self.conflicts) {
            self.stages[usize::try_from(seq).unwrap()] = Stage::Asking;
        }
        for event in 0..self.stages.len() {
            if self.stages[event] == Stage::Waiting {
                let blocked_by = self.conflicts.blocked_by(event as Seq);
                let (BlockedBy::Upsert { event: by, .. }
                | BlockedBy::Unmapped { event: by }
                | BlockedBy::Key { event: by, .. }) = blocked_by.expect("it waits for somebody");
                let stage = self.stages[usize::try_from(by).unwrap()];
                assert!(!matches!(stage, Stage::Away | Stage::Done), "{blocked_by:?}: {stage:?}");
            }
        }
    }

    /// Nothing new is named twice at once, and no upsert made twice at once.
    fn is_exclusive(&self) -> bool {
        let mut seen = BTreeSet::new();
        let flying = (0..self.stages.len()).filter(|event| self.stages[*event] == Stage::Flying);
        flying
            .flat_map(|event| self.request(event).keys().collect::<Vec<_>>())
            .all(|key| self.known.contains(&key) || seen.insert(key))
    }
}

proptest! {
    #[test]
    fn nothing_is_named_twice_at_once_and_everything_comes_to_its_end(
        plans in plans(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..200),
    ) {
        let mut world = World::new(&plans);

        for (who, chance) in steps {
            world.step(who.index(plans.len()), chance);
            world.wake();
            prop_assert!(world.is_exclusive());
        }
        // Whatever happened: if nothing fails from now on, all come through.
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
    fn upserts_of_events_that_come_in_order_are_made_in_order(
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
        for (name, seq) in &world.made {
            let before = last.insert(*name, *seq);
            prop_assert!(before <= Some(*seq), "{:?}", world.made);
        }
    }
}
