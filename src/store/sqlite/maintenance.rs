//! `Maintenance` for SQLite: retention, recounts, steps of replays, and recovery after a crash.

mod bundled;
mod causes;
mod recount;
pub(super) mod recovery;
pub(super) mod restored;
mod retention;

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

use super::archive::{replay, replay_list};
use super::database::Sqlite;
use super::engine::readers::Purpose;
use super::mapping_versions;
use super::monitoring::{issues, rejections};
use super::operations::{audit, sessions};
use crate::store::error::StoreError;
use crate::store::maintenance::{Maintenance, Purged, Recounted};
use crate::store::mapping_version::MappingTexts;
use crate::store::replay::{ReplayId, ReplayProgress};

#[async_trait]
impl Maintenance for Sqlite {
    async fn open_replays(&self) -> Result<Vec<ReplayId>, StoreError> {
        self.readers.read(Purpose::Lookup, replay::unfinished).await
    }

    async fn step_replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        // The search runs on a reader, however long it takes: on the writer all webhooks would
        // wait.
        let step = self
            .readers
            .read(Purpose::Lookup, move |connection| replay::next_step(connection, id))
            .await?;
        if let Some(step) = step {
            self.writer.write(move |transaction| replay::apply_step(transaction, &step)).await?;
            self.notify_work();
        }
        self.readers
            .read(Purpose::Lookup, move |connection| replay_list::progress(connection, id))
            .await
    }

    async fn purge(&self, settled_before: Timestamp) -> Result<Purged, StoreError> {
        self.damage.check()?;
        self.writer.write(move |transaction| retention::purge(transaction, settled_before)).await
    }

    async fn purge_sessions(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.damage.check()?;
        self.writer.write(move |transaction| sessions::purge(transaction, now)).await
    }

    async fn purge_audit(&self, before: Timestamp) -> Result<bool, StoreError> {
        self.damage.check()?;
        let look = move |connection: &Connection| Ok(audit::has_expired(connection, before)?);
        // Without a commit each minute for nothing.
        if !self.readers.read(Purpose::Lookup, look).await? {
            return Ok(false);
        }
        self.writer.write(move |transaction| Ok(audit::purge(transaction, before)?)).await
    }

    async fn purge_issues(&self, closed_before: Timestamp) -> Result<bool, StoreError> {
        self.damage.check()?;
        let look =
            move |connection: &Connection| Ok(issues::has_expired(connection, closed_before)?);
        // Without a commit each minute for nothing.
        if !self.readers.read(Purpose::Lookup, look).await? {
            return Ok(false);
        }
        self.writer
            .write(move |transaction| Ok(issues::purge(transaction, closed_before)?))
            .await?;
        Ok(true)
    }

    async fn purge_rejections(&self, before: Timestamp) -> Result<bool, StoreError> {
        self.damage.check()?;
        let look = move |connection: &Connection| Ok(rejections::has_expired(connection, before)?);
        // Without a commit each minute for nothing.
        if !self.readers.read(Purpose::Lookup, look).await? {
            return Ok(false);
        }
        self.writer.write(move |transaction| Ok(rejections::purge(transaction, before)?)).await?;
        Ok(true)
    }

    async fn assign_causes(&self) -> Result<bool, StoreError> {
        self.damage.check()?;
        let events = self.readers.read(Purpose::Lookup, causes::without_cause).await?;
        // Without a commit each minute for nothing.
        if events.is_empty() {
            return Ok(false);
        }
        self.reserve.admit(0, 0)?;
        self.writer.write(move |transaction| causes::assign(transaction, &events)).await?;
        Ok(true)
    }

    async fn prune_causes(&self) -> Result<(), StoreError> {
        self.damage.check()?;
        let unused = self.readers.read(Purpose::Lookup, causes::unused).await?;
        if unused.is_empty() {
            return Ok(());
        }
        self.writer.write(move |transaction| causes::remove(transaction, &unused)).await
    }

    async fn recount(&self) -> Result<Recounted, StoreError> {
        self.damage.check()?;
        let recounted = recount::recount(&self.readers, &self.writer).await;
        // Also after a failure, which is logged: the counts are right unless there is a bug.
        self.is_recounted.store(true, Ordering::Release);
        recounted
    }

    async fn purge_half_hours(&self, before: Timestamp) -> Result<bool, StoreError> {
        self.damage.check()?;
        let look = move |connection: &Connection| {
            Ok(retention::has_expired_half_hours(connection, before)?)
        };
        // Without a commit each minute for nothing.
        if !self.readers.read(Purpose::Lookup, look).await? {
            return Ok(false);
        }
        self.writer
            .write(move |transaction| Ok(retention::purge_half_hours(transaction, before)?))
            .await
    }

    async fn remember_bundled(&self, names: Vec<String>) -> Result<Vec<String>, StoreError> {
        self.damage.check()?;
        let unknown = move |connection: &Connection| bundled::unknown(connection, names);
        let unknown = self.readers.read(Purpose::Lookup, unknown).await?;
        // Without a commit at each start of the same program.
        if unknown.names.is_empty() {
            return Ok(Vec::new());
        }
        let names = unknown.names.clone();
        self.writer.write(move |transaction| bundled::remember(transaction, &names)).await?;
        Ok(if unknown.is_upgrade { unknown.names } else { Vec::new() })
    }

    async fn put_in_service(&self, texts: MappingTexts) -> Result<(), StoreError> {
        self.damage.check()?;
        let unrecorded =
            move |connection: &Connection| mapping_versions::unrecorded(connection, texts);
        let new = self.readers.read(Purpose::Lookup, unrecorded).await?;
        // Without a commit at each start with the same files.
        if new.is_empty() {
            return Ok(());
        }
        self.writer
            .write(move |transaction| mapping_versions::put_in_service(transaction, &new))
            .await
    }

    async fn prune_mapping_versions(&self) -> Result<bool, StoreError> {
        self.damage.check()?;
        let unused = self.readers.read(Purpose::Lookup, mapping_versions::unused).await?;
        if unused.is_empty() {
            return Ok(false);
        }
        self.writer
            .write(move |transaction| mapping_versions::remove(transaction, &unused))
            .await?;
        Ok(true)
    }
}
