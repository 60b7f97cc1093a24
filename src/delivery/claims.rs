//! The events in our hands: the newest claim of each, what its requests name, and its place in flight.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

use super::backoff::Backoff;
use super::names::{Names, Place, Turn, Wish};
use crate::event::{EventId, Name};
use crate::store::{Claim, Claimed, Store, StoreError, Wanted};

#[derive(Debug)]
pub(super) struct Claims {
    newest: Mutex<HashMap<EventId, Claim>>,
    /// Locked while new claims come in.
    claiming: tokio::sync::Mutex<()>,
    waiting: Mutex<Waiting>,
    slots: Semaphore,
    /// Whether the relay stops.
    stopping: watch::Sender<bool>,
    /// A parked event may go on.
    pub(super) freed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    names: Names,
    /// Events that wait for another one: this, their claims and their names is all that is kept of them.
    parked: HashMap<Place, EventId>,
}

/// An event that is to be held again, to go on.
pub(super) type Parked = (Claim, Place);

impl Claims {
    pub(super) fn new(max_in_flight: usize) -> Claims {
        Claims {
            newest: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
            slots: Semaphore::new(max_in_flight.min(Semaphore::MAX_PERMITS)),
            stopping: watch::Sender::new(false),
            freed: Notify::new(),
        }
    }

    /// Claims events. One that is still in our hands, because its lease ended while the store was
    /// away, is left to who works on it, who goes on under the new claim: nothing is sent twice.
    pub(super) async fn claim(
        &self,
        store: &dyn Store,
        wanted: Wanted,
    ) -> Result<Vec<Claimed>, StoreError> {
        let _claiming = self.claiming.lock().await;
        let mut claimed = store.claim(wanted).await?;
        let mut newest = self.newest();
        claimed.retain(|new| match newest.get_mut(&new.claim.event) {
            Some(held) => {
                *held = new.claim;
                false
            }
            None => true,
        });
        let mut waiting = self.waiting();
        for new in &claimed {
            // All of them, before the first is mapped.
            waiting.names.arrive(new.place);
        }
        Ok(claimed)
    }

    pub(super) fn hold(&self, claim: Claim, place: Place) -> Held<'_> {
        self.newest().entry(claim.event).or_insert(claim);
        Held { claims: self, first: claim, place, slot: None, is_parked: false }
    }

    /// From now on no event gets a place in flight that has none.
    pub(super) fn close_slots(&self) {
        self.slots.close();
        self.stopping.send_replace(true);
    }

    /// For tries of the store, which do not go on for ever when the slots are closed.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.stopping.subscribe())
    }

    pub(super) fn free_slots(&self) -> usize {
        self.slots.available_permits()
    }

    pub(super) fn all(&self) -> Vec<Claim> {
        self.newest().values().copied().collect()
    }

    /// The oldest parked event that may go on.
    pub(super) fn unpark(&self) -> Option<Parked> {
        let event = {
            let Waiting { names, parked } = &mut *self.waiting();
            let place = names.next_ready(|place| parked.contains_key(place))?;
            parked.remove(&place).map(|event| (event, place))
        };
        let (event, place) = event?;
        Some((self.newest().get(&event).copied()?, place))
    }

    /// What is known of older events in the store may be out of date.
    pub(super) fn ask_again(&self) {
        self.change(Names::ask_again);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Names) -> T) -> T {
        let mut waiting = self.waiting();
        let changed = change(&mut waiting.names);
        if waiting.names.has_ready() {
            self.freed.notify_one();
        }
        changed
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<EventId, Claim>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event in our hands, until this is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    claims: &'a Claims,
    first: Claim,
    place: Place,
    slot: Option<SemaphorePermit<'a>>,
    is_parked: bool,
}

impl Held<'_> {
    pub(super) fn claim(&self) -> Claim {
        self.claims.newest().get(&self.first.event).copied().unwrap_or(self.first)
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Whether a newer claim has taken the place of the one that was lost.
    pub(super) async fn has_replaced(&self, lost: Claim) -> bool {
        let _no_claim_is_coming_in = self.claims.claiming.lock().await;
        self.claim() != lost
    }

    /// Nothing of the event is sent now.
    pub(super) fn leave_slot(&mut self) {
        self.slot = None;
    }

    /// What the event has to upsert yet.
    pub(super) fn plan(&self, upserts: Vec<Name>) {
        self.claims.change(|names| names.plan(self.place, upserts));
    }

    pub(super) fn take(&self, wish: Wish) -> Turn {
        self.claims.change(|names| names.take(self.place, wish))
    }

    pub(super) fn wait_behind(&self, older: Place) -> Turn {
        self.claims.change(|names| names.wait_behind(self.place, older))
    }

    /// Savio has the request that is in flight.
    pub(super) fn succeeded(&self) {
        self.claims.change(|names| names.succeeded(self.place));
    }

    /// What came of the event so far is in the store.
    pub(super) fn written(&self) {
        self.claims.change(|names| names.written(self.place));
    }

    /// Waits for one of the places in flight; false if there are no more.
    pub(super) async fn take_slot(&mut self) -> bool {
        if self.slot.is_none() {
            self.slot = self.claims.slots.acquire().await.ok();
        }
        self.slot.is_some()
    }

    /// The event stays claimed and waits for its turn, without a place in flight.
    pub(super) fn park(mut self) {
        self.is_parked = true;
        self.claims.waiting().parked.insert(self.place, self.first.event);
        // It may have become ready before.
        self.claims.change(|_| ());
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.is_parked {
            self.claims.newest().remove(&self.first.event);
            self.claims.change(|names| names.leave(self.place));
        }
    }
}
