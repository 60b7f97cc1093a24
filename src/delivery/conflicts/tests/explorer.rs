//! Every order of the steps of three events that share a key: what the store commits and reads are steps of their own,
//! apart from the moment at which who asked for them goes on, and so are the ends of leases, and time.

mod schedules;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::*;

/// Time goes on up to here.
const TIME_MAX: u8 = 2;

/// What an event is in the store.
#[derive(Debug, Clone, Hash)]
struct Row {
    state: RowState,
    /// The token of the claim under which it is, while the lease lasts.
    lease: Option<u8>,
    token: u8,
    due: u8,
    /// Whether the requests are there.
    is_planned: bool,
    requests_done: usize,
    /// The event that it waits behind.
    behind: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RowState {
    Queued,
    Delivered,
}

/// What is written down of an event in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Write {
    Send,
    /// Of the request in flight; the next one is to be sent, or waits.
    Settle,
    /// It failed, or the request before is done and the next one has to wait in hand.
    Park,
    Retry,
    Behind(usize),
}

/// How far an event in hand is.
#[derive(Debug, Clone, Hash)]
enum ModelStep {
    Unmapped,
    /// Before it asks for its locks.
    Begin(Acquisition),
    /// The store is to be read.
    Ask(Acquisition, RecordKey),
    /// It was read, and the answer is on its way.
    Answer(Acquisition, Option<EarlierUpsert>),
    AwaitClaims(Acquisition),
    Commit(Write),
    /// It is on disk, and who wrote it is to be told.
    Committed(Write),
    /// The claim was lost; perhaps another one is coming in.
    Lost(Write),
    Flying,
    Parked,
}

#[derive(Debug, Clone, Hash)]
struct ModelEvent {
    token: u8,
    /// Under which it last wrote, or tried to.
    used: u8,
    step: ModelStep,
    /// Requests that Savio has.
    sent: usize,
    /// Whether the last one's success is not on disk yet.
    has_news: bool,
}

#[derive(Debug, Clone, Hash)]
struct ModelState {
    plans: Rc<[Vec<LockRequest>]>,
    rows: Vec<Row>,
    hands: BTreeMap<usize, ModelEvent>,
    conflicts: Conflicts,
    /// Claims that the store has given out, and that are not in hand yet.
    given_out: Option<Vec<(usize, u8)>>,
    now: u8,
    /// How many more requests fail, and how many more leases end early.
    failures: u8,
    lease_ends: u8,
    sent: BTreeMap<RecordKey, Vec<usize>>,
}

/// A step that one of those who act may take.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// So many of those that are due.
    Claim(usize),
    HandOver,
    /// The next step of an event.
    Go(usize),
    Fail(usize),
    EndLease(usize),
    Pass,
}

impl ModelState {
    fn new(
        plans: &[Vec<LockRequest>],
        rows: &[Row],
        (failures, lease_ends): (u8, u8),
    ) -> ModelState {
        ModelState {
            plans: plans.into(),
            rows: rows.to_vec(),
            hands: BTreeMap::new(),
            conflicts: Conflicts::new(100, 1_000),
            given_out: None,
            now: 0,
            failures,
            lease_ends,
            sent: BTreeMap::new(),
        }
    }

