//! The events that this process has claimed: the newest claim of each, what its request waits for,
//! and its slot.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::conflicts::{BlockedBy, Conflicts, Seq};
use super::store_retry::StoreRetry;
use crate::event::{EventId, RecordKey, SourceName};
use crate::store::{Claim, ClaimRequest, ClaimedEvent, Queue, Renewal, StoreError, WaitsFor};

#[derive(Debug)]
pub(super) struct ClaimTable {
    table: Mutex<ClaimEntries>,
    /// Locked from the store's commit of new claims until they are in the table.
    claiming: tokio::sync::Mutex<()>,
    slots: Semaphore,
    /// True once the relay shuts down.
    stopping: CancellationToken,
    /// Notified when a parked event is no longer blocked.
    pub(super) unblocked: Notify,
}

#[derive(Debug, Default)]
struct ClaimEntries {
    entries: HashMap<Seq, ClaimEntry>,
    conflicts: Conflicts,
}

/// A claimed event. While it is parked, only this and its record keys are in memory.
#[derive(Debug)]
struct ClaimEntry {
    claim: Claim,
    source: SourceName,
    is_parked: bool,
}

/// A parked event that is no longer blocked.
pub(super) type ResumedEvent = (Claim, Seq);

impl ClaimTable {
    pub(super) fn new(max_in_flight: usize) -> ClaimTable {
        ClaimTable {
            table: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
            slots: Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS)),
            stopping: CancellationToken::new(),
            unblocked: Notify::new(),
        }
    }

    /// Claims events and returns those that no job works on yet.
    pub(super) async fn claim(
        &self,
        store: &dyn Queue,
        request: ClaimRequest,
    ) -> Result<Vec<ClaimedEvent>, StoreError> {
        // The store gives out an event whose lease ended in one commit, and only after that is its
        // new claim in the table. A job whose write fails in between with its old claim must not
        // take the event for lost: it waits for this lock, and then reads the table
        // (`wait_for_claims`).
        let _claiming = self.claiming.lock().await;
        let mut claimed = store.claim(request).await?;
        let mut table = self.table();
        let ClaimEntries { entries, conflicts } = &mut *table;
        // A lease can end while a job works on the event, if the store is unavailable. That job
        // continues under the new claim; a second job would send its request twice.
        claimed.retain(|new| match entries.get_mut(&new.seq) {
            Some(entry) => {
                entry.claim = new.claim;
                false
            }
            None => true,
        });
        // All of them, before the first is mapped: each may turn out to have an upsert that younger
        // ones have to wait for.
        for new in &claimed {
            let (claim, source) = (new.claim, new.event.source.clone());
            entries.insert(new.seq, ClaimEntry { claim, source, is_parked: false });
            conflicts.register(new.seq);
        }
        Ok(claimed)
    }

    /// Waits until every claim that the store has committed by now is in the table.
    pub(super) async fn wait_for_claims(&self) {
        let _no_claim_in_progress = self.claiming.lock().await;
    }

    pub(super) fn guard(&self, claim: Claim, seq: Seq) -> ClaimGuard<'_> {
        let used = AtomicU64::new(claim.token);
        let request_open = AtomicBool::new(false);
        let (slot, is_parked) = (None, false);
        ClaimGuard { claims: self, first: claim, used, seq, slot, request_open, is_parked }
    }

    /// Grants no more slots. Events that have one keep it.
    pub(super) fn close_slots(&self) {
        self.slots.close();
        self.stopping.cancel();
    }

    /// Returns the waits between tries of one store operation. They end early once the slots are
    /// closed.
    pub(super) fn store_retry(&self) -> StoreRetry {
        StoreRetry::new(self.stopping.clone())
    }

    pub(super) fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

    pub(super) fn all(&self) -> Vec<Seq> {
        self.table().entries.keys().copied().collect()
    }

    /// Returns the current claims of these events, with what each waits for. Events that have left
    /// the table are skipped.
    pub(super) fn renewals(&self, events: &[Seq]) -> Vec<Renewal> {
        let table = self.table();
        let renewal = |seq: &Seq| {
            let claim = table.entries.get(seq)?.claim;
            Some(Renewal { claim, waits_for: table.waits_for(*seq) })
        };
        events.iter().filter_map(renewal).collect()
    }

    /// Returns which other event a claimed event waits for.
    pub(super) fn waits_for(&self, seq: Seq) -> Option<WaitsFor> {
        self.table().waits_for(seq)
    }

    /// Counts, for each source, the claimed events that wait for another event.
    pub(super) fn waiting(&self) -> BTreeMap<SourceName, u64> {
        let mut waiting = BTreeMap::new();
        for entry in self.table().entries.values().filter(|entry| entry.is_parked) {
            *waiting.entry(entry.source.clone()).or_default() += 1;
        }
        waiting
    }

    /// Takes the oldest parked event that is no longer blocked.
    pub(super) fn unpark(&self) -> Option<ResumedEvent> {
        let ClaimEntries { entries, conflicts } = &mut *self.table();
        // An event can become ready while its job still records that it is parked. It stays ready
        // until that job has ended.
        let is_parked = |seq: &Seq| entries.get(seq).is_some_and(|entry| entry.is_parked);
        let seq = conflicts.next_ready(is_parked)?;
        let parked = entries.get_mut(&seq)?;
        parked.is_parked = false;
        Some((parked.claim, seq))
    }

    fn change<T>(&self, change: impl FnOnce(&mut ClaimEntries) -> T) -> T {
        let mut table = self.table();
        let changed = change(&mut table);
        if table.conflicts.has_ready() {
            self.unblocked.notify_one();
        }
        changed
    }

    fn table(&self) -> MutexGuard<'_, ClaimEntries> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimEntries {
    fn waits_for(&self, seq: Seq) -> Option<WaitsFor> {
        let blocked_by = self.conflicts.blocked_by(seq)?;
        let (BlockedBy::Upsert { event, .. }
        | BlockedBy::Unmapped { event }
        | BlockedBy::Key { event, .. }) = blocked_by;
        let id = self.entries.get(&event)?.claim.event;
        let reason = match blocked_by {
            BlockedBy::Upsert { key, .. } => {
                format!("waits for event {id}, which upserts the same {} first", key.thing())
            }
            BlockedBy::Unmapped { .. } => {
                format!("waits for event {id}, which was received before it and is not mapped yet")
            }
            BlockedBy::Key { key, .. } => {
                format!("waits for event {id}, which names the same {} first", key.thing())
            }
        };
        Some(WaitsFor { event, reason })
    }
}

