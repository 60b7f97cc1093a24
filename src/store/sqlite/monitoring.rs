//! `Monitoring` for SQLite: issues.

pub(super) mod issues;

use async_trait::async_trait;
use jiff::Timestamp;

use super::database::Sqlite;
use super::engine::readers::Purpose;
use crate::store::error::StoreError;
use crate::store::filter::PageRequest;
use crate::store::issue::{Issue, IssueFilter, IssueId, IssuePage, MuteOutcome, MuteRequest};
use crate::store::monitoring::Monitoring;

#[async_trait]
impl Monitoring for Sqlite {
    async fn recent_issues(&self, closed_since: Timestamp) -> Result<Vec<Issue>, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| Ok(issues::recent(connection, closed_since)?))
            .await
    }

    async fn write_issues(&self, issues: Vec<Issue>) -> Result<(), StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        self.writer.write(move |transaction| Ok(issues::write(transaction, &issues)?)).await
    }

    async fn issues(
        &self,
        filter: IssueFilter,
        page: PageRequest,
    ) -> Result<IssuePage, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| Ok(issues::list(connection, &filter, page)?))
            .await
    }

    async fn issue(&self, id: IssueId) -> Result<Option<Issue>, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| Ok(issues::find(connection, id)?))
            .await
    }

    async fn mute_issue(&self, request: MuteRequest) -> Result<MuteOutcome, StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        self.writer.write(move |transaction| Ok(issues::mute(transaction, &request)?)).await
    }
}
