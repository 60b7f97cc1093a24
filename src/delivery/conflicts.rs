//! Decides which events may be sent concurrently: no record is created twice, and upserts keep
//! their order. Pure. `UpsertOrder` and `KeyLocks` hold the two rules; `Conflicts` explains why no
//! event waits for ever.

pub(crate) mod key_locks;
mod known_keys;
mod seq;
mod upsert_order;

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{RecordKey, Request};
use key_locks::{Contention, KeyLocks};
pub(super) use seq::Seq;
use upsert_order::{EarlierEvent, UpsertOrder};

/// Number of remembered keys of records that exist in Savio.
// A forgotten key costs little: its next requests go one at a time until one of them is done.
const KNOWN_MAX: usize = 200_000;

/// Number of waiting events, each counted with its keys.
// Bounds memory. Events beyond it wait in the store.
const WAITING_MAX: usize = 100_000;

/// Record keys that a request locks while it is in flight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct LockRequest {
    names: Vec<RecordKey>,
    upsert: Option<RecordKey>,
}

impl LockRequest {
    pub(super) fn of(request: &Request) -> LockRequest {
        LockRequest { names: request.record_keys(), upsert: request.upsert() }
    }

    pub(super) fn upsert(&self) -> Option<RecordKey> {
        self.upsert
    }

    fn keys(&self) -> impl Iterator<Item = RecordKey> {
        self.names.iter().copied().chain(self.upsert)
    }

    fn weight(&self) -> usize {
        1 + self.names.len()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockResult {
    Granted,
    /// The event is queued; `next_ready` returns it when it may try again.
    Blocked(BlockedBy),
    /// The queue is full and the event has to wait in the store. Counts the events for which it was
    /// full.
    QueueFull(u32),
}

/// The event that goes first, and the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockedBy {
    /// It is older and makes the same upsert.
    Upsert { event: Seq, key: RecordKey },
    /// It is older and not mapped yet, so it may turn out to make the same upsert.
    Unmapped { event: Seq },
    /// It names the same record, which is not known to exist in Savio.
    Key { event: Seq, key: RecordKey },
}

/// The claimed events, and what their requests wait for.
///
/// A request first waits for its turn in the `UpsertOrder`, while it is in no queue, and then for
/// its keys in `KeyLocks`. Its locks are released after one attempt. An event that waits for an
/// upsert therefore keeps no key from others, and an event that waits for keys waits only for
/// requests in flight and for older events in the same queues: the oldest event of all waits for
/// none.
///
/// No event waits for ever, because each is waited for where it is:
///
/// 1. Each change of what an event waits for goes through a method here, which checks again the
///    events that it may unblock. A waiting event is `Waiting` while `blocked_by` has an answer,
///    and `Ready` otherwise.
/// 2. An event waits here for a claimed event. That wait ends with its `set_upserts`, `mark_sent`
///    or `remove`, one of which follows whatever happens to it.
/// 3. An event is removed from here, or its upsert from its upserts, only after the store has it
///    (`progress::record`), and a claim is registered here before any event could miss it
///    (`ClaimTable::wait_for_claims`). So an older event with the same upsert is found here or,
///    after that, in the store (`Queue::earlier_upsert`), at each moment.
/// 4. An event that finds it in the store goes back to the store, due when the older one is due
///    (`NextStep::WaitBehind`); both are read and written in one transaction. Due events are
///    claimed. Nothing is kept here of events without a claim.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Conflicts {
    order: UpsertOrder,
    locks: KeyLocks,
    holders: BTreeMap<Seq, Holder>,
    ready: BTreeSet<Seq>,
    /// Weight of all events that are `Waiting` or `Ready`.
    waiting: usize,
    waiting_max: usize,
    /// Events for which the queue was full since it was last half empty.
    rejected: u32,
}

#[derive(Debug, Clone, Default)]
#[cfg_attr(test, derive(Hash))]
struct Holder {
    stage: HolderStage,
    request: LockRequest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(test, derive(Hash))]
