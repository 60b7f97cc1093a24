//! An event's turn: what its next request names is free, and there is a place in flight.

use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;

use super::acquisition::{Acquisition, AcquisitionStep, Turn};
use super::backoff::{Backoff, Process};
use super::claims::{ClaimGuard, ResumedEvent};
use super::conflicts::LockRequest;
use super::plan::RequestPlan;
use super::{Delivery, Finished, RunClock, step};
use crate::event::{Outcome, RecordKey};
use crate::store::{ClaimedEvent, EarlierUpsert, NextStep, Progress, StoreError, WaitsFor};

/// Where too many wait for a record, the rest comes again after this time, and not all at once.
const QUEUE_FULL_WAIT_MIN: Duration = Duration::from_secs(30);
const QUEUE_FULL_WAIT_EACH: Duration = Duration::from_millis(20);

/// An earlier event is claimed and not in our hands: work on it broke off by a bug, and it goes on when its lease
/// ends.
const BROKEN_OFF_WAIT: Duration = Duration::from_secs(1);

impl Delivery {
    /// Gives back the locks of a request that is done and takes those of the next, and a place in
    /// flight; where it is not its turn, the event is to wait instead.
    pub(super) async fn line_up(
        &self,
        held: &mut ClaimGuard<'_>,
        work: &RequestPlan,
        progress: &mut Progress,
    ) {
        if progress.attempt.as_ref().is_some_and(|attempt| attempt.outcome == Outcome::Done) {
            held.mark_sent();
        }
        let NextStep::Send { position, at } = progress.next else {
            held.leave_slot();
            return;
        };
        let request = LockRequest::of(work.request(position));
        let turn = self.acquire_locks(held, request).await;
        if matches!(turn, Ok(Turn::Granted)) && held.take_slot().await {
            return;
        }
        held.leave_slot();
        progress.next = match turn {
            Ok(Turn::Granted) | Err(_) => {
                NextStep::Wait { until: at, reason: "the relay stops".to_owned() }
            }
            Ok(Turn::Blocked) => NextStep::Park { waits_for: self.claims.waits_for(held.seq()) },
            Ok(Turn::QueueFull(count)) => {
                let wait = QUEUE_FULL_WAIT_MIN.max(QUEUE_FULL_WAIT_EACH * count);
                let until = at.saturating_add(wait).unwrap_or(Timestamp::MAX);
                let reason = "too many events are waiting for the same record".to_owned();
                NextStep::Wait { until, reason }
            }
            Ok(Turn::Behind(earlier, upsert)) => {
                NextStep::WaitBehind { waits_for: waits_for(earlier, upsert), upsert, at }
            }
            Ok(Turn::BrokenOff(earlier, upsert)) => {
                let until = at.saturating_add(BROKEN_OFF_WAIT).unwrap_or(Timestamp::MAX);
                NextStep::Wait { until, reason: waits_for(earlier, upsert).reason }
            }
        };
    }

    /// An error: the relay stops before it is known.
    async fn acquire_locks(
        &self,
        held: &ClaimGuard<'_>,
        request: LockRequest,
    ) -> Result<Turn, StoreError> {
        let mut acquisition = Acquisition::new(held.seq(), request);
        let mut step = held.change(|conflicts| acquisition.begin(conflicts));
        loop {
            step = match step {
                AcquisitionStep::AskStore(upsert) => {
                    let earlier = self.earlier_upsert(held, upsert).await?;
                    held.change(|conflicts| acquisition.go_on(conflicts, earlier))
                }
                AcquisitionStep::AwaitClaims => {
                    self.claims.handed_over().await;
                    held.change(|conflicts| acquisition.begin(conflicts))
                }
                AcquisitionStep::Done(turn) => return Ok(turn),
            };
        }
    }

    /// The event in the store that makes this upsert before this one.
    async fn earlier_upsert(
        &self,
        held: &ClaimGuard<'_>,
        upsert: RecordKey,
    ) -> Result<Option<EarlierUpsert>, StoreError> {
        let mut backoff = self.claims.backoff();
        loop {
            match self.store.earlier_upsert(held.seq(), upsert, self.live_sources()).await {
                Ok(earlier) => return Ok(earlier),
                Err(error) => self.store_is_away(error, &mut backoff).await?,
            }
        }
    }

    /// Goes on with an event that was parked, as it is now.
    pub(super) async fn deliver_parked(
        &self,
        (claim, seq): ResumedEvent,
        now: Timestamp,
    ) -> Finished {
        let (held, clock) = (self.claims.hold(claim, seq), RunClock::starting(now));
        let Some(claimed) = self.load(&held).await else { return Finished::Through };
        let Some(reason) = self.why_source_waits(&claimed.event.source) else {
            return self.work_on(claimed, held, &clock).await;
        };
        // If that fails, the event is not ours any more.
        let _ = self.write(&held, step(NextStep::Wait { until: clock.now(), reason })).await;
        Finished::Through
    }

    /// None: it is not ours any more, or the relay stops.
    async fn load(&self, held: &ClaimGuard<'_>) -> Option<ClaimedEvent> {
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

fn waits_for(earlier: EarlierUpsert, upsert: RecordKey) -> WaitsFor {
    let EarlierUpsert { seq, event: id, .. } = earlier;
    let reason = format!("waits for event {id}, which upserts the same {} first", upsert.thing());
    WaitsFor { event: seq, reason }
}
