//! The task that tells all streams what changes: twice a second at most, and only while a stream is
//! open.

mod snapshot;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::debug;

use super::state::AdminState;
use super::streams::message::{StreamMessage, StreamedCounts, StreamedEvents};
use crate::clock;
use crate::event::SourceName;
use crate::store::{EventSummary, RecentChanges, StateCounts, StoreError};
use snapshot::StreamSnapshot;

/// Time between two batches.
const BATCHES_EVERY: Duration = Duration::from_millis(500);

/// Number of events whose lines are in one batch. Of more, a client reads the list again.
const LINES_MAX: usize = 200;

/// Bytes of the lines of one batch.
// A line has about 600 bytes, and 10 KiB if its texts are as long as they can be.
const LINES_BYTES_MAX: usize = 256 * 1024;

/// Time after the last stream for which changes are still remembered, for a client that connects
/// again.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);

/// Pause after the store could not be asked.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Tells the streams what changes until `shutdown`, and ends them then.
pub(super) async fn run(admin: Arc<AdminState>, shutdown: impl Future<Output = ()>) {
    let follow = async {
        loop {
            admin.streams.wanted().await;
            if let Err(error) = follow(&admin).await {
                debug!(%error, "changes cannot be followed yet");
                sleep(RETRY_PAUSE).await;
            }
        }
    };
    tokio::select! {
        () = shutdown => {}
        never = follow => match never {},
    }
    admin.streams.end();
}

/// Follows the changes until no stream was open for a while. Returns an error if it could not
/// begin.
async fn follow(admin: &AdminState) -> Result<(), StoreError> {
    admin.store.follow_changes().await?;
    // After the store, so that nothing is missed in between.
    let mut feed = LiveFeed { admin, snapshot: StreamSnapshot::take(admin).await?, has_gap: false };
    admin.streams.begin();
    let mut ticks = interval(BATCHES_EVERY);
    // After a batch that took long, the next one is not earlier.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if !admin.streams.is_any_open() {
            tokio::select! {
                () = admin.streams.wanted() => {}
                () = sleep(REMEMBERED_FOR) => break,
            }
        }
        ticks.tick().await;
        let batch = feed.batch().await;
        if !batch.is_empty() {
            admin.streams.push(&batch);
        }
    }
    admin.store.stop_following();
    admin.streams.rest();
    Ok(())
}

struct LiveFeed<'a> {
    admin: &'a AdminState,
    /// What is in memory and not in the store, as the streams know it.
    snapshot: StreamSnapshot,
    /// Whether changes were taken that could not be read.
    has_gap: bool,
}

impl LiveFeed<'_> {
    /// Returns what has changed since the last batch; nothing if that is not known at present.
    async fn batch(&mut self) -> Vec<StreamMessage> {
        // While the store cannot be read, what changed waits.
        let Ok(changes) = self.admin.store.take_changes().await else { return Vec::new() };
        let Ok(snapshot) = StreamSnapshot::take(self.admin).await else {
            self.has_gap = true;
            return Vec::new();
        };
        let before = std::mem::replace(&mut self.snapshot, snapshot);
        if changes.has_gap || self.has_gap {
            self.has_gap = false;
            return vec![StreamMessage::Reset];
        }
        let mut messages = Vec::new();
        if !changes.is_empty() {
            let Ok(stored) = self.stored(changes, clock::now()).await else {
                self.has_gap = true;
                return Vec::new();
            };
            messages.extend(stored);
        }
        messages.extend(self.snapshot.since(&before));
        messages
    }

    /// Returns what has changed in the store.
    async fn stored(
        &self,
        changes: RecentChanges,
        now: Timestamp,
    ) -> Result<Vec<StreamMessage>, StoreError> {
        let RecentChanges { events: mut seqs, sources, .. } = changes;
        let beyond = seqs.len().saturating_sub(LINES_MAX);
        seqs.truncate(LINES_MAX);
        let mut lines = self.admin.store.entries(seqs).await?;
        for line in &mut lines {
            self.admin.complete(line, now);
        }
        let cut = cut_to_bytes(&mut lines);
        let counts = counts(self.admin).await?;
        let mut events = StateCounts::default();
        for of_source in counts.values() {
            events = events.plus(*of_source);
        }
        let of = |name: &SourceName| counts.get(name).copied().unwrap_or_default();
        let counts = StreamedCounts {
            events,
            sources: sources.keys().map(|name| (name.clone(), of(name))).collect(),
            rejected: sources.into_iter().filter(|(_, rejected)| *rejected > 0).collect(),
            omitted: u64::try_from(beyond + cut).unwrap_or(u64::MAX),
        };
        let lines =
            (!lines.is_empty()).then_some(StreamMessage::Events(StreamedEvents { events: lines }));
        Ok(lines.into_iter().chain([StreamMessage::Counts(counts)]).collect())
    }
}

async fn counts(admin: &AdminState) -> Result<BTreeMap<SourceName, StateCounts>, StoreError> {
    let mut counts: BTreeMap<SourceName, StateCounts> = BTreeMap::new();
    for count in admin.store.counts().await? {
        counts.entry(count.source).or_default().add(count.state, count.events);
    }
    Ok(counts)
}

/// Leaves out the oldest lines that are too many bytes, and returns how many these are.
fn cut_to_bytes(lines: &mut Vec<EventSummary>) -> usize {
    let mut bytes = 0;
    let fits = |line: &&EventSummary| {
        bytes += serde_json::to_vec(line).map_or(0, |text| text.len());
        bytes <= LINES_BYTES_MAX
    };
    let kept = lines.iter().take_while(fits).count();
    let cut = lines.len() - kept;
    lines.truncate(kept);
    cut
}
