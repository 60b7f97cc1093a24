//! A person's pause of a destination or of a source, which the relay itself never lifts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::persisted_gate::{read, written};
use crate::event::SourceName;
use crate::store::{Queue, StoreError};

/// Under which name the store keeps them.
const SOURCES: &str = "sources";

/// Since when a person wants the source to wait.
type PausedSince = BTreeMap<SourceName, Timestamp>;

/// The sources that a person paused: one for all destinations of a store, since a source may be given
/// another destination meanwhile.
#[derive(Debug, Default)]
pub struct SourcePauses {
    /// None: not read yet.
    paused: Mutex<Option<PausedSince>>,
    /// Locked while they are read or written.
    saving: tokio::sync::Mutex<()>,
}

impl SourcePauses {
    /// Reads what was kept before, once.
    pub(super) async fn open(&self, store: &dyn Queue) -> Result<(), StoreError> {
        let _saving = self.saving.lock().await;
        if self.paused().is_none() {
            let kept = read(store.read_state(SOURCES).await?)?;
            *self.paused() = Some(kept);
        }
        Ok(())
    }

    /// Webhooks of the source are still taken; its events wait.
    pub(super) async fn pause(
        &self,
        store: &dyn Queue,
        source: SourceName,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let pause = |paused: &mut PausedSince| {
            paused.entry(source).or_insert(now);
        };
        self.change(store, pause).await
    }

    pub(super) async fn resume(
        &self,
        store: &dyn Queue,
        source: &SourceName,
    ) -> Result<(), StoreError> {
        let resume = |paused: &mut PausedSince| {
            paused.remove(source);
        };
        self.change(store, resume).await
    }

    /// A pause counts once it is on disk, and so does its end.
    async fn change(
        &self,
        store: &dyn Queue,
        change: impl FnOnce(&mut PausedSince),
    ) -> Result<(), StoreError> {
        self.open(store).await?;
        let _saving = self.saving.lock().await;
        let mut paused = self.all();
        change(&mut paused);
        store.write_state(SOURCES, written(&paused)).await?;
        *self.paused() = Some(paused);
        Ok(())
    }

    /// The sources that a person paused, and since when.
    pub async fn of_sources(
        &self,
        store: &dyn Queue,
    ) -> Result<BTreeMap<SourceName, Timestamp>, StoreError> {
        self.open(store).await?;
        Ok(self.all())
    }

    pub(super) fn is_paused(&self, source: &SourceName) -> bool {
        self.paused().as_ref().is_some_and(|paused| paused.contains_key(source))
    }

    fn all(&self) -> PausedSince {
        self.paused().clone().unwrap_or_default()
    }

    fn paused(&self) -> MutexGuard<'_, Option<PausedSince>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why no queued event of a source goes on, if none does.
pub fn why_source_waits(
    source: &SourceName,
    (has_mapping, is_paused): (bool, bool),
) -> Option<String> {
    if !has_mapping {
        return Some(format!("the source {source} has no mapping at present"));
    }
    is_paused.then(|| format!("a person paused the source {source}"))
}