/// Keeps a claimed event in the table, with its locks and its slot, until dropped or parked.
#[derive(Debug)]
pub(super) struct ClaimGuard<'a> {
    claims: &'a ClaimTable,
    first: Claim,
    /// Token of the claim that the last store operation used.
    used: AtomicU64,
    seq: Seq,
    slot: Option<SemaphorePermit<'a>>,
    /// True while a request is marked as `sending` on disk and its answer is not recorded.
    request_open: AtomicBool,
    is_parked: bool,
}

impl ClaimGuard<'_> {
    pub(super) fn event(&self) -> EventId {
        self.first.event
    }

    /// Returns the newest claim, to be used for the next store operation.
    pub(super) fn claim(&self) -> Claim {
        let table = self.claims.table();
        let claim = table.entries.get(&self.seq).map_or(self.first, |entry| entry.claim);
        self.used.store(claim.token, Ordering::Relaxed);
        claim
    }

    pub(super) fn seq(&self) -> Seq {
        self.seq
    }

    /// Returns whether this process has claimed the event again since it lost this claim.
    pub(super) async fn has_replaced(&self, lost: Claim) -> bool {
        // A claim that made this one invalid was committed before; once it is in the table, it can
        // be seen.
        self.claims.wait_for_claims().await;
        self.claim() != lost
    }

    pub(super) fn set_request_open(&self, is_open: bool) {
        self.request_open.store(is_open, Ordering::Relaxed);
    }

    pub(super) fn release_slot(&mut self) {
        self.slot = None;
    }

    /// Registers the upserts that the event has still to make, as recorded in the store or as just
    /// mapped.
    pub(super) fn set_upserts(&self, upserts: &[RecordKey]) {
        self.change(|conflicts| conflicts.set_upserts(self.seq, upserts));
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Conflicts) -> T) -> T {
        self.claims.change(|table| change(&mut table.conflicts))
    }

    /// Releases the locks of the request that Savio has accepted.
    pub(super) fn mark_sent(&self) {
        self.change(|conflicts| conflicts.mark_sent(self.seq));
    }

    /// Waits for a slot; false if the slots are closed.
    pub(super) async fn acquire_slot(&mut self) -> bool {
        if self.slot.is_none() {
            self.slot = self.claims.slots.acquire().await.ok();
        }
        self.slot.is_some()
    }

    /// Keeps the event claimed without a slot, until `ClaimTable::unpark` returns it.
    pub(super) fn park(mut self) {
        self.is_parked = true;
        // Through `change`, which notifies the worker: the event may have become ready in the
        // meantime.
        self.claims.change(|table| {
            if let Some(entry) = table.entries.get_mut(&self.seq) {
                entry.is_parked = true;
            }
        });
    }
}