    /// What may happen next, apart from time.
    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        let due = self.due().len();
        match &self.given_out {
            Some(_) => moves.push(Move::HandOver),
            None if due > 1 => moves.extend([Move::Claim(1), Move::Claim(due)]),
            None if due == 1 => moves.push(Move::Claim(1)),
            None => {}
        }
        for (event, hand) in &self.hands {
            if self.can_go(*event, hand) {
                moves.push(Move::Go(*event));
            }
            if matches!(hand.step, ModelStep::Flying) && self.failures > 0 {
                moves.push(Move::Fail(*event));
            }
            if self.rows[*event].lease == Some(hand.token) && self.lease_ends > 0 {
                moves.push(Move::EndLease(*event));
            }
        }
        moves
    }

    /// In the order in which they are claimed.
    fn due(&self) -> Vec<usize> {
        let is_due = |event: &usize| {
            let row = &self.rows[*event];
            row.state == RowState::Queued && row.lease.is_none() && row.due <= self.now
        };
        let mut due: Vec<usize> = (0..self.rows.len()).filter(is_due).collect();
        due.sort_by_key(|event| (self.rows[*event].due, *event));
        due
    }

    fn can_go(&self, event: usize, hand: &ModelEvent) -> bool {
        match &hand.step {
            ModelStep::AwaitClaims(_) | ModelStep::Lost(_) => self.given_out.is_none(),
            ModelStep::Parked => self.conflicts.ready.contains(&(event as Seq)),
            ModelStep::Unmapped
            | ModelStep::Begin(_)
            | ModelStep::Ask(..)
            | ModelStep::Answer(..)
            | ModelStep::Commit(_)
            | ModelStep::Committed(_)
            | ModelStep::Flying => true,
        }
    }

    fn take(&mut self, one: Move) {
        match one {
            Move::Claim(count) => {
                let due: Vec<usize> = self.due().into_iter().take(count).collect();
                let claims = due.into_iter().map(|event| {
                    let row = &mut self.rows[event];
                    row.token += 1;
                    row.lease = Some(row.token);
                    (event, row.token)
                });
                self.given_out = Some(claims.collect());
            }
            Move::HandOver => self.hand_over(),
            Move::Go(event) => self.go(event),
            Move::Fail(event) => {
                self.failures -= 1;
                self.hands.get_mut(&event).unwrap().step = ModelStep::Commit(Write::Retry);
            }
            Move::EndLease(event) => {
                self.lease_ends -= 1;
                self.rows[event].lease = None;
            }
            Move::Pass => self.now += 1,
        }
    }

    /// As `Claims::claim`.
    fn hand_over(&mut self) {
        for (event, token) in self.given_out.take().unwrap() {
            if let Some(hand) = self.hands.get_mut(&event) {
                hand.token = token;
                continue;
            }
            let sent = self.rows[event].requests_done;
            self.hands.insert(
                event,
                ModelEvent { token, used: token, step: ModelStep::Unmapped, sent, has_news: false },
            );
            self.conflicts.register(event as Seq);
        }
    }

    fn go(&mut self, event: usize) {
        let seq = event as Seq;
        let hand = self.hands.get(&event).unwrap().clone();
        let next = match hand.step {
            ModelStep::Unmapped => {
                self.conflicts.set_upserts(seq, &self.upserts(event));
                self.ask(event)
            }
            ModelStep::Begin(mut acquisition) | ModelStep::AwaitClaims(mut acquisition) => {
                let step = acquisition.begin(&mut self.conflicts);
                self.follow(event, acquisition, step)
            }
            ModelStep::Ask(acquisition, upsert) => {
                ModelStep::Answer(acquisition, self.earlier(event, upsert))
            }
            ModelStep::Answer(mut acquisition, earlier) => {
                let step = acquisition.go_on(&mut self.conflicts, earlier);
                self.follow(event, acquisition, step)
            }
            ModelStep::Commit(write) => self.commit(event, &hand, write),
            ModelStep::Lost(write) if self.rows[event].lease == Some(hand.token) => {
                ModelStep::Commit(write)
            }
            ModelStep::Committed(Write::Send) => {
                self.conflicts.set_upserts(seq, &self.upserts(event));
                self.fly(event);
                ModelStep::Flying
            }
            ModelStep::Committed(Write::Park) => {
                self.conflicts.set_upserts(seq, &self.upserts(event));
                ModelStep::Parked
            }
            ModelStep::Lost(_)
            | ModelStep::Committed(Write::Settle | Write::Retry | Write::Behind(_)) => {
                self.leave(event, &hand);
                return;
            }
            ModelStep::Flying => self.succeed(event),
            // The event is read again, and mapped as before.
            ModelStep::Parked => {
                self.conflicts.ready.remove(&seq);
                ModelStep::Unmapped
            }
        };
        if let Some(hand) = self.hands.get_mut(&event) {
            hand.step = next;
        }
    }

    fn succeed(&mut self, event: usize) -> ModelStep {
        self.conflicts.mark_sent(event as Seq);
        let hand = self.hands.get_mut(&event).unwrap();
        (hand.sent, hand.has_news) = (hand.sent + 1, true);
        if hand.sent == self.plans[event].len() {
            ModelStep::Commit(Write::Settle)
        } else {
            self.ask(event)
        }
    }

    /// As the end of `Held`.
    fn leave(&mut self, event: usize, hand: &ModelEvent) {
        if hand.token == hand.used {
            self.hands.remove(&event);
            self.conflicts.remove(event as Seq);
        } else {
            let (token, sent) = (hand.token, self.rows[event].requests_done);
            let again =
                ModelEvent { token, used: token, step: ModelStep::Parked, sent, has_news: false };
            self.hands.insert(event, again);
            self.conflicts.restart(event as Seq);
        }
    }

    fn ask(&self, event: usize) -> ModelStep {
        let request = self.plans[event][self.hands[&event].sent].clone();
        ModelStep::Begin(Acquisition::new(event as Seq, request))
    }

    fn follow(
        &mut self,
        event: usize,
        acquisition: Acquisition,
        step: AcquisitionStep,
    ) -> ModelStep {
        match step {
            AcquisitionStep::AskStore(upsert) => ModelStep::Ask(acquisition, upsert),
            AcquisitionStep::AwaitClaims => ModelStep::AwaitClaims(acquisition),
            AcquisitionStep::Done(Turn::Granted) => ModelStep::Commit(Write::Send),
            AcquisitionStep::Done(Turn::Blocked) if self.hands[&event].has_news => {
                ModelStep::Commit(Write::Park)
            }
            AcquisitionStep::Done(Turn::Blocked) => ModelStep::Parked,
            AcquisitionStep::Done(Turn::Behind(earlier, _)) => {
                ModelStep::Commit(Write::Behind(usize::try_from(earlier.seq).unwrap()))
            }
            AcquisitionStep::Done(turn @ (Turn::QueueFull(_) | Turn::BrokenOff(..))) => {
                panic!("event {event}: {turn:?} without a reason: {self:#?}")
            }
        }
    }

    /// As `Queue::earlier_upsert`.
    fn earlier(&self, event: usize, upsert: RecordKey) -> Option<EarlierUpsert> {
        let earlier = (0..event).find(|event| self.is_pending(*event, upsert))?;
        let (is_claimed, token) = (self.rows[earlier].lease.is_some(), self.rows[earlier].token);
        let (seq, event) = (earlier as Seq, EventId::from_bytes([0; 16]));
        Some(EarlierUpsert { seq, event, token: token.into(), is_claimed })
    }

    /// By the store.
    fn is_pending(&self, event: usize, upsert: RecordKey) -> bool {
        let row = &self.rows[event];
        let left = &self.plans[event][row.requests_done..];
        row.state == RowState::Queued
            && row.is_planned
            && left.iter().any(|request| request.upsert == Some(upsert))
    }

    /// As `Queue::advance`.
    fn commit(&mut self, event: usize, hand: &ModelEvent, write: Write) -> ModelStep {
        self.hands.get_mut(&event).unwrap().used = hand.token;
        if self.rows[event].lease != Some(hand.token) {
            return ModelStep::Lost(write);
        }
        let due = match write {
            Write::Behind(earlier) => {
                let upsert = self.plans[event][hand.sent].upsert.unwrap();
                let is_waiting =
                    self.is_pending(earlier, upsert) && self.rows[earlier].lease.is_none();
                if is_waiting { self.rows[earlier].due } else { self.now }
            }
            Write::Retry => self.now + 1,
            Write::Send | Write::Settle | Write::Park => self.rows[event].due,
        };
        let row = &mut self.rows[event];
        (row.is_planned, row.requests_done, row.due) = (true, hand.sent, due);
        row.behind = None;
        match write {
            Write::Send | Write::Park => {}
            Write::Settle => (row.state, row.lease) = (RowState::Delivered, None),
            Write::Retry => row.lease = None,
            Write::Behind(earlier) => (row.lease, row.behind) = (None, Some(earlier)),
        }
        self.hands.get_mut(&event).unwrap().has_news = false;
        ModelStep::Committed(write)
    }

    /// A request leaves: it must not be beside another that shares its keys, nor before an older upsert.
    fn fly(&mut self, event: usize) {
        let request = self.plans[event][self.hands[&event].sent].clone();
        for (other, hand) in self.hands.iter().filter(|(other, _)| **other != event) {
            if matches!(hand.step, ModelStep::Flying) {
                let beside = &self.plans[*other][hand.sent];
                let is_new = |key: &RecordKey| !self.conflicts.locks.knows(*key);
                let shared =
                    beside.keys().filter(is_new).find(|key| request.keys().any(|own| own == *key));
                assert_eq!(shared, None, "{other} and {event} at once: {self:#?}");
            }
        }
        if let Some(upsert) = request.upsert {
            self.sent.entry(upsert).or_default().push(event);
        }
    }

    fn upserts(&self, event: usize) -> Vec<RecordKey> {
        let left = &self.plans[event][self.hands[&event].sent..];
        left.iter().filter_map(|request| request.upsert).collect()
    }

    /// In every state: who waits in hand waits for one in hand, or may go on.
    fn check(&self) {
        for (event, hand) in &self.hands {
            if !matches!(hand.step, ModelStep::Parked)
                || self.conflicts.ready.contains(&(*event as Seq))
            {
                continue;
            }
            let blocked_by = self.conflicts.blocked_by(*event as Seq);
            let (BlockedBy::Upsert { event: by, .. }
            | BlockedBy::Unmapped { event: by }
            | BlockedBy::Key { event: by, .. }) =
                blocked_by.unwrap_or_else(|| panic!("event {event} waits for nobody: {self:#?}"));
            let by = usize::try_from(by).unwrap();
            assert!(self.hands.contains_key(&by), "event {event} waits for {by}: {self:#?}");
        }
    }

    /// Nothing happens before time has passed: then nobody is in hand, and who waits waits for its own retry, or
    /// behind an event that waits for its own and is due no later.
    fn check_rest(&self) {
        assert!(self.hands.is_empty(), "deadlock: {self:#?}");
        for (event, row) in self.rows.iter().enumerate() {
            if row.state == RowState::Delivered {
                continue;
            }
            assert!(row.due > self.now, "event {event} is due: {self:#?}");
            let Some(earlier) = row.behind else { continue };
            let upsert = self.plans[event][row.requests_done].upsert.unwrap();
            let waits = self.is_pending(earlier, upsert) && self.rows[earlier].due >= row.due;
            assert!(waits, "event {event} waits in vain for {earlier}: {self:#?}");
        }
    }
}

/// Tells states apart.
fn fingerprint(state: &ModelState) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Takes all steps from a state, then all from each state that they lead to. Returns how many states there are.
fn explore(start: ModelState, check_end: impl Fn(&ModelState)) -> usize {
    let mut seen = HashSet::from([fingerprint(&start)]);
    let mut open = vec![start];
    while let Some(state) = open.pop() {
        state.check();
        let mut moves = state.moves();
        if moves.iter().all(|one| matches!(one, Move::EndLease(_))) && state.given_out.is_none() {
            state.check_rest();
            if state.rows.iter().all(|row| row.state == RowState::Delivered) {
                check_end(&state);
            }
        }
        if state.now < TIME_MAX {
            moves.push(Move::Pass);
        }
        for one in moves {
            let mut next = state.clone();
            next.take(one);
            if seen.insert(fingerprint(&next)) {
                open.push(next);
            }
        }
    }
    seen.len()
}
