//! The events in our hands: the newest claim of each, what its request waits for, and its place in flight.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tracing::warn;

use super::conflicts::{BlockedBy, Conflicts, Seq};
use super::store_retry::StoreRetry;
use crate::event::{EventId, RecordKey, SourceName};
use crate::store::{Claim, ClaimRequest, ClaimedEvent, Queue, Renewal, StoreError, WaitsFor};

#[derive(Debug)]
pub(super) struct ClaimTable {
    table: Mutex<ClaimEntries>,
    /// Locked while new claims come in.
    claiming: tokio::sync::Mutex<()>,
    slots: Semaphore,
    /// Whether the relay stops.
    stopping: watch::Sender<bool>,
    /// A parked event may go on.
    pub(super) freed: Notify,
}

#[derive(Debug, Default)]
struct ClaimEntries {
    in_hand: HashMap<Seq, ClaimEntry>,
    conflicts: Conflicts,
}

/// Of a parked event this and what it names is all that is kept.
#[derive(Debug)]
struct ClaimEntry {
    claim: Claim,
    source: SourceName,
    is_parked: bool,
}

/// An event that is to go on.
pub(super) type ResumedEvent = (Claim, Seq);

impl ClaimTable {
    pub(super) fn new(max_in_flight: usize) -> ClaimTable {
        ClaimTable {
            table: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
            slots: Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS)),
            stopping: watch::Sender::new(false),
            freed: Notify::new(),
        }
    }

    /// Claims events. One that is still in our hands, because its lease ended while the store was unavailable, is left to
    /// the job that works on it, which goes on under the new claim: nothing is sent twice.
    pub(super) async fn claim(
        &self,
        store: &dyn Queue,
        wanted: ClaimRequest,
    ) -> Result<Vec<ClaimedEvent>, StoreError> {
        // The store gives out an event whose lease ended in one commit, and only after that is its new claim in the table.
        // A job whose write fails in between with its old claim must not take the event for lost: it waits for this
        // lock, and then reads the table (`handed_over`).
        let _claiming = self.claiming.lock().await;
        let mut claimed = store.claim(wanted).await?;
        let mut table = self.table();
        let ClaimEntries { in_hand, conflicts } = &mut *table;
        claimed.retain(|new| match in_hand.get_mut(&new.seq) {
            Some(held) => {
                held.claim = new.claim;
                false
            }
            None => true,
        });
        // All of them, before the first is mapped: each may turn out to have an upsert that younger ones have to wait for.
        for new in &claimed {
            let (claim, source) = (new.claim, new.event.source.clone());
            in_hand.insert(new.seq, ClaimEntry { claim, source, is_parked: false });
            conflicts.register(new.seq);
        }
        Ok(claimed)
    }

    /// Returns once all that the store had given out before is in hand.
    pub(super) async fn handed_over(&self) {
        let _no_claim_is_coming_in = self.claiming.lock().await;
    }

    pub(super) fn guard(&self, claim: Claim, seq: Seq) -> ClaimGuard<'_> {
        let used = AtomicU64::new(claim.token);
        let request_open = AtomicBool::new(false);
        let (slot, is_parked) = (None, false);
        ClaimGuard { claims: self, first: claim, used, seq, slot, request_open, is_parked }
    }

    /// From now on no event gets a place in flight that has none.
    pub(super) fn close_slots(&self) {
        self.slots.close();
        self.stopping.send_replace(true);
    }

    /// For tries of the store, which do not go on for ever when the slots are closed.
    pub(super) fn store_retry(&self) -> StoreRetry {
        StoreRetry::new(self.stopping.subscribe())
    }

    pub(super) fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

    pub(super) fn all(&self) -> Vec<Seq> {
        self.table().in_hand.keys().copied().collect()
    }

    /// The claims of those that are still in hand, with what each waits for.
    pub(super) fn renewals(&self, events: &[Seq]) -> Vec<Renewal> {
        let table = self.table();
        let renewal = |seq: &Seq| {
            let claim = table.in_hand.get(seq)?.claim;
            Some(Renewal { claim, waits_for: table.waits_for(*seq) })
        };
        events.iter().filter_map(renewal).collect()
    }

    /// The other event that an event in hand waits for.
    pub(super) fn waits_for(&self, seq: Seq) -> Option<WaitsFor> {
        self.table().waits_for(seq)
    }

    /// Of each source, how many events in hand wait for another event.
    pub(super) fn waiting(&self) -> BTreeMap<SourceName, u64> {
        let mut waiting = BTreeMap::new();
        for one in self.table().in_hand.values().filter(|one| one.is_parked) {
            *waiting.entry(one.source.clone()).or_default() += 1;
        }
        waiting
    }

    /// The oldest parked event that may go on.
    pub(super) fn unpark(&self) -> Option<ResumedEvent> {
        let ClaimEntries { in_hand, conflicts } = &mut *self.table();
        let is_parked = |seq: &Seq| in_hand.get(seq).is_some_and(|one| one.is_parked);
        let seq = conflicts.next_ready(is_parked)?;
        let parked = in_hand.get_mut(&seq)?;
        parked.is_parked = false;
        Some((parked.claim, seq))
    }

    fn change<T>(&self, change: impl FnOnce(&mut ClaimEntries) -> T) -> T {
        let mut table = self.table();
        let changed = change(&mut table);
        if table.conflicts.has_ready() {
            self.freed.notify_one();
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
        let id = self.in_hand.get(&event)?.claim.event;
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

/// An event in our hands, until this is dropped.
#[derive(Debug)]
pub(super) struct ClaimGuard<'a> {
    claims: &'a ClaimTable,
    first: Claim,
    /// The token of the claim under which the store was last asked for something.
    used: AtomicU64,
    seq: Seq,
    slot: Option<SemaphorePermit<'a>>,
    /// Whether a request was marked as `sending` whose answer is not on disk.
    request_open: AtomicBool,
    is_parked: bool,
}

impl ClaimGuard<'_> {
    pub(super) fn event(&self) -> EventId {
        self.first.event
    }

    /// For the next step of the store.
    pub(super) fn claim(&self) -> Claim {
        let claim = self.claims.table().in_hand.get(&self.seq).map_or(self.first, |one| one.claim);
        self.used.store(claim.token, Ordering::Relaxed);
        claim
    }

    pub(super) fn seq(&self) -> Seq {
        self.seq
    }

    /// Whether a newer claim has taken the place of the one that was lost.
    pub(super) async fn has_replaced(&self, lost: Claim) -> bool {
        // A claim that made this one invalid was committed before; once it is in the table, it can be seen.
        self.claims.handed_over().await;
        self.claim() != lost
    }

    /// Whether from now on a request is under way whose answer is yet to be recorded.
    pub(super) fn set_request_open(&self, is_open: bool) {
        self.request_open.store(is_open, Ordering::Relaxed);
    }

    /// Nothing of the event is sent now.
    pub(super) fn release_slot(&mut self) {
        self.slot = None;
    }

    /// What the event has to upsert yet, as it is known to the store or was mapped just now.
    pub(super) fn set_upserts(&self, upserts: &[RecordKey]) {
        self.change(|conflicts| conflicts.set_upserts(self.seq, upserts));
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Conflicts) -> T) -> T {
        self.claims.change(|table| change(&mut table.conflicts))
    }

    /// Savio has the request that is in flight.
    pub(super) fn mark_sent(&self) {
        self.change(|conflicts| conflicts.mark_sent(self.seq));
    }

    /// Waits for one of the places in flight; false if there are no more.
    pub(super) async fn acquire_slot(&mut self) -> bool {
        if self.slot.is_none() {
            self.slot = self.claims.slots.acquire().await.ok();
        }
        self.slot.is_some()
    }

    /// The event stays claimed and waits for its turn, without a place in flight.
    pub(super) fn park(mut self) {
        self.is_parked = true;
        // It may have become ready before.
        self.claims.change(|table| {
            if let Some(one) = table.in_hand.get_mut(&self.seq) {
                one.is_parked = true;
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
                "work on event {id} was cut off before the answer to its request was recorded: the request \
                 counts as one that may have arrived"
            );
        }
        let used = self.used.load(Ordering::Relaxed);
        self.claims.change(|ClaimEntries { in_hand, conflicts }| {
            match in_hand.get_mut(&self.seq) {
                // It was put back, and claimed again before it left our hands: nobody else works on that claim.
                Some(one) if one.claim.token != used => {
                    one.is_parked = true;
                    conflicts.restart(self.seq);
                }
                Some(_) | None => {
                    in_hand.remove(&self.seq);
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
    use crate::store::{NewEvent, NextStep, Progress, Sqlite, Webhook, WebhookOrigin, sqlite};

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
            notes: Vec::new(),
        }
    }

    #[tokio::test]
    async fn event_that_is_claimed_again_before_it_left_our_hands_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&sqlite::Settings::new(folder.path().join("relay.db"))).unwrap();
        let (now, claims) = (Timestamp::UNIX_EPOCH, ClaimTable::new(1));
        store.store(webhook(now)).await.unwrap();
        let (sources, lease) = (vec!["form".parse().unwrap()], std::time::Duration::from_mins(1));
        let wanted = ClaimRequest { sources, slots: 9, bytes_max: usize::MAX, now, lease };
        let claimed = claims.claim(&store, wanted.clone()).await.unwrap().remove(0);
        let held = claims.guard(claimed.claim, claimed.seq);
        let wait = NextStep::Wait { until: now, reason: "the test says so".to_owned() };
        store.advance(held.claim(), Progress::to(wait)).await.unwrap();

        assert_eq!(claims.claim(&store, wanted).await.unwrap(), [], "it is in our hands yet");
        assert_eq!(claims.unpark(), None);
        drop(held);

        let (claim, seq) = claims.unpark().expect("it goes on under the new claim");
        assert_eq!((claim.event, seq), (claimed.claim.event, claimed.seq));
        assert_ne!(claim.token, claimed.claim.token);
        drop(claims.guard(claim, seq));
        assert_eq!((claims.all(), claims.unpark()), (vec![], None));
    }
}
