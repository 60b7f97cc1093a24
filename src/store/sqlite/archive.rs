//! `Archive` for SQLite: reads of events for people and the API, counts, replays and releases.

mod changes;
mod conditions;
mod copy;
mod erase;
mod event_check;
mod folded_text;
mod ids;
mod lines;
mod matching;
mod mentions;
mod neighbours;
mod recent_changes;
mod release;
pub(super) mod replay;
mod replay_filter;
pub(super) mod replay_list;
mod scrub;
mod search;
pub(super) mod stats;
mod text_match;
mod slow_search;

use std::collections::HashSet;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

use super::database::Sqlite;
use super::engine::readers::Purpose;
use super::engine::transaction::Transaction;
use super::inbox;
use super::mapping_versions;
use super::rows::events;
use crate::event::{DigestPrefix, EventId, IdPrefix, SourceName};
use crate::store::archive::{
    Archive, ChangePosition, CountFor, DiskSpace, EventPayload, EventRecord, Neighbours,
    StateCount, WaitingCount,
};
use crate::store::audit::Actor;
use crate::store::copy::{CopyOutcome, CopyRequest};
use crate::store::email_address::EmailAddress;
use crate::store::erasure::{Erasure, ErasureRequest, Mentions};
use crate::store::error::StoreError;
use crate::store::filter::{Cursor, EventFilter, EventPage, EventSummary, MatchCount, PageRequest};
use crate::store::mapping_version::{FoundVersion, MappingHistory, VersionCursor};
use crate::store::recent_changes::RecentChanges;
use crate::store::replay::{
    ReleaseOutcome, ReleaseRequest, ReplayCursor, ReplayId, ReplayPage, ReplayProgress,
    ReplayRequest,
};

#[async_trait]
impl Archive for Sqlite {
    async fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError> {
        self.readers.read(Purpose::Lookup, move |connection| events::event(connection, id)).await
    }

