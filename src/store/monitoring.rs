//! The store's side for whoever watches the relay: what happened when, what became of it, and issues.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use jiff::Timestamp;

use super::alert::AlertRecord;
use super::dead_cause::{DeadCause, DeadGroups};
use super::error::StoreError;
use super::filled_event::{FieldSearch, FieldUse, FilledEvent};
use super::filter::PageRequest;
use super::flows::Flows;
use super::half_hour::HalfHour;
use super::interruption::LoggedInterruption;
use super::issue::{Issue, IssueFilter, IssueId, IssuePage, MuteOutcome, MuteRequest};
use super::rejection::{RejectionFilter, RejectionPage};
use super::state_counts::StateCounts;
use crate::event::SourceName;

/// Keeps what is known about how well the relay works.
#[async_trait]
pub trait Monitoring: Send + Sync {
    /// Returns all open issues, and those that were closed at this time or later; the open ones
    /// first, the worst of them first.
    async fn recent_issues(&self, closed_since: Timestamp) -> Result<Vec<Issue>, StoreError>;

    /// Writes these issues as they are now, in one commit. Mutes stay as they are in the store.
    async fn write_issues(&self, issues: Vec<Issue>) -> Result<(), StoreError>;

    /// Lists issues. All open ones are on the first page; `page` limits the closed ones.
    async fn issues(&self, filter: IssueFilter, page: PageRequest)
    -> Result<IssuePage, StoreError>;

    async fn issue(&self, id: IssueId) -> Result<Option<Issue>, StoreError>;

    /// Mutes an open issue, or ends that; recorded in the audit, in the same commit.
    async fn mute_issue(&self, request: MuteRequest) -> Result<MuteOutcome, StoreError>;

    /// Returns what a target of alerts was sent of the issues that are open or were closed at this
    /// time or later; none if it is not known.
    async fn alerts(
        &self,
        target: String,
        closed_since: Timestamp,
    ) -> Result<Option<AlertRecord>, StoreError>;

    /// Writes a target of alerts, and what it was sent of these issues, in one commit.
    async fn write_alerts(&self, record: AlertRecord) -> Result<(), StoreError>;

    /// Returns what happened in each step from `since` to `until`. The last may be shorter.
    async fn series(&self, request: SeriesRequest) -> Result<Vec<Flows>, StoreError>;

    /// Returns, for each source with any, the events that were received since then by their present state.
    async fn balances(&self, since: Timestamp)
    -> Result<BTreeMap<SourceName, Balance>, StoreError>;

    /// Returns, for each source, the half hours since then in which its sender sent verified webhooks, and
    /// how many, in their order. What people sent or imported does not count.
    async fn webhooks(
        &self,
        since: HalfHour,
    ) -> Result<BTreeMap<SourceName, Vec<(HalfHour, u64)>>, StoreError>;

    /// Returns whether all events were counted anew since the start: until then, a count may be wrong.
    fn is_recounted(&self) -> bool;

    /// Lists rejected webhooks, newest first.
    async fn rejections(
        &self,
        filter: RejectionFilter,
        page: PageRequest,
    ) -> Result<RejectionPage, StoreError>;

    /// Returns the dead events by source and cause, those included that wait for their replay; none while
    /// some of an earlier version have no cause yet.
    async fn dead_causes(&self) -> Result<Option<Vec<DeadCause>>, StoreError>;

    /// Groups the events that are dead, of one source or of all, and died at `since` or later, by cause.
    async fn dead_groups(
        &self,
        source: Option<SourceName>,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<DeadGroups, StoreError>;

    /// Returns, for each source that has any, the number of its dead events.
    async fn dead_counts(&self) -> Result<Vec<(SourceName, u64)>, StoreError>;

    /// Returns the held events of each source that has any, by the counts.
    async fn held_events(&self) -> Result<Vec<HeldEvents>, StoreError>;

    /// Returns, for each of these sources that has any, the events that were queued before this time
    /// and not tried since. Imported events and running replays do not count. The look at each source
    /// is bounded.
    async fn overdue(
        &self,
        sources: Vec<SourceName>,
        queued_before: Timestamp,
    ) -> Result<Vec<OverdueSource>, StoreError>;

    /// Returns the last mapped events of the source's sender, of each type, oldest first. Replays,
    /// imports, copies and tests do not count, and no events that an older program mapped.
    async fn filled_events(&self, source: SourceName) -> Result<Vec<FilledEvent>, StoreError>;

    /// Returns how many of them have a field, among the last that were received in some times.
    async fn field_use(&self, search: FieldSearch) -> Result<FieldUse, StoreError>;

    /// Returns the half hours since this time in which the relay ran, oldest first.
    async fn live_half_hours(&self, since: Timestamp) -> Result<Vec<LiveSources>, StoreError>;

    /// Writes one as it is now, and deletes those from before `kept_since`.
    async fn write_live_half_hour(
        &self,
        live: LiveSources,
        kept_since: Timestamp,
    ) -> Result<(), StoreError>;

    /// Returns the interruptions of a destination that went on at this time or began later; newest first.
    async fn interruptions(
        &self,
        destination: &str,
        since: Timestamp,
    ) -> Result<Vec<LoggedInterruption>, StoreError>;
}

/// Which flows, and how finely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRequest {
    /// None: all.
    pub sources: Option<Vec<SourceName>>,
    pub since: HalfHour,
    /// The half hour after the last.
    pub until: HalfHour,
    /// Half hours of each step.
    pub step: u32,
}

/// What became of the events of a source that were received since some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balance {
    pub events: StateCounts,
    /// Webhooks that were rejected in the half hour of that time and since.
    pub rejected: u64,
    /// Events that were received again in the half hour of that time and since.
    pub duplicates: u64,
}

/// The held events of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEvents {
    pub source: SourceName,
    pub events: u64,
    /// When the newest of them was received.
    pub newest: Timestamp,
}

/// Events of a source whose first try is overdue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueSource {
    pub source: SourceName,
    pub events: u64,
    /// Whether there may be more.
    pub at_least: bool,
    /// When the first of them was queued.
    pub oldest: Timestamp,
}

/// A half hour in which the relay ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSources {
    /// Its beginning.
    pub at: Timestamp,
    /// The sources that were live and not paused.
    pub sources: BTreeSet<SourceName>,
}
