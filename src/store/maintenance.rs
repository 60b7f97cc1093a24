//! What a running relay does beside its work: it forgets what settled long ago, finishes replays that
//! were left half done, and sees at its start whether its events are counted rightly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::error::StoreError;
use super::replay::{ReplayId, ReplayProgress};
use crate::clock;

/// Does the work beside intake and delivery, in small steps.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Returns the replays that have steps to do, oldest first.
    async fn open_replays(&self) -> Result<Vec<ReplayId>, StoreError>;

    /// Takes the next step of a replay, small enough not to hold up other writes.
    async fn step_replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError>;

    /// Purges a small batch of events that settled before this time.
    async fn purge(&self, settled_before: Timestamp) -> Result<Purged, StoreError>;

    /// Counts all events anew, corrects what `counts` says, and returns how many counts were wrong. It takes a third of
    /// a second for a million events, and keeps nobody from writing.
    async fn recount(&self) -> Result<usize, StoreError>;
}

/// The result of one step of purging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    pub events: usize,
    /// Whether there is more to purge, or space to give back.
    pub has_steps: bool,
}

/// Pause after each step of a replay, in which others have the disk; longer if the step took longer.
const REST: Duration = Duration::from_millis(20);

const EVERY: Duration = Duration::from_mins(1);

/// Pause after each step of purging, as a multiple of the time that it took.
const REST_TIMES: u32 = 4;
const REST_MIN: Duration = Duration::from_millis(10);

/// Looks every minute, and when it is woken, until `shutdown`.
pub async fn run(
    store: Arc<dyn Maintenance>,
    retention: Duration,
    wake: Arc<Notify>,
    shutdown: impl Future<Output = ()>,
) {
    let looking = async {
        recount(&*store).await;
        loop {
            if let Err(error) = run_once(&*store, retention, clock::now()).await {
                warn!(%error, "the store cannot be tidied up now");
            }
            tokio::select! {
                () = wake.notified() => {}
                () = sleep(EVERY) => {}
            }
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = looking => {}
    }
}

/// What is listed and replayed is found by the counts.
async fn recount(store: &dyn Maintenance) {
    match store.recount().await {
        Ok(0) => {}
        Ok(wrong) => error!(wrong, "event counts were wrong and have been corrected (bug)"),
        Err(error) => warn!(%error, "the events in the store cannot be counted"),
    }
}

/// Does all that is due at `now`.
pub async fn run_once(
    store: &dyn Maintenance,
    retention: Duration,
    now: Timestamp,
) -> Result<(), StoreError> {
    for id in store.open_replays().await? {
        run_replay(store, id, |_| {}).await?;
    }
    let before = now.saturating_sub(retention).unwrap_or(Timestamp::MIN);
    let mut events = 0;
    loop {
        let start = Instant::now();
        let step = store.purge(before).await?;
        events += step.events;
        if !step.has_steps {
            break;
        }
        sleep((start.elapsed() * REST_TIMES).max(REST_MIN)).await;
    }
    if events > 0 {
        info!(events, "forgot events that settled before {before}");
    }
    Ok(())
}

/// Carries a replay out, or its cancellation, and passes its progress to `tell` after each step. Two callers may do so
/// at once.
pub async fn run_replay(
    store: &dyn Maintenance,
    id: ReplayId,
    mut tell: impl FnMut(&ReplayProgress),
) -> Result<Option<ReplayProgress>, StoreError> {
    loop {
        let start = Instant::now();
        let replay = store.step_replay(id).await?;
        if let Some(replay) = &replay {
            tell(replay);
        }
        if !replay.is_some_and(|replay| replay.has_steps) {
            return Ok(replay);
        }
        sleep(start.elapsed().max(REST)).await;
    }
}
