//! Explores every order of the steps of three events that share a key. A commit or a read of the
//! store is one step, and the moment at which its caller continues another; so are the ends of
//! leases, and the passing of time.

mod schedules;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::*;

/// Latest time.
const TIME_MAX: u8 = 2;

/// An event in the store.
#[derive(Debug, Clone, Hash)]
struct Row {
    state: RowState,
    /// Token of its claim, while the lease lasts.
    lease: Option<u8>,
    token: u8,
    due: u8,
    /// True if its requests are recorded.
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

/// A write of the progress of a claimed event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Write {
    Send,
    Settle,
    /// One request is done, and the next one has to wait while claimed.
    Park,
    Retry,
    Behind(usize),
}

/// The next step of a claimed event.
#[derive(Debug, Clone, Hash)]
enum ModelStep {
    Unmapped,
    /// Tries to lock.
    Begin(Acquisition),
    /// Reads the store.
    Ask(Acquisition, RecordKey),
    /// Continues with the result of the read.
    Answer(Acquisition, Option<EarlierUpsert>),
    AwaitClaims(Acquisition),
    Commit(Write),
    /// Continues after the commit.
    Committed(Write),
    /// Checks, after the claim was lost, whether there is a newer one.
    Lost(Write),
    InFlight,
    Parked,
}

/// A claimed event and its job.
#[derive(Debug, Clone, Hash)]
struct ModelEvent {
    token: u8,
    /// Token of its last write.
    used: u8,
    step: ModelStep,
    /// Number of requests that Savio has.
    sent: usize,
    /// True while the success of the last one is not recorded.
    is_unrecorded: bool,
}

#[derive(Debug, Clone, Hash)]
struct ModelState {
    plans: Rc<[Vec<LockRequest>]>,
    rows: Vec<Row>,
    jobs: BTreeMap<usize, ModelEvent>,
    conflicts: Conflicts,
    /// Claims that the store has committed, and that are not registered yet.
    committed_claims: Option<Vec<(usize, u8)>>,
    now: u8,
    /// Number of requests that may still fail, and of leases that may still end early.
    failures: u8,
    lease_ends: u8,
    sent: BTreeMap<RecordKey, Vec<usize>>,
}

