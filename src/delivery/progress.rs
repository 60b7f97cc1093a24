//! Reads and records the progress of an event, with retries while the store is unavailable.

use tracing::{error, info, warn};

use super::claims::ClaimGuard;
use super::context::Context;
use super::store_retry::{RelayState, StoreRetry};
use crate::clock;
use crate::event::{EventId, RecordKey, SourceName, State};
use crate::store::{Claim, ClaimedEvent, EarlierUpsert, NextStep, Progress, StoreError};

/// The claim on the event has ended, or its progress can never be recorded: the job has to stop.
pub(super) struct ClaimLost;

/// Retries until the progress is on disk. Once the relay stops, a step without an attempt fails
/// instead.
// If the result of a sent request were lost, the request would be sent twice. A step in which
// nothing was sent is simply repeated at the next start.
pub(super) async fn record(
    context: &Context,
    guard: &ClaimGuard<'_>,
    source: &SourceName,
    progress: Progress,
) -> Result<(), ClaimLost> {
    let dead = &context.process.dead;
    let mut retry = context.claims.store_retry();
    loop {
        let claim = guard.claim();
        let id = claim.event;
        match context.store.advance(claim, progress.clone()).await {
            Ok(()) => {
                if matches!(progress.next, NextStep::Settle { state: State::Dead, .. }) {
                    dead.record(source.as_str());
                }
                return Ok(());
            }
            // The lease ended, and this process claimed the event again: the next turn of the loop
            // writes under that claim.
            Err(StoreError::ClaimLost) if guard.has_replaced(claim).await => {}
            Err(StoreError::ClaimLost) => {
                warn!(event.id = %id, "the lease of event {id} ended while it was worked on");
                return Err(ClaimLost);
            }
            Err(StoreError::Impossible { reason }) => {
                error!(event.id = %id, reason, "the progress of event {id} cannot be recorded (bug)");
                if mark_dead(context, claim, &reason).await {
                    dead.record(source.as_str());
                }
                return Err(ClaimLost);
            }
            Err(StoreError::Unavailable { reason, .. }) => {
                if retry.is_first() {
                    warn!(event.id = %id, reason, "cannot record progress of event {id}, retrying");
                }
                if retry.pause().await == RelayState::Stops && progress.attempt.is_none() {
                    return Err(ClaimLost);
                }
            }
        }
    }
}

/// Settles as dead an event whose progress can never be recorded. Returns whether that was written.
// Otherwise it would be claimed and sent again each time its lease ends. If this write fails too,
// that is what happens.
async fn mark_dead(context: &Context, claim: Claim, reason: &str) -> bool {
    let reason = Some(format!("a bug of the relay: {reason}"));
    let dead = NextStep::Settle { state: State::Dead, reason, at: clock::now() };
    let written = context.store.advance(claim, Progress::to(dead)).await;
    if let Err(error) = &written {
        warn!(event.id = %claim.event, %error, "event {} stays as it is", claim.event);
    }
    written.is_ok()
}

/// Logs the state in which an event was settled.
pub(super) fn log_state_change(id: EventId, next: &NextStep) {
    let NextStep::Settle { state, reason, .. } = next else { return };
    let (is, reason) = (state.as_str(), reason.as_deref());
    match state {
        State::Dead | State::Held => {
            warn!(event.id = %id, state = is, reason, "event {id} is {is}");
        }
        State::Delivered | State::Ignored | State::Queued => {
            info!(event.id = %id, state = is, reason, "event {id} is {is}");
        }
    }
}

/// Change of the mark that a suspect is being mapped.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Set,
    Unset,
}

/// Marks a suspect; once this returns, the mark is on disk.
pub(super) async fn mark(context: &Context, guard: &ClaimGuard<'_>) -> Result<(), ClaimLost> {
    record_mark(context, guard, Mark::Set).await
}

pub(super) async fn unmark(context: &Context, guard: &ClaimGuard<'_>) {
    // An error means that the claim is lost; whoever has it now sets a mark of its own.
    let _ = record_mark(context, guard, Mark::Unset).await;
}

/// Retries until the mark is on disk or the relay stops. While the store is unavailable, nothing
/// could be sent anyway.
async fn record_mark(
    context: &Context,
    guard: &ClaimGuard<'_>,
    mark: Mark,
) -> Result<(), ClaimLost> {
    let mut retry = context.claims.store_retry();
    loop {
        let claim = guard.claim();
        let id = claim.event;
        let written = match mark {
            Mark::Set => context.store.mark(claim).await,
            Mark::Unset => context.store.unmark(claim).await,
        };
        match written {
            Ok(()) => return Ok(()),
            Err(StoreError::ClaimLost) if guard.has_replaced(claim).await => {}
            Err(StoreError::ClaimLost) => return Err(ClaimLost),
            Err(StoreError::Impossible { reason }) => {
                error!(event.id = %id, reason, "event {id} cannot be marked as a suspect (bug)");
                return Err(ClaimLost);
            }
            Err(StoreError::Unavailable { reason, .. }) => {
                if retry.is_first() {
                    warn!(event.id = %id, reason, "cannot mark event {id} as a suspect yet");
                }
                if retry.pause().await == RelayState::Stops {
                    return Err(ClaimLost);
                }
            }
        }
    }
}

/// Reads the event from the store; none if the claim is lost or the relay stops.
pub(super) async fn load(context: &Context, guard: &ClaimGuard<'_>) -> Option<ClaimedEvent> {
    let mut retry = context.claims.store_retry();
    loop {
        let claim = guard.claim();
        match context.store.load(claim).await {
            Ok(Some(claimed)) => return Some(claimed),
            Ok(None) if guard.has_replaced(claim).await => {}
            Ok(None) => return None,
            Err(error) => wait_for_store(error, &mut retry).await.ok()?,
        }
    }
}

/// Finds the earlier event in the store that makes this upsert first; fails if the relay stops
/// while the store is unavailable.
pub(super) async fn earlier_upsert(
    context: &Context,
    guard: &ClaimGuard<'_>,
    upsert: RecordKey,
) -> Result<Option<EarlierUpsert>, StoreError> {
    let mut retry = context.claims.store_retry();
    loop {
        match context.store.earlier_upsert(guard.seq(), upsert, context.live_sources()).await {
            Ok(earlier) => return Ok(earlier),
            Err(error) => wait_for_store(error, &mut retry).await?,
        }
    }
}

/// Waits until the next try; returns the error if the relay stops.
async fn wait_for_store(error: StoreError, retry: &mut StoreRetry) -> Result<(), StoreError> {
    if retry.is_first() {
        warn!(%error, "cannot read how far events are");
    }
    match retry.pause().await {
        RelayState::Runs => Ok(()),
        RelayState::Stops => Err(error),
    }
}
