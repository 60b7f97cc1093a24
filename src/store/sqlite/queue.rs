//! `Queue` for SQLite: claims of due events, progress, and the state of destinations.

mod claimed;
mod destination_state;
pub(super) mod leased_event;
mod leases;
mod left_out;
pub(super) mod progress;
mod rewind;
mod schedule;
pub(super) mod suspects;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value;
use tokio::time::sleep;
use tracing::warn;

use super::archive::stats;
use super::database::Sqlite;
use super::engine::database_file;
use super::engine::readers::Purpose;
use super::engine::transaction::Transaction;
use super::rows::interruptions;
use crate::clock;
use crate::event::{RecordKey, SourceName, State};
use crate::store::error::StoreError;
use crate::store::interruption::{DestinationWrite, Interruption};
use crate::store::queue::{
    Claim, ClaimRequest, ClaimedEvent, EarlierUpsert, Progress, Queue, Renewal,
};
use claimed::{Loaded, Unreadable};

/// Interval at which writes of other processes are noticed, such as of `events replay` beside the
/// server.
// It also bounds how long a removed log stays unnoticed while nothing is written, since each look
// of the writer checks the log first. What was answered 202 is on disk only in that log.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

#[async_trait]
impl Queue for Sqlite {
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<ClaimedEvent>, StoreError> {
        self.damage.check()?;
        // The writer only leases; payloads are read by a reader, so that webhooks wait less.
        let leases =
            self.writer.write(move |connection| leases::lease(connection, &request)).await?;
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let claims: Vec<Claim> = leases.iter().map(|lease| lease.claim).collect();
        let loaded = self
            .readers
            .read(Purpose::Delivery, move |connection| claimed::load(connection, &leases))
            .await;
        if loaded.is_err() {
            // Nobody works on these events. If this fails too, their leases end by themselves.
            let _ = self.writer.write(move |connection| leases::release(connection, &claims)).await;
        }
        Ok(settle_unreadable(self, loaded?).await)
    }

    async fn renew(
        &self,
        renewals: Vec<Renewal>,
        until: Timestamp,
    ) -> Result<Vec<Claim>, StoreError> {
        self.writer.write(move |connection| leases::renew(connection, &renewals, until)).await
    }

