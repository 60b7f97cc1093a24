//! Pauses of sources, which only a person sets and ends.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::persisted_gate::{read, written};
use crate::event::{SourceName, WaitKind, WaitingFor};
use crate::store::{Queue, StoreError};

/// Name of the stored state.
const SOURCES: &str = "sources";

/// The paused sources, and when each was paused.
type PausedSince = BTreeMap<SourceName, Timestamp>;

/// The paused sources of all destinations.
// Shared by the destinations, since a reload may give a paused source another destination.
#[derive(Debug, Default)]
pub struct SourcePauses {
    /// None until the stored state is read.
    paused: Mutex<Option<PausedSince>>,
    /// Locked while the stored state is read or written, so that no change is lost to one that runs
    /// concurrently.
    saving: tokio::sync::Mutex<()>,
}

impl SourcePauses {
    /// Reads the stored state at the first call.
    pub(super) async fn open(&self, store: &dyn Queue) -> Result<(), StoreError> {
        let _saving = self.saving.lock().await;
        if self.paused().is_none() {
            let kept = read(store.read_state(SOURCES).await?)?;
            *self.paused() = Some(kept);
        }
        Ok(())
    }

    /// Pauses the source; if it is paused already, the earlier time stays.
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

    /// Applies a change once it is on disk. If the write fails, nothing has changed.
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

    /// Returns the paused sources with the time at which each was paused.
    pub async fn paused_sources(
        &self,
        store: &dyn Queue,
    ) -> Result<BTreeMap<SourceName, Timestamp>, StoreError> {
        self.open(store).await?;
        Ok(self.all())
    }

    pub(super) fn is_paused(&self, source: &SourceName) -> bool {
        self.paused().as_ref().is_some_and(|paused| paused.contains_key(source))
    }

    pub(super) fn all(&self) -> PausedSince {
        self.paused().clone().unwrap_or_default()
    }

    fn paused(&self) -> MutexGuard<'_, Option<PausedSince>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns why no queued event of a source is delivered; none if they are.
pub fn why_source_waits(
    source: &SourceName,
    (has_mapping, is_paused): (bool, bool),
) -> Option<WaitingFor> {
    if !has_mapping {
        let reason = format!("the source {source} has no mapping at present");
        return Some(WaitingFor::open_ended(WaitKind::NoMapping, reason));
    }
    let reason = || format!("a person paused the source {source}");
    is_paused.then(|| WaitingFor::open_ended(WaitKind::SourcePaused, reason()))
}