enum HolderStage {
    #[default]
    Idle,
    Locked,
    Waiting,
    /// The event may lock its keys, and stays in their queues until it tries.
    Ready,
}

impl Default for Conflicts {
    fn default() -> Conflicts {
        Conflicts::new(KNOWN_MAX, WAITING_MAX)
    }
}

impl Conflicts {
    fn new(known_max: usize, waiting_max: usize) -> Conflicts {
        Conflicts {
            order: UpsertOrder::default(),
            locks: KeyLocks::new(known_max),
            holders: BTreeMap::new(),
            ready: BTreeSet::new(),
            waiting: 0,
            waiting_max,
            rejected: 0,
        }
    }

    /// Registers a claimed event, whose keys are not known yet.
    pub(super) fn register(&mut self, seq: Seq) {
        self.holders.entry(seq).or_default();
        // Events are mapped side by side, so a younger one may be mapped first. If its upsert went
        // out before an older event turned out to have the same one, Savio would keep the values of
        // the older one.
        self.order.register(seq);
    }

    /// Sets the upserts that the event has still to make: once it is mapped, and after each
    /// recorded step.
    pub(super) fn set_upserts(&mut self, seq: Seq, upserts: &[RecordKey]) {
        let candidates = self.order.set_upserts(seq, upserts);
        self.recheck(candidates);
    }

    /// Locks all keys of the request, or none; in that case the event waits here until it is ready.
    pub(super) fn try_lock(&mut self, seq: Seq, request: LockRequest) -> LockResult {
        // The same request once more, after a probe. Released and locked again, its keys could go
        // to another event.
        if self.holders.get(&seq).is_some_and(|holder| holder.has_locked(&request)) {
            return LockResult::Granted;
        }
        let mut candidates = self.reset(seq);
        let result = match self.lock_or_wait(seq, &request) {
            None => LockResult::Granted,
            Some(_) if self.waiting >= self.waiting_max => {
                candidates.extend(self.locks.release(seq));
                self.rejected = self.rejected.saturating_add(1);
                LockResult::QueueFull(self.rejected)
            }
            Some(blocked_by) => LockResult::Blocked(blocked_by),
        };
        let stage = match result {
            LockResult::Granted => HolderStage::Locked,
            LockResult::Blocked(_) => {
                self.waiting += request.weight();
                HolderStage::Waiting
            }
            LockResult::QueueFull(_) => HolderStage::Idle,
        };
        self.holders.insert(seq, Holder { stage, request });
        self.recheck(candidates);
        result
    }

    /// Releases the event's locks. The event stays registered.
    pub(super) fn unlock(&mut self, seq: Seq) {
        let candidates = self.reset(seq);
        self.recheck(candidates);
    }

    /// Releases the locks of a request that Savio accepted, whose names exist from now on.
    // Its upsert stays registered until the step is recorded (`set_upserts`): if the process ends
    // before that, the request is sent again, and must not follow a younger upsert.
    pub(super) fn mark_sent(&mut self, seq: Seq) {
        let Some(holder) = self.holders.get(&seq) else { return };
        if holder.stage != HolderStage::Locked {
            return;
        }
        let mut candidates = self.locks.learn(&holder.request.names);
        candidates.extend(self.reset(seq));
        self.recheck(candidates);
    }

    /// Removes an event that is settled or waits in the store, after that was recorded.
    pub(super) fn remove(&mut self, seq: Seq) {
        let mut candidates = self.reset(seq);
        candidates.extend(self.order.remove(seq));
        self.holders.remove(&seq);
        self.recheck(candidates);
    }

    /// Replaces an event that was claimed again before it was removed. It is ready at once.
    pub(super) fn restart(&mut self, seq: Seq) {
        self.remove(seq);
        self.register(seq);
        let holder = self.holders.entry(seq).or_default();
        holder.stage = HolderStage::Ready;
        self.waiting += holder.request.weight();
        self.ready.insert(seq);
    }