impl Drop for ClaimGuard<'_> {
    fn drop(&mut self) {
        if self.is_parked {
            return;
        }
        if *self.request_open.get_mut() {
            let id = self.first.event;
            warn!(
                event.id = %id,
                "work on event {id} was interrupted before the answer to its request was recorded: \
                 the request counts as one that may have arrived"
            );
        }
        let used = self.used.load(Ordering::Relaxed);
        self.claims.change(|ClaimEntries { entries, conflicts }| {
            match entries.get_mut(&self.seq) {
                // The event was put back into the queue, and claimed again before this guard was
                // dropped. No job works under that claim: without a restart, the event would stay
                // where it is until its lease ends.
                Some(entry) if entry.claim.token != used => {
                    entry.is_parked = true;
                    conflicts.restart(self.seq);
                }
                Some(_) | None => {
                    entries.remove(&self.seq);
                    conflicts.remove(self.seq);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::Inbox as _;
    use crate::store::{
        Arrival, NewEvent, NextStep, Progress, Sqlite, Webhook, WebhookOrigin, sqlite,
    };

    fn webhook(now: Timestamp) -> Webhook {
        let event =
            NewEvent { id: EventId::new(now), event_type: None, delivery_id: None, payload: 0..2 };
        Webhook {
            source: "form".parse().unwrap(),
            received_at: now,
            headers: [].into(),
            body: b"{}".to_vec(),
            decoded: None,
            events: vec![event],
            origin: WebhookOrigin::Sent,
            arrival: Arrival::default(),
            notes: Vec::new(),
        }
    }

    #[tokio::test]
    async fn event_claimed_again_before_its_job_ends_is_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&sqlite::Settings::new(folder.path().join("relay.db"))).unwrap();
        let (now, claims) = (Timestamp::UNIX_EPOCH, ClaimTable::new(1));
        store.store(webhook(now)).await.unwrap();
        let (sources, lease) = (vec!["form".parse().unwrap()], std::time::Duration::from_mins(1));
        let request = ClaimRequest { sources, slots: 9, bytes_max: usize::MAX, now, lease };
        let claimed = claims.claim(&store, request.clone()).await.unwrap().remove(0);
        let guard = claims.guard(claimed.claim, claimed.seq);
        let wait = NextStep::Wait { until: now, reason: "the test says so".to_owned() };
        store.advance(guard.claim(), Progress::to(wait)).await.unwrap();

        assert_eq!(claims.claim(&store, request).await.unwrap(), [], "the guard still has it");
        assert_eq!(claims.unpark(), None);
        drop(guard);

        let (claim, seq) = claims.unpark().expect("it resumes under the new claim");
        assert_eq!((claim.event, seq), (claimed.claim.event, claimed.seq));
        assert_ne!(claim.token, claimed.claim.token);
        drop(claims.guard(claim, seq));
        assert_eq!((claims.all(), claims.unpark()), (vec![], None));
    }
}
