//! Upkeep of the database: retention, recounts, replays in steps, and what a process left that did not stop cleanly.

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
        // What is to be changed is looked for apart from the writer, however long that takes.
        let step = self
            .readers
            .read(Purpose::Look, move |connection| replay::next(connection, id))
            .await?;
        if let Some(step) = step {
            self.writer.write(move |writing| replay::take(writing, &step)).await?;
            self.arrive();
        }
        self.readers.read(Purpose::Look, move |connection| replay::look(connection, id)).await
    }

    async fn purge(&self, settled_before: Timestamp) -> Result<Purged, StoreError> {
        self.damage.check()?;
        self.writer.write(move |writing| retention::forget(writing, settled_before)).await
    }

    async fn recount(&self) -> Result<usize, StoreError> {
        let drifts = self.readers.read(Purpose::Look, recount::drifts).await?;
        let count = drifts.len();
        if count > 0 {
            let mend = move |writing: &Transaction<'_>| {
                recount::mend(writing, &drifts);
                Ok(())
            };
            self.writer.write(mend).await?;
        }
        Ok(count)
    }
}