    async fn rewind(&self, sources: Vec<SourceName>, now: Timestamp) -> Result<(), StoreError> {
        self.damage.check()?;
        let sources = Arc::new(sources);
        loop {
            let shared = Arc::clone(&sources);
            let late = self.readers.read(Purpose::Delivery, move |connection| {
                rewind::find_future_waits(connection, &shared, now)
            });
            let rewind::FutureWaits { events, has_more, replays } = late.await?;
            for chunk in events.chunks(rewind::CHANGED_MAX) {
                let chunk = chunk.to_vec();
                let write = move |transaction: &Transaction<'_>| {
                    rewind::move_waits(transaction, &chunk, now)
                };
                self.writer.write(write).await?;
            }
            if !replays.is_empty() {
                let write = move |transaction: &Transaction<'_>| {
                    rewind::move_replays(transaction, &replays, now)
                };
                self.writer.write(write).await?;
            }
            if !has_more {
                return Ok(());
            }
        }
    }

    async fn load(&self, claim: Claim) -> Result<Option<ClaimedEvent>, StoreError> {
        let loaded = self
            .readers
            .read(Purpose::Delivery, move |connection| claimed::load_one(connection, claim))
            .await;
        Ok(settle_unreadable(self, loaded?).await.pop())
    }

    async fn earlier_upsert(
        &self,
        seq: u64,
        upsert: RecordKey,
        sources: Vec<SourceName>,
    ) -> Result<Option<EarlierUpsert>, StoreError> {
        self.readers
            .read(Purpose::Delivery, move |connection| {
                schedule::earlier_upsert(connection, (seq, upsert), &sources)
            })
            .await
    }

    async fn end_waits_behind(&self, now: Timestamp) -> Result<(), StoreError> {
        self.damage.check()?;
        let end = move |transaction: &Transaction<'_>| rewind::end_waits_behind(transaction, now);
        while self.writer.write(end).await? == rewind::CHANGED_MAX {}
        Ok(())
    }

    async fn end_retry_waits(
        &self,
        sources: Vec<SourceName>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.damage.check()?;
        let sources = Arc::new(sources);
        loop {
            let shared = Arc::clone(&sources);
            let find =
                move |connection: &Connection| rewind::find_retry_waits(connection, &shared, now);
            let found = self.readers.read(Purpose::Delivery, find).await?;
            let is_last = found.len() < rewind::FOUND_MAX;
            for chunk in found.chunks(rewind::CHANGED_MAX) {
                let chunk = chunk.to_vec();
                let end = move |transaction: &Transaction<'_>| {
                    rewind::end_retry_waits(transaction, &chunk, now)
                };
                self.writer.write(end).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn advance(&self, claim: Claim, progress: Progress) -> Result<(), StoreError> {
        self.writer.write(move |transaction| progress::advance(transaction, claim, &progress)).await
    }

    async fn mark(&self, claim: Claim) -> Result<(), StoreError> {
        self.writer.write(move |connection| suspects::mark(connection, claim)).await
    }

    async fn unmark(&self, claim: Claim) -> Result<(), StoreError> {
        self.writer.write(move |connection| suspects::unmark(connection, claim)).await
    }

    async fn release_all(&self) -> Result<(), StoreError> {
        self.writer.write(|connection| Ok(suspects::release_all(connection)?)).await
    }

    async fn next_due(&self, sources: Vec<SourceName>) -> Result<Option<Timestamp>, StoreError> {
        self.readers
            .read(Purpose::Delivery, move |connection| schedule::next_due(connection, &sources))
            .await
    }

    async fn wait_for_work(&self, seen: u64) -> u64 {
        let mut arrived = self.arrivals.subscribe();
        tokio::select! {
            count = arrived.wait_for(|count| *count != seen) => count.map_or(seen, |count| *count),
            never = poll_other_processes(self) => match never {},
        }
    }

    async fn count_queued(&self, sources: Vec<SourceName>) -> Result<u64, StoreError> {
        let counts = self.readers.read(Purpose::Delivery, stats::counts).await?;
        let own = counts.iter().filter(|it| it.state == State::Queued);
        Ok(own.filter(|it| sources.contains(&it.source)).map(|it| it.events).sum())
    }

    async fn read_state(&self, name: &str) -> Result<Option<Value>, StoreError> {
        let name = name.to_owned();
        self.readers
            .read(Purpose::Delivery, move |connection| destination_state::read(connection, &name))
            .await
    }

    async fn write_state(&self, name: &str, state: Value) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.writer
            .write(move |connection| destination_state::write(connection, &name, &state))
            .await
    }

    async fn recent_interruptions(
        &self,
        destination: &str,
        ended_since: Timestamp,
    ) -> Result<Vec<Interruption>, StoreError> {
        let destination = destination.to_owned();
        let read = move |connection: &Connection| {
            Ok(interruptions::recent(connection, &destination, ended_since)?)
        };
        self.readers.read(Purpose::Delivery, read).await
    }

    async fn write_destination(&self, write: DestinationWrite) -> Result<(), StoreError> {
        let write = move |connection: &Transaction<'_>| {
            destination_state::write(connection, &write.state_name, &write.state)?;
            Ok(interruptions::write(connection, &write)?)
        };
        self.writer.write(write).await
    }
}

/// Marks the unreadable events dead and returns the others. If that fails, the leases of the
/// unreadable ones end by themselves, and they are read again.
async fn settle_unreadable(
    store: &Sqlite,
    Loaded { claimed, unreadable }: Loaded,
) -> Vec<ClaimedEvent> {
    if !unreadable.is_empty() {
        let (now, dead) = (clock::now(), unreadable.clone());
        let bury =
            move |transaction: &Transaction<'_>| claimed::settle_as_dead(transaction, &dead, now);
        match store.writer.write(bury).await {
            Ok(()) => unreadable.iter().for_each(Unreadable::log),
            Err(error) => warn!(%error, "events that cannot be read stay as they are"),
        }
    }
    claimed
}

/// Counts an arrival whenever another process has written; never returns.
async fn poll_other_processes(store: &Sqlite) -> Infallible {
    loop {
        sleep(POLL_INTERVAL).await;
        // `data_version` changes with the commits of all connections but the one that asks. On a
        // reader's it would change with each commit of this process, and wake delivery.
        let look = store.writer.read(|connection| Ok(database_file::data_version(connection)?));
        if let Ok(written) = look.await
            && store.data_version.swap(written, Ordering::Relaxed) != written
        {
            store.notify_work();
        }
    }
}