/// One possible step.
#[derive(Debug, Clone, Copy)]
enum Move {
    /// The store commits claims on this many of the due events.
    Claim(usize),
    /// The committed claims are registered.
    Register,
    /// The next step of an event.
    Step(usize),
    Fail(usize),
    EndLease(usize),
    /// Time passes.
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
            jobs: BTreeMap::new(),
            conflicts: Conflicts::new(100, 1_000),
            committed_claims: None,
            now: 0,
            failures,
            lease_ends,
            sent: BTreeMap::new(),
        }
    }

    /// Returns all possible next steps, apart from the passing of time.
    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        let due = self.due().len();
        match &self.committed_claims {
            Some(_) => moves.push(Move::Register),
            None if due > 1 => moves.extend([Move::Claim(1), Move::Claim(due)]),
            None if due == 1 => moves.push(Move::Claim(1)),
            None => {}
        }
        for (event, job) in &self.jobs {
            if self.can_step(*event, job) {
                moves.push(Move::Step(*event));
            }
            if matches!(job.step, ModelStep::InFlight) && self.failures > 0 {
                moves.push(Move::Fail(*event));
            }
            if self.rows[*event].lease == Some(job.token) && self.lease_ends > 0 {
                moves.push(Move::EndLease(*event));
            }
        }
        moves
    }

    /// Returns the due events in the order in which they are claimed.
    fn due(&self) -> Vec<usize> {
        let is_due = |event: &usize| {
            let row = &self.rows[*event];
            row.state == RowState::Queued && row.lease.is_none() && row.due <= self.now
        };
        let mut due: Vec<usize> = (0..self.rows.len()).filter(is_due).collect();
        due.sort_by_key(|event| (self.rows[*event].due, *event));
        due
    }

    fn can_step(&self, event: usize, job: &ModelEvent) -> bool {
        match &job.step {
            ModelStep::AwaitClaims(_) | ModelStep::Lost(_) => self.committed_claims.is_none(),
            ModelStep::Parked => self.conflicts.ready.contains(&(event as Seq)),
            ModelStep::Unmapped
            | ModelStep::Begin(_)
            | ModelStep::Ask(..)
            | ModelStep::Answer(..)
            | ModelStep::Commit(_)
            | ModelStep::Committed(_)
            | ModelStep::InFlight => true,
        }
    }

    fn take(&mut self, step: Move) {
        match step {
            Move::Claim(count) => {
                let due: Vec<usize> = self.due().into_iter().take(count).collect();
                let claims = due.into_iter().map(|event| {
                    let row = &mut self.rows[event];
                    row.token += 1;
                    row.lease = Some(row.token);
                    (event, row.token)
                });
                self.committed_claims = Some(claims.collect());
            }
            Move::Register => self.register_claims(),
            Move::Step(event) => self.step_event(event),
            Move::Fail(event) => {
                self.failures -= 1;
                self.jobs.get_mut(&event).unwrap().step = ModelStep::Commit(Write::Retry);
            }
            Move::EndLease(event) => {
                self.lease_ends -= 1;
                self.rows[event].lease = None;
            }
            Move::Pass => self.now += 1,
        }
    }

    /// Does the same as `ClaimTable::claim` after the commit.
    fn register_claims(&mut self) {
        for (event, token) in self.committed_claims.take().unwrap() {
            if let Some(job) = self.jobs.get_mut(&event) {
                job.token = token;
                continue;
            }
            let sent = self.rows[event].requests_done;
            self.jobs.insert(
                event,
                ModelEvent {
                    token,
                    used: token,
                    step: ModelStep::Unmapped,
                    sent,
                    is_unrecorded: false,
                },
            );
            self.conflicts.register(event as Seq);
        }
    }

    fn step_event(&mut self, event: usize) {
        let seq = event as Seq;
        let job = self.jobs.get(&event).unwrap().clone();
        let next = match job.step {
            ModelStep::Unmapped => {
                self.conflicts.set_upserts(seq, &self.upserts(event));
                self.ask(event)
            }
            ModelStep::Begin(mut acquisition) | ModelStep::AwaitClaims(mut acquisition) => {
                let step = acquisition.begin(&mut self.conflicts);
                self.continue_acquisition(event, acquisition, step)
            }
            ModelStep::Ask(acquisition, upsert) => {
                ModelStep::Answer(acquisition, self.earlier(event, upsert))
            }
            ModelStep::Answer(mut acquisition, earlier) => {
                let step = acquisition.continue_with(&mut self.conflicts, earlier);
                self.continue_acquisition(event, acquisition, step)
            }
            ModelStep::Commit(write) => self.commit(event, &job, write),
            ModelStep::Lost(write) if self.rows[event].lease == Some(job.token) => {
                ModelStep::Commit(write)
            }
            ModelStep::Committed(Write::Send) => {
                self.conflicts.set_upserts(seq, &self.upserts(event));
                self.send(event);
                ModelStep::InFlight
            }
            ModelStep::Committed(Write::Park) => {
                self.conflicts.set_upserts(seq, &self.upserts(event));
                ModelStep::Parked
            }
            ModelStep::Lost(_)
            | ModelStep::Committed(Write::Settle | Write::Retry | Write::Behind(_)) => {
                self.leave(event, &job);
                return;
            }
            ModelStep::InFlight => self.succeed(event),
            // The event is read again, and mapped as before.
            ModelStep::Parked => {
                self.conflicts.ready.remove(&seq);
                ModelStep::Unmapped
            }
        };
        if let Some(job) = self.jobs.get_mut(&event) {
            job.step = next;
        }
    }

    fn succeed(&mut self, event: usize) -> ModelStep {
        self.conflicts.mark_sent(event as Seq);
        let job = self.jobs.get_mut(&event).unwrap();
        (job.sent, job.is_unrecorded) = (job.sent + 1, true);
        if job.sent == self.plans[event].len() {
            ModelStep::Commit(Write::Settle)
        } else {
            self.ask(event)
        }
    }

    /// Does the same as the drop of `ClaimGuard`.
    fn leave(&mut self, event: usize, job: &ModelEvent) {
        if job.token == job.used {
            self.jobs.remove(&event);
            self.conflicts.remove(event as Seq);
        } else {
            let (token, sent) = (job.token, self.rows[event].requests_done);
            let again = ModelEvent {
                token,
                used: token,
                step: ModelStep::Parked,
                sent,
                is_unrecorded: false,
            };
            self.jobs.insert(event, again);
            self.conflicts.restart(event as Seq);
        }
    }

    fn ask(&self, event: usize) -> ModelStep {
        let request = self.plans[event][self.jobs[&event].sent].clone();
        ModelStep::Begin(Acquisition::new(event as Seq, request))
    }

    fn continue_acquisition(
        &mut self,
        event: usize,
        acquisition: Acquisition,
        step: AcquisitionStep,
    ) -> ModelStep {
        match step {
            AcquisitionStep::AskStore(upsert) => ModelStep::Ask(acquisition, upsert),
            AcquisitionStep::AwaitClaims => ModelStep::AwaitClaims(acquisition),
            AcquisitionStep::Done(AcquisitionResult::Granted) => ModelStep::Commit(Write::Send),
            AcquisitionStep::Done(AcquisitionResult::Blocked)
                if self.jobs[&event].is_unrecorded =>
            {
                ModelStep::Commit(Write::Park)
            }
            AcquisitionStep::Done(AcquisitionResult::Blocked) => ModelStep::Parked,
            AcquisitionStep::Done(AcquisitionResult::Behind(earlier, _)) => {
                ModelStep::Commit(Write::Behind(usize::try_from(earlier.seq).unwrap()))
            }
            AcquisitionStep::Done(
                turn @ (AcquisitionResult::QueueFull(_) | AcquisitionResult::Abandoned(..)),
            ) => {
                panic!("event {event}: {turn:?} without a reason: {self:#?}")
            }
        }
    }

    /// Does the same as `Queue::earlier_upsert`.
    fn earlier(&self, event: usize, upsert: RecordKey) -> Option<EarlierUpsert> {
        let earlier = (0..event).find(|event| self.is_pending(*event, upsert))?;
        let (is_claimed, token) = (self.rows[earlier].lease.is_some(), self.rows[earlier].token);
        let (seq, event) = (earlier as Seq, EventId::from_bytes([0; 16]));
        Some(EarlierUpsert { seq, event, token: token.into(), is_claimed })
    }

    /// Returns whether the store has this upsert of the event as pending.
    fn is_pending(&self, event: usize, upsert: RecordKey) -> bool {
        let row = &self.rows[event];
        let left = &self.plans[event][row.requests_done..];
        row.state == RowState::Queued
            && row.is_planned
            && left.iter().any(|request| request.upsert == Some(upsert))
    }

    /// Does the same as `Queue::advance`.
    fn commit(&mut self, event: usize, job: &ModelEvent, write: Write) -> ModelStep {
        self.jobs.get_mut(&event).unwrap().used = job.token;
        if self.rows[event].lease != Some(job.token) {
            return ModelStep::Lost(write);
        }
        let due = match write {
            Write::Behind(earlier) => {
                let upsert = self.plans[event][job.sent].upsert.unwrap();
                let is_waiting =
                    self.is_pending(earlier, upsert) && self.rows[earlier].lease.is_none();
                if is_waiting { self.rows[earlier].due } else { self.now }
            }
            Write::Retry => self.now + 1,
            Write::Send | Write::Settle | Write::Park => self.rows[event].due,
        };
        let row = &mut self.rows[event];
        (row.is_planned, row.requests_done, row.due) = (true, job.sent, due);
        row.behind = None;
        match write {
            Write::Send | Write::Park => {}
            Write::Settle => (row.state, row.lease) = (RowState::Delivered, None),
            Write::Retry => row.lease = None,
            Write::Behind(earlier) => (row.lease, row.behind) = (None, Some(earlier)),
        }
        self.jobs.get_mut(&event).unwrap().is_unrecorded = false;
        ModelStep::Committed(write)
    }

    /// Sends a request, and checks that no other in flight shares a new key with it.
    fn send(&mut self, event: usize) {
        let request = self.plans[event][self.jobs[&event].sent].clone();
        for (other, job) in self.jobs.iter().filter(|(other, _)| **other != event) {
            if matches!(job.step, ModelStep::InFlight) {
                let beside = &self.plans[*other][job.sent];
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
        let left = &self.plans[event][self.jobs[&event].sent..];
        left.iter().filter_map(|request| request.upsert).collect()
    }

    /// Checks, in every state, that each parked event is ready or waits for a claimed event.
    fn check(&self) {
        for (event, job) in &self.jobs {
            if !matches!(job.step, ModelStep::Parked)
                || self.conflicts.ready.contains(&(*event as Seq))
            {
                continue;
            }
            let blocked_by = self.conflicts.blocked_by(*event as Seq);
            let (BlockedBy::Upsert { event: by, .. }
            | BlockedBy::Unmapped { event: by }
            | BlockedBy::Key { event: by, .. }) =
                blocked_by.unwrap_or_else(|| panic!("event {event} waits for nothing: {self:#?}"));
            let by = usize::try_from(by).unwrap();
            assert!(self.jobs.contains_key(&by), "event {event} waits for {by}: {self:#?}");
        }
    }

    /// Checks a state in which nothing can happen before time passes: no event is claimed, and each
    /// waits for its own retry or for an event that waits for its own and is due no later.
    fn check_rest(&self) {
        assert!(self.jobs.is_empty(), "deadlock: {self:#?}");
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

/// Hash by which explored states are remembered.
fn fingerprint(state: &ModelState) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Explores all states that can be reached from this one, and returns their number.
fn explore(start: ModelState, check_end: impl Fn(&ModelState)) -> usize {
    let mut seen = HashSet::from([fingerprint(&start)]);
    let mut open = vec![start];
    while let Some(state) = open.pop() {
        state.check();
        let mut moves = state.moves();
        if moves.iter().all(|one| matches!(one, Move::EndLease(_)))
            && state.committed_claims.is_none()
        {
            state.check_rest();
            if state.rows.iter().all(|row| row.state == RowState::Delivered) {
                check_end(&state);
            }
        }
        if state.now < TIME_MAX {
            moves.push(Move::Pass);
        }
        for step in moves {
            let mut next = state.clone();
            next.take(step);
            if seen.insert(fingerprint(&next)) {
                open.push(next);
            }
        }
    }
    seen.len()
}
