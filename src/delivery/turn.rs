//! An event's turn: what its next request names is free, and there is a place in flight.

use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use super::backoff::{Backoff, Process};
use super::claims::{Held, Parked};
use super::names::{Place, Turn, Wish};
use super::work::Work;
use super::{Clock, Delivery, Landed, step};
use crate::event::{Name, Outcome};
use crate::store::{Claimed, Next, Progress, StoreError};

/// Where too many wait for a name, the rest comes again after this time, and not all at once.
const AWAY_MIN: Duration = Duration::from_secs(30);
const AWAY_EACH: Duration = Duration::from_millis(20);

impl Delivery {
    /// Gives back the names of a request that is done and takes those of the next, and a place in
    /// flight; where it is not its turn, the event is to wait instead.
    pub(super) async fn line_up(&self, held: &mut Held<'_>, work: &Work, progress: &mut Progress) {
        if progress.attempt.as_ref().is_some_and(|attempt| attempt.outcome == Outcome::Done) {
            held.succeeded();
        }
        let Next::Send { position, at } = progress.next else {
            held.leave_slot();
            return;
        };
        let wish = Wish::of(work.request(position));
        match self.take(held, wish).await {
            Some(Turn::Taken) if held.take_slot().await => {}
            Some(Turn::Taken) | None => {
                let reason = "the relay stops".to_owned();
                progress.next = Next::Wait { until: at, reason };
            }
            Some(Turn::Blocked) => {
                held.leave_slot();
                let reason = "another event that names the same goes first".to_owned();
                progress.next = Next::Stay { reason };
            }
            Some(Turn::TurnedAway(count)) => {
                held.leave_slot();
                let wait = AWAY_MIN.max(AWAY_EACH * count);
                let until = at.saturating_add(wait).unwrap_or(Timestamp::MAX);
                let reason = "many other events that name the same go first".to_owned();
                progress.next = Next::Wait { until, reason };
            }
        }
    }

    /// None: the relay stops before it is known.
    async fn take(&self, held: &Held<'_>, wish: Wish) -> Option<Turn> {
        let upsert = wish.upsert();
        let turn = held.take(wish);
        let (Turn::Taken, Some(upsert)) = (turn, upsert) else { return Some(turn) };
        match self.older(held, upsert).await.ok()? {
            Some(older) => Some(held.wait_behind(older)),
            None => Some(turn),
        }
    }

    /// The event in the store that makes this upsert before this one.
    async fn older(&self, held: &Held<'_>, upsert: Name) -> Result<Option<Place>, StoreError> {
        let mut backoff = self.claims.backoff();
        loop {
            match self.store.older(held.place(), upsert, self.live_sources()).await {
                Ok(older) => return Ok(older),
                Err(error) => self.store_is_away(error, &mut backoff).await?,
            }
        }
    }

    /// Goes on with an event that was parked, as it is now.
    pub(super) async fn deliver_parked(&self, (claim, place): Parked, now: Timestamp) -> Landed {
        let (held, clock) = (self.claims.hold(claim, place), Clock::starting(now));
        let Some(claimed) = self.load(&held).await else { return Landed::Through };
        if self.live_sources().contains(&claimed.event.source) {
            return self.work_on(claimed, held, &clock).await;
        }
        let reason = "its source is paused, or has no mapping at present".to_owned();
        // If that fails, the event is not ours any more.
        let _ = self.write(&held, step(Next::Wait { until: clock.now(), reason })).await;
        Landed::Through
    }

    /// None: it is not ours any more, or the relay stops.
    async fn load(&self, held: &Held<'_>) -> Option<Claimed> {
        let mut backoff = self.claims.backoff();
        loop {
            let claim = held.claim();
            match self.store.load(claim).await {
                Ok(Some(claimed)) => return Some(claimed),
                Ok(None) if held.has_replaced(claim).await => {}
                Ok(None) => return None,
                Err(error) => self.store_is_away(error, &mut backoff).await.ok()?,
            }
        }
    }

    /// Waits for the next try; gives the error back if the relay stops.
    async fn store_is_away(
        &self,
        error: StoreError,
        backoff: &mut Backoff,
    ) -> Result<(), StoreError> {
        if backoff.is_first() {
            warn!(%error, "cannot read how far events are");
        }
        match backoff.pause().await {
            Process::Runs => Ok(()),
            Process::Stops => Err(error),
        }
    }
}
