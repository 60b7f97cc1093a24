//! Which events may be sent side by side: nothing new is made twice in Savio, and upserts keep their order. Pure.
//!
//! See `UpsertOrder` and `KeyLocks` for the two rules, and `Conflicts` for why nobody waits in vain.

mod key_locks;
mod known_keys;
mod seq;
mod upsert_order;

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{RecordKey, Request};
use key_locks::{Contention, KeyLocks};
pub(super) use seq::Seq;
use upsert_order::{EarlierEvent, UpsertOrder};

/// Keys that are remembered to be in Savio; one that is forgotten is learned again.
const KNOWN_MAX: usize = 200_000;

/// Events that may wait here, each counted with its keys.
const WAITING_MAX: usize = 100_000;

/// What a request needs for itself while it is in flight.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct LockRequest {
    names: Vec<RecordKey>,
    upsert: Option<RecordKey>,
}

impl LockRequest {
    pub(super) fn of(request: &Request) -> LockRequest {
        LockRequest { names: request.names(), upsert: request.upsert() }
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
    /// The event waits here; `next_ready` returns it when it may try again.
    Blocked(BlockedBy),
    /// Too many wait here: it has to wait in the store, and is the n-th that has to.
    QueueFull(u32),
}

/// The event that goes first, and why it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockedBy {
    /// It makes the same upsert before.
    Upsert { event: Seq, key: RecordKey },
    /// It is older and may turn out to make the same upsert: it is not mapped yet.
    Unmapped { event: Seq },
    /// It names the same, which is not known to be in Savio.
    Key { event: Seq, key: RecordKey },
}

/// The events in hand, and what their requests wait for.
///
/// A request first waits for its turn in the `UpsertOrder`, standing in no line meanwhile, and then for its keys in
/// `KeyLocks`. What it locked is given back after one attempt. An event that waits for an upsert therefore keeps no key
/// from others, and an event that waits for keys waits only for requests in flight and for older events in the same
/// lines: the oldest event of all waits for no one.
///
/// Nobody waits in vain, because an event is always waited for where it is:
///
/// 1. Each change of what somebody waits for goes through a method here, which looks again at those whom it may let go.
///    A waiting event is `Waiting` while `blocked_by` has an answer, and `Ready` otherwise.
/// 2. Who waits here waits for an event in hand: it ends in `set_upserts`, `mark_sent` or `remove`, whatever becomes of it.
/// 3. An event is removed from here, or its upsert from its upserts, only after the store has it (`progress::record`), and
///    a claim is registered here before anybody may miss it (`ClaimTable::handed_over`). So an older event that has the same
///    upsert before it is seen here or, after that, in the store (`Store::earlier_upsert`), at each moment.
/// 4. Who finds it in the store goes back to the store, due when the older one is due (`NextStep::WaitBehind`); both are
///    read and written in one transaction. What is due is claimed. Nothing is kept here of events that are not in hand.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Conflicts {
    order: UpsertOrder,
    locks: KeyLocks,
    holders: BTreeMap<Seq, Holder>,
    ready: BTreeSet<Seq>,
    /// How much waits: events with their keys.
    waiting: usize,
    waiting_max: usize,
    turned_away: u32,
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
    /// It may lock its keys, and keeps its place in line until it tries.
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
            turned_away: 0,
        }
    }

    /// An event is in hand; what it names is not known yet.
    pub(super) fn register(&mut self, seq: Seq) {
        self.holders.entry(seq).or_default();
        // Events are mapped side by side, so a younger one may be mapped first. If its upsert went out before an older
        // event turned out to have the same one, Savio would keep the values of the older one.
        self.order.register(seq);
    }

    /// The upserts that the event still has to make: after it was mapped, and after each step that was recorded.
    pub(super) fn set_upserts(&mut self, seq: Seq, upserts: &[RecordKey]) {
        let candidates = self.order.set_upserts(seq, upserts);
        self.recheck(candidates);
    }

    /// Locks all that the request names, or nothing: then the event waits here until it is ready.
    pub(super) fn try_lock(&mut self, seq: Seq, request: LockRequest) -> LockResult {
        if self.holders.get(&seq).is_some_and(|holder| holder.has_locked(&request)) {
            return LockResult::Granted;
        }
        let mut candidates = self.stop(seq);
        let result = match self.block(seq, &request) {
            None => LockResult::Granted,
            Some(_) if self.waiting >= self.waiting_max => {
                candidates.extend(self.locks.release(seq));
                self.turned_away = self.turned_away.saturating_add(1);
                LockResult::QueueFull(self.turned_away)
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

    /// Gives back what the event has locked; it stays in hand.
    pub(super) fn unlock(&mut self, seq: Seq) {
        let candidates = self.stop(seq);
        self.recheck(candidates);
    }

    /// Savio has what was locked for: its names are known from now on. Its upsert is still to be recorded.
    pub(super) fn mark_sent(&mut self, seq: Seq) {
        let Some(holder) = self.holders.get(&seq) else { return };
        if holder.stage != HolderStage::Locked {
            return;
        }
        let mut candidates = self.locks.learn(&holder.request.names);
        candidates.extend(self.stop(seq));
        self.recheck(candidates);
    }

    /// The event is not in hand any more: it is settled, or waits in the store. The store has that already.
    pub(super) fn remove(&mut self, seq: Seq) {
        let mut candidates = self.stop(seq);
        candidates.extend(self.order.remove(seq));
        self.holders.remove(&seq);
        self.recheck(candidates);
    }

    /// The event left and came again at the same time: it begins anew when `next_ready` returns it.
    pub(super) fn restart(&mut self, seq: Seq) {
        self.remove(seq);
        self.register(seq);
        let holder = self.holders.entry(seq).or_default();
        holder.stage = HolderStage::Ready;
        self.waiting += holder.request.weight();
        self.ready.insert(seq);
    }

    /// The oldest of those who waited and may try again; it keeps its place until it does, or leaves.
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

    /// What an event waits for that waits here.
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

    /// Locks what the request names, or else what keeps it from that. It is not in line, and holds nothing.
    fn block(&mut self, seq: Seq, request: &LockRequest) -> Option<BlockedBy> {
        // Before the keys, so that it stands in no line while it waits for an upsert, and keeps nobody else waiting. An event
        // that is not mapped yet counts as one that has the upsert (`register`).
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

    /// The event neither holds a lock nor waits. Returns those whom it may have kept waiting.
    fn stop(&mut self, seq: Seq) -> Vec<Seq> {
        self.ready.remove(&seq);
        if let Some(holder) = self.holders.get_mut(&seq) {
            if matches!(holder.stage, HolderStage::Waiting | HolderStage::Ready) {
                self.waiting -= holder.request.weight();
            }
            holder.stage = HolderStage::Idle;
        }
        if self.waiting < self.waiting_max / 2 {
            self.turned_away = 0;
        }
        self.locks.release(seq)
    }

    /// Looks again at events that may go now; one that goes back from the lines may let others go.
    fn recheck(&mut self, mut candidates: Vec<Seq>) {
        while let Some(seq) = candidates.pop() {
            let Some(holder) = self.holders.get(&seq) else { continue };
            if holder.stage != HolderStage::Waiting {
                continue;
            }
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
