//! Background work of a running relay: retention, unfinished replays, and a check of the event
//! counts at each start.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::error::StoreError;
use super::mapping_version::MappingTexts;
use super::replay::{ReplayId, ReplayProgress};
use crate::clock;

/// Maintains the store in small steps, beside intake and delivery.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Returns the replays that have steps left, oldest first.
    async fn open_replays(&self) -> Result<Vec<ReplayId>, StoreError>;

    /// Executes the next step of a replay, small enough not to delay other writes.
    async fn step_replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError>;

    /// Purges a small batch of events that settled before this time.
    async fn purge(&self, settled_before: Timestamp) -> Result<Purged, StoreError>;

    /// Deletes the sessions that ended before this time, and returns their number.
    async fn purge_sessions(&self, now: Timestamp) -> Result<usize, StoreError>;

    /// Purges a small batch of audit entries from before this time, and returns whether there are
    /// more.
    async fn purge_audit(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// Purges a small batch of issues that were closed before this time, or that are too many, and
    /// returns whether there may be more.
    async fn purge_issues(&self, closed_before: Timestamp) -> Result<bool, StoreError>;

    /// Purges a small batch of rejected webhooks from before this time, and returns whether there may be
    /// more.
    async fn purge_rejections(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// Gives some dead events their cause that an earlier program left without one, and returns whether
    /// there may be more.
    async fn assign_causes(&self) -> Result<bool, StoreError>;

    /// Deletes the causes that no event has any more.
    async fn prune_causes(&self) -> Result<(), StoreError>;

    /// Counts all events anew, corrects the stored counts and returns how many were wrong. A
    /// million events take a third of a second, during which others can write.
    async fn recount(&self) -> Result<Recounted, StoreError>;

    /// Purges some half hours from before this time of whose events none is stored any more, and returns
    /// whether there are more.
    async fn purge_half_hours(&self, before: Timestamp) -> Result<bool, StoreError>;

    /// Remembers the bundled sources of this program, and returns those that an earlier program on
    /// this store did not have. For a new store, all are known from the beginning.
    async fn remember_bundled(&self, names: Vec<String>) -> Result<Vec<String>, StoreError>;

    /// Records that these texts of mapping files are in service, each as a new version unless it is
    /// the newest one of its source.
    async fn put_in_service(&self, texts: MappingTexts) -> Result<(), StoreError>;

    /// Removes some versions of mapping files that no event names and that are not among the last
    /// ones of their source. Returns whether there may be more.
    async fn prune_mapping_versions(&self) -> Result<bool, StoreError>;
}

/// The result of one step of purging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    pub events: usize,
    /// Whether there is more to purge, or free space to return to the disk.
    pub has_more: bool,
}

/// What was wrong before all events were counted anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recounted {
    /// Numbers of events of a source in a state.
    pub counts: usize,
    /// Half hours of a source. A program that does not know them leaves them behind the events.
    pub half_hours: usize,
}

impl AddAssign for Recounted {
    fn add_assign(&mut self, other: Recounted) {
        self.counts += other.counts;
        self.half_hours += other.half_hours;
    }
}

/// Shortest pause after a step of a replay.
// Webhooks and delivery share the writer with the steps: a pause as long as the step leaves them at
// least half of its time.
const REPLAY_PAUSE_MIN: Duration = Duration::from_millis(20);

const INTERVAL: Duration = Duration::from_mins(1);

/// Days for which it is kept what people did: longer than events, since a question about a mapping or
/// a person comes after months.
const AUDIT_KEPT_DAYS: i64 = 365;

/// Days for which closed issues are kept.
const ISSUES_KEPT_DAYS: i64 = 90;

/// Days for which rejected webhooks are kept.
const REJECTIONS_KEPT_DAYS: i64 = 30;

/// Days for which it is kept what happened in each half hour: thirteen months, so that a month can be
/// compared with that of the year before.
const HALF_HOURS_KEPT_DAYS: i64 = 397;

/// Pause after each step of purging, as a multiple of the time that it took.
// Nobody waits for purging, so it takes a fifth of the writer's time, and a replay a half.
const PURGE_PAUSE_FACTOR: u32 = 4;
const PURGE_PAUSE_MIN: Duration = Duration::from_millis(10);