    /// Takes the oldest ready event. It stays in its queues until it tries again or is removed.
    pub(super) fn next_ready(&mut self, can_go: impl Fn(&Seq) -> bool) -> Option<Seq> {
        let seq = self.ready.iter().copied().find(can_go)?;
        self.ready.remove(&seq);
        Some(seq)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn is_in_hand(&self, seq: Seq) -> bool {
        self.holders.contains_key(&seq)
    }

    /// Returns what a waiting event waits for; none if it does not wait.
    pub(super) fn blocked_by(&self, seq: Seq) -> Option<BlockedBy> {
        let holder = self.holders.get(&seq)?;
        if holder.stage != HolderStage::Waiting {
            return None;
        }
        let contention = || self.locks.contention(seq).map(BlockedBy::from);
        self.blocked_by_order(seq, &holder.request).or_else(contention)
    }

    fn blocked_by_order(&self, seq: Seq, request: &LockRequest) -> Option<BlockedBy> {
        let key = request.upsert?;
        Some(match self.order.earlier(seq, key)? {
            EarlierEvent::Upserts(event) => BlockedBy::Upsert { event, key },
            EarlierEvent::Unmapped(event) => BlockedBy::Unmapped { event },
        })
    }

    /// Locks the keys of the request and returns none, or returns what blocks it. The event must
    /// hold and await no keys.
    fn lock_or_wait(&mut self, seq: Seq, request: &LockRequest) -> Option<BlockedBy> {
        // Before the keys, so that the event is in no queue while it waits for an upsert, and
        // blocks no other. An event that is not mapped yet counts as one that has the upsert
        // (`register`).
        if let Some(blocked_by) = self.blocked_by_order(seq, request) {
            self.await_mapping(seq, blocked_by);
            return Some(blocked_by);
        }
        self.locks.try_lock(seq, request.keys()).err().map(BlockedBy::from)
    }

    fn await_mapping(&mut self, seq: Seq, blocked_by: BlockedBy) {
        if let BlockedBy::Unmapped { .. } = blocked_by {
            self.order.wait_for_mapping(seq);
        }
    }

    /// Makes the event idle, without locks. Returns the events that this may unblock.
    fn reset(&mut self, seq: Seq) -> Vec<Seq> {
        self.ready.remove(&seq);
        if let Some(holder) = self.holders.get_mut(&seq) {
            if matches!(holder.stage, HolderStage::Waiting | HolderStage::Ready) {
                self.waiting -= holder.request.weight();
            }
            holder.stage = HolderStage::Idle;
        }
        // At half, not when the queue is no longer full: it is full and not full in turns while
        // events come back, and the waits of those that are rejected should keep growing until they
        // are spread out.
        if self.waiting < self.waiting_max / 2 {
            self.rejected = 0;
        }
        self.locks.release(seq)
    }

    /// Checks again whether these events are still blocked, and then those that are unblocked in
    /// turn.
    fn recheck(&mut self, mut candidates: Vec<Seq>) {
        while let Some(seq) = candidates.pop() {
            let Some(holder) = self.holders.get(&seq) else { continue };
            if holder.stage != HolderStage::Waiting {
                continue;
            }
            // An older event may have been claimed after this one was queued for its keys. It
            // leaves the queues then, since it may not block others while it waits for an upsert.
            if let Some(blocked_by) = self.blocked_by_order(seq, &holder.request) {
                self.await_mapping(seq, blocked_by);
                candidates.extend(self.locks.release(seq));
                continue;
            }
            let keys: Vec<RecordKey> = holder.request.keys().collect();
            self.locks.queue(seq, keys.into_iter());
            if self.locks.contention(seq).is_none()
                && let Some(holder) = self.holders.get_mut(&seq)
            {
                holder.stage = HolderStage::Ready;
                self.ready.insert(seq);
            }
        }
    }
}

impl Holder {
    fn has_locked(&self, request: &LockRequest) -> bool {
        self.stage == HolderStage::Locked && self.request == *request
    }
}

impl From<Contention> for BlockedBy {
    fn from(Contention { key, with }: Contention) -> BlockedBy {
        BlockedBy::Key { event: with, key }
    }
}

#[cfg(test)]
mod tests;
