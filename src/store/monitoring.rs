//! The store's side for whoever watches the relay: issues.

use async_trait::async_trait;
use jiff::Timestamp;

use super::error::StoreError;
use super::filter::PageRequest;
use super::issue::{Issue, IssueFilter, IssueId, IssuePage, MuteOutcome, MuteRequest};

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
}
