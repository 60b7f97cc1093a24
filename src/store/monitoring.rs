//! The store's side for whoever watches the relay: what happened when, what became of it, and issues.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;

use super::error::StoreError;
use super::filter::PageRequest;
use super::flows::Flows;
use super::half_hour::HalfHour;
use super::issue::{Issue, IssueFilter, IssueId, IssuePage, MuteOutcome, MuteRequest};
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
