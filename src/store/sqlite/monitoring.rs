//! `Monitoring` for SQLite: issues and what they are found by, and what is counted by half hours.

mod alerts;
mod balances;
mod dead_causes;
mod filled_events;
mod half_hours;
pub(super) mod issues;
mod live_half_hours;
mod overdue;
pub(super) mod rejections;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

use super::database::Sqlite;
use super::engine::readers::Purpose;
use super::engine::transaction::Transaction;
use super::rows::interruptions;
use crate::event::SourceName;
use crate::store::alert::AlertRecord;
use crate::store::dead_cause::{DeadCause, DeadGroups};
use crate::store::error::StoreError;
use crate::store::filled_event::{FieldSearch, FieldUse, FilledEvent};
use crate::store::filter::PageRequest;
use crate::store::flows::Flows;
use crate::store::half_hour::HalfHour;
use crate::store::interruption::LoggedInterruption;
use crate::store::issue::{Issue, IssueFilter, IssueId, IssuePage, MuteOutcome, MuteRequest};
use crate::store::monitoring::{
    Balance, HeldEvents, LiveSources, Monitoring, OverdueSource, SeriesRequest,
};
use crate::store::rejection::{RejectionFilter, RejectionPage};
use balances::BalanceReader;
use half_hours::SeriesReader;

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

    async fn alerts(
        &self,
        target: String,
        closed_since: Timestamp,
    ) -> Result<Option<AlertRecord>, StoreError> {
        let read =
            move |connection: &Connection| Ok(alerts::record(connection, &target, closed_since)?);
        self.readers.read(Purpose::Lookup, read).await
    }

    async fn write_alerts(&self, record: AlertRecord) -> Result<(), StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        self.writer.write(move |transaction| Ok(alerts::write(transaction, &record)?)).await
    }

    async fn series(&self, request: SeriesRequest) -> Result<Vec<Flows>, StoreError> {
        let mut series = SeriesReader::new(request);
        // One read for each month, so that a request for a year holds no reader for long. What happened
        // is never lowered, so the months need not be of one snapshot.
        while !series.is_complete() {
            let read = move |connection: &Connection| series.read_next(connection);
            series = self.readers.read(Purpose::Lookup, read).await?;
        }
        Ok(series.into_flows())
    }

    async fn balances(
        &self,
        since: Timestamp,
    ) -> Result<BTreeMap<SourceName, Balance>, StoreError> {
        let mut balances = BalanceReader::new(since);
        while !balances.is_complete() {
            let read = move |connection: &Connection| balances.read_next(connection);
            balances = self.readers.read(Purpose::Lookup, read).await?;
        }
        Ok(balances.into_balances())
    }

    async fn webhooks(
        &self,
        since: HalfHour,
    ) -> Result<BTreeMap<SourceName, Vec<(HalfHour, u64)>>, StoreError> {
        let read = move |connection: &Connection| half_hours::webhooks(connection, since);
        self.readers.read(Purpose::Lookup, read).await
    }

    fn is_recounted(&self) -> bool {
        self.is_recounted.load(Ordering::Acquire)
    }

    async fn rejections(
        &self,
        filter: RejectionFilter,
        page: PageRequest,
    ) -> Result<RejectionPage, StoreError> {
        let list = move |connection: &Connection| Ok(rejections::list(connection, &filter, page)?);
        self.readers.read(Purpose::Lookup, list).await
    }

    async fn dead_causes(&self) -> Result<Option<Vec<DeadCause>>, StoreError> {
        self.readers
            .read(Purpose::Lookup, |connection| Ok(dead_causes::by_cause(connection)?))
            .await
    }

    async fn dead_groups(
        &self,
        source: Option<SourceName>,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<DeadGroups, StoreError> {
        let group = move |connection: &Connection| {
            Ok(dead_causes::groups(connection, (source.as_ref(), since), now)?)
        };
        self.readers.read(Purpose::Lookup, group).await
    }

    async fn dead_counts(&self) -> Result<Vec<(SourceName, u64)>, StoreError> {
        self.readers.read(Purpose::Lookup, |connection| Ok(dead_causes::counts(connection)?)).await
    }

    async fn held_events(&self) -> Result<Vec<HeldEvents>, StoreError> {
        self.readers.read(Purpose::Lookup, |connection| Ok(overdue::held(connection)?)).await
    }

    async fn overdue(
        &self,
        sources: Vec<SourceName>,
        queued_before: Timestamp,
    ) -> Result<Vec<OverdueSource>, StoreError> {
        let look = move |connection: &Connection| {
            Ok(overdue::overdue(connection, &sources, queued_before)?)
        };
        self.readers.read(Purpose::Lookup, look).await
    }

    async fn filled_events(&self, source: SourceName) -> Result<Vec<FilledEvent>, StoreError> {
        let read = move |connection: &Connection| Ok(filled_events::last(connection, &source)?);
        self.readers.read(Purpose::Lookup, read).await
    }

    async fn field_use(&self, search: FieldSearch) -> Result<FieldUse, StoreError> {
        let read =
            move |connection: &Connection| Ok(filled_events::field_use(connection, &search)?);
        self.readers.read(Purpose::Lookup, read).await
    }

    async fn live_half_hours(&self, since: Timestamp) -> Result<Vec<LiveSources>, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| Ok(live_half_hours::since(connection, since)?))
            .await
    }

    async fn write_live_half_hour(
        &self,
        live: LiveSources,
        kept_since: Timestamp,
    ) -> Result<(), StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        let write = move |transaction: &Transaction<'_>| {
            Ok(live_half_hours::write(transaction, &live, kept_since)?)
        };
        self.writer.write(write).await
    }

    async fn interruptions(
        &self,
        destination: &str,
        since: Timestamp,
    ) -> Result<Vec<LoggedInterruption>, StoreError> {
        let destination = destination.to_owned();
        let read = move |connection: &Connection| {
            Ok(interruptions::list(connection, &destination, since)?)
        };
        self.readers.read(Purpose::Lookup, read).await
    }
}
