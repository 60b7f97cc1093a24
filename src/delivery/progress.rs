//! How far an event is: read from the store, and recorded until it is on disk.

use tracing::{error, info, warn};

use super::claims::ClaimGuard;
use super::context::Context;
use super::store_retry::{Process, StoreRetry};
use crate::clock;
use crate::event::{EventId, RecordKey, State};
use crate::store::{Claim, ClaimedEvent, EarlierUpsert, NextStep, Progress, StoreError};

/// Another works on the event now, or nobody can.
pub(super) struct ClaimLost;

/// Retries until the progress is on disk: if that of a sent request were lost, the request would be sent twice. When the
/// relay stops, a step in which nothing was sent is left to the next start.
pub(super) async fn record(
    context: &Context,
    guard: &ClaimGuard<'_>,
    progress: Progress,
) -> Result<(), ClaimLost> {
    let mut retry = context.claims.store_retry();
    loop {
        let claim = guard.claim();
        let id = claim.event;
        match context.store.advance(claim, progress.clone()).await {
            Ok(()) => return Ok(()),
            Err(StoreError::ClaimLost) if guard.has_replaced(claim).await => {}
            Err(StoreError::ClaimLost) => {
                warn!(event.id = %id, "the lease of event {id} ended while it was worked on");
                return Err(ClaimLost);
            }
            Err(StoreError::Impossible { reason }) => {
                error!(event.id = %id, reason, "the progress of event {id} cannot be kept: a bug");
                mark_dead(context, claim, &reason).await;
                return Err(ClaimLost);
            }
            Err(StoreError::Unavailable { reason, .. }) => {
                if retry.is_first() {
                    warn!(event.id = %id, reason, "cannot record progress of event {id}, retrying");
                }
                if retry.pause().await == Process::Stops && progress.attempt.is_none() {
                    return Err(ClaimLost);
                }
            }
        }
    }
}

/// Ends an event whose progress can never be recorded, so that it is not sent again and again. If even that fails, its
/// lease ends by itself.
async fn mark_dead(context: &Context, claim: Claim, reason: &str) {
    let reason = Some(format!("a bug of the relay: {reason}"));
    let dead = NextStep::Settle { state: State::Dead, reason, at: clock::now() };
    if let Err(error) = context.store.advance(claim, Progress::to(dead)).await {
        warn!(event.id = %claim.event, %error, "event {} stays as it is", claim.event);
    }
}

/// Logs how an event ended, where its attempts do not say it.
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

/// Whether a suspect is being mapped.
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
    // If the event is not ours any more, the mark is not either.
    let _ = record_mark(context, guard, Mark::Unset).await;
}

/// Retries until the store is available, since nothing could be sent before that anyway, or until the relay stops.
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
                error!(event.id = %id, reason, "event {id} cannot be marked as a suspect: a bug");
                return Err(ClaimLost);
            }
            Err(StoreError::Unavailable { reason, .. }) => {
                if retry.is_first() {
                    warn!(event.id = %id, reason, "cannot mark event {id} as a suspect yet");
                }
                if retry.pause().await == Process::Stops {
                    return Err(ClaimLost);
                }
            }
        }
    }
}

/// The event as it is in the store; none if it is not ours any more, or the relay stops.
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

/// The event in the store that makes this upsert before this one; an error if the relay stops before it is known.
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

/// Waits for the next try; returns the error if the relay stops.
async fn wait_for_store(error: StoreError, retry: &mut StoreRetry) -> Result<(), StoreError> {
    if retry.is_first() {
        warn!(%error, "cannot read how far events are");
    }
    match retry.pause().await {
        Process::Runs => Ok(()),
        Process::Stops => Err(error),
    }
}