    async fn ids(&self, prefix: IdPrefix, limit: usize) -> Result<Vec<EventId>, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| {
                ids::beginning_with(connection, &prefix, limit)
            })
            .await
    }

    async fn distinct_digits(&self, ids: Vec<EventId>) -> Result<usize, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| ids::distinct_digits(connection, &ids))
            .await
    }

    async fn changes(
        &self,
        since: ChangePosition,
    ) -> Result<(Vec<EventSummary>, ChangePosition), StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| changes::since(connection, since))
            .await
    }

    async fn follow_changes(&self) -> Result<(), StoreError> {
        recent_changes::follow(self).await
    }

    fn stop_following(&self) {
        self.changes.stop();
    }

    async fn take_changes(&self) -> Result<RecentChanges, StoreError> {
        recent_changes::take(self).await
    }

    async fn entries(&self, seqs: Vec<u64>) -> Result<Vec<EventSummary>, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| lines::entries(connection, &seqs))
            .await
    }

    async fn stored_deliveries(
        &self,
        source: SourceName,
        delivery_ids: Vec<String>,
    ) -> Result<HashSet<String>, StoreError> {
        let find = move |connection: &Connection| {
            let mut stored = HashSet::new();
            for delivery_id in delivery_ids {
                if events::first_delivery(connection, &source, &delivery_id)?.is_some() {
                    stored.insert(delivery_id);
                }
            }
            Ok(stored)
        };
        self.readers.read(Purpose::Lookup, find).await
    }

    async fn payloads(
        &self,
        seqs: Vec<u64>,
        bytes_max: usize,
    ) -> Result<Vec<EventPayload>, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| {
                Ok(events::payloads(connection, &seqs, bytes_max)?)
            })
            .await
    }

    async fn mapping_history(
        &self,
        source: SourceName,
        limit: usize,
        after: Option<VersionCursor>,
    ) -> Result<MappingHistory, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| {
                mapping_versions::history(connection, &source, (limit, after))
            })
            .await
    }

    async fn mapping_text(
        &self,
        source: SourceName,
        prefix: DigestPrefix,
    ) -> Result<FoundVersion, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| {
                mapping_versions::find(connection, &source, &prefix)
            })
            .await
    }

    async fn body(&self, id: EventId) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.read(Purpose::Lookup, move |connection| events::body(connection, id)).await
    }

    async fn first_event_at(&self, source: SourceName) -> Result<Option<Timestamp>, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| stats::first_event_at(connection, &source))
            .await
    }

    async fn counts(&self) -> Result<Vec<StateCount>, StoreError> {
        self.readers.read(Purpose::Lookup, stats::counts).await
    }

    async fn waiting(&self) -> Result<Vec<WaitingCount>, StoreError> {
        self.readers.read(Purpose::Lookup, stats::waiting).await
    }

    async fn oldest_queued(&self) -> Result<Vec<(SourceName, Timestamp)>, StoreError> {
        self.readers.read(Purpose::Lookup, stats::oldest_queued).await
    }

    async fn list(&self, filter: EventFilter, page: PageRequest) -> Result<EventPage, StoreError> {
        if conditions::have_text(&filter) {
            return slow_search::list(&self.readers, filter, page).await;
        }
        self.readers
            .read(Purpose::Lookup, move |connection| lines::list(connection, filter, page))
            .await
    }

    async fn neighbours(&self, filter: EventFilter, of: Cursor) -> Result<Neighbours, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| neighbours::of(connection, (&filter, of)))
            .await
    }

    async fn count_matching(
        &self,
        filter: EventFilter,
        count_for: CountFor,
    ) -> Result<MatchCount, StoreError> {
        let is_thorough = count_for == CountFor::Replay && conditions::are_searched(&filter);
        if is_thorough || conditions::have_text(&filter) {
            return slow_search::count_matching(&self.readers, filter).await;
        }
        self.readers
            .read(Purpose::Lookup, move |connection| matching::count(connection, &filter))
            .await
    }

    async fn start_replay(&self, request: ReplayRequest, by: Actor) -> Result<(), StoreError> {
        self.damage.check()?;
        // A replay rewrites every event that it finds, which takes room that settling may need.
        self.reserve.admit(0, 0)?;
        self.writer.write(move |connection| replay::start(connection, &request, &by)).await
    }

    async fn cancel_replay(
        &self,
        id: ReplayId,
        now: Timestamp,
        by: Actor,
    ) -> Result<(), StoreError> {
        self.damage.check()?;
        self.writer.write(move |connection| replay::cancel(connection, id, now, &by)).await
    }

    async fn replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| replay_list::progress(connection, id))
            .await
    }

    async fn replays(
        &self,
        limit: usize,
        after: Option<ReplayCursor>,
    ) -> Result<ReplayPage, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| replay_list::list(connection, limit, after))
            .await
    }

    fn disk_space(&self) -> Result<DiskSpace, StoreError> {
        self.reserve.space()
    }

    async fn release(&self, request: ReleaseRequest) -> Result<ReleaseOutcome, StoreError> {
        self.damage.check()?;
        let write = self.writer.write(move |transaction| release::release(transaction, &request));
        let released = write.await?;
        // Delivery sleeps until the next event is due, and has not counted this one.
        self.notify_work();
        Ok(released)
    }

    async fn copy(&self, request: CopyRequest) -> Result<CopyOutcome, StoreError> {
        let permits = inbox::reserve_bytes(self, request.webhook.stored_bytes()).await?;
        let write = self.writer.write(move |transaction| {
            let _until_written = &permits;
            copy::copy(transaction, &request)
        });
        let copied = write.await?;
        self.notify_work();
        Ok(copied)
    }

    async fn erase(&self, mut request: ErasureRequest) -> Result<Erasure, StoreError> {
        self.damage.check()?;
        let mut outcomes = Vec::with_capacity(request.ids.len());
        while !request.ids.is_empty() {
            let step = request.clone();
            let erase = move |transaction: &Transaction<'_>| erase::erase(transaction, &step);
            let done = self.writer.write(erase).await?;
            // At least one: a step has room for the first event, whatever its size.
            request.ids.drain(..done.len());
            outcomes.extend(done);
        }
        Ok(Erasure { outcomes, log_emptied: scrub::scrub(self).await? })
    }

    async fn mentions(&self, person: EmailAddress, after: u64) -> Result<Mentions, StoreError> {
        let find = move |connection: &Connection| mentions::find(connection, &person, after);
        self.readers.read(Purpose::Search, find).await
    }
}
