//! `Maintenance` for SQLite: retention, recounts, steps of replays, and recovery after a crash.

mod recount;
pub(super) mod recovery;
mod retention;

use async_trait::async_trait;
use jiff::Timestamp;

use super::archive::replay;
use super::database::Sqlite;
use super::engine::readers::Purpose;
use super::engine::transaction::Transaction;
use crate::store::error::StoreError;
use crate::store::maintenance::{Maintenance, Purged};
use crate::store::replay::{ReplayId, ReplayProgress};

#[async_trait]
impl Maintenance for Sqlite {
    async fn open_replays(&self) -> Result<Vec<ReplayId>, StoreError> {
        self.readers.read(Purpose::Look, replay::open).await
    }

    async fn step_replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        // The search runs on a reader, however long it takes: on the writer all webhooks would
        // wait.
        let step = self
            .readers
            .read(Purpose::Look, move |connection| replay::next(connection, id))
            .await?;
        if let Some(step) = step {
            self.writer.write(move |transaction| replay::take(transaction, &step)).await?;
            self.arrive();
        }
        self.readers.read(Purpose::Look, move |connection| replay::look(connection, id)).await
    }

    async fn purge(&self, settled_before: Timestamp) -> Result<Purged, StoreError> {
        self.damage.check()?;
        self.writer.write(move |transaction| retention::forget(transaction, settled_before)).await
    }

    async fn recount(&self) -> Result<usize, StoreError> {
        self.damage.check()?;
        let drifts = self.readers.read(Purpose::Look, recount::drifts).await?;
        let count = drifts.len();
        if count > 0 {
            // The difference is added and not the count set: events changed state since it was
            // read.
            let mend = move |transaction: &Transaction<'_>| {
                recount::mend(transaction, &drifts);
                Ok(())
            };
            self.writer.write(mend).await?;
        }
        Ok(count)
    }
}