/// Runs maintenance every minute, and when `wake` is notified, until `shutdown`.
pub async fn run(
    store: Arc<dyn Maintenance>,
    retention: Duration,
    wake: Arc<Notify>,
    shutdown: impl Future<Output = ()>,
) {
    let work = async {
        // Once: counts change in the same commit as their events, so only a bug or a change of the
        // file by hand makes them wrong.
        recount(&*store).await;
        loop {
            if let Err(error) = run_once(&*store, retention, clock::now()).await {
                warn!(%error, "store maintenance failed");
            }
            tokio::select! {
                () = wake.notified() => {}
                () = sleep(INTERVAL) => {}
            }
        }
    };
    // A step that is cut off here is still written as a whole by the writer; the rest of a replay
    // is recorded as open and continues at the next start.
    tokio::select! {
        () = shutdown => {}
        () = work => {}
    }
}

async fn recount(store: &dyn Maintenance) {
    // Lists and replays look only into sources and states that have a count: with a wrong one,
    // events would be missing there.
    match store.recount().await {
        Ok(Recounted { counts, half_hours }) => {
            if counts > 0 {
                error!(wrong = counts, "event counts were wrong and have been corrected (bug)");
            }
            if half_hours > 0 {
                info!(
                    half_hours,
                    "filled in what happened, by half hours: an older version had not counted it"
                );
            }
        }
        Err(error) => warn!(%error, "the events in the store cannot be counted"),
    }
}

/// Finishes open replays and purges what expired before `now`.
pub async fn run_once(
    store: &dyn Maintenance,
    retention: Duration,
    now: Timestamp,
) -> Result<(), StoreError> {
    for id in store.open_replays().await? {
        run_replay(store, id, |_| {}).await?;
    }
    while store.assign_causes().await? {
        sleep(REPLAY_PAUSE_MIN).await;
    }
    store.prune_causes().await?;
    store.purge_sessions(now).await?;
    let before = now.saturating_sub(retention).unwrap_or(Timestamp::MIN);
    let mut events = 0;
    loop {
        let start = Instant::now();
        let step = store.purge(before).await?;
        events += step.events;
        if !step.has_more {
            break;
        }
        sleep((start.elapsed() * PURGE_PAUSE_FACTOR).max(PURGE_PAUSE_MIN)).await;
    }
    while store.prune_mapping_versions().await? {
        sleep(PURGE_PAUSE_MIN).await;
    }
    if events > 0 {
        info!(events, "purged events that settled before {before}");
    }
    while store.purge_audit(days_before(now, AUDIT_KEPT_DAYS)).await? {
        sleep(PURGE_PAUSE_MIN).await;
    }
    while store.purge_issues(days_before(now, ISSUES_KEPT_DAYS)).await? {
        sleep(PURGE_PAUSE_MIN).await;
    }
    while store.purge_rejections(days_before(now, REJECTIONS_KEPT_DAYS)).await? {
        sleep(PURGE_PAUSE_MIN).await;
    }
    while store.purge_half_hours(days_before(now, HALF_HOURS_KEPT_DAYS)).await? {
        sleep(PURGE_PAUSE_MIN).await;
    }
    Ok(())
}

fn days_before(now: Timestamp, days: i64) -> Timestamp {
    now.saturating_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Timestamp::MIN)
}

/// Executes a replay or its cancellation, and passes its progress to `report` after each step. Two
/// callers may run the same replay at once.
pub async fn run_replay(
    store: &dyn Maintenance,
    id: ReplayId,
    mut report: impl FnMut(&ReplayProgress),
) -> Result<Option<ReplayProgress>, StoreError> {
    loop {
        let start = Instant::now();
        let replay = store.step_replay(id).await?;
        if let Some(replay) = &replay {
            report(replay);
        }
        if !replay.is_some_and(|replay| replay.has_more) {
            return Ok(replay);
        }
        sleep(start.elapsed().max(REPLAY_PAUSE_MIN)).await;
    }
}
