//! A person's pause of a destination or of a source, which the relay itself never lifts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::Delivery;
use super::gate::{PausedBy, Signal};
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
    async fn open(&self, store: &dyn Queue) -> Result<(), StoreError> {
        let _saving = self.saving.lock().await;
        if self.paused().is_none() {
            let kept = read(store.read_state(SOURCES).await?)?;
            *self.paused() = Some(kept);
        }
        Ok(())
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

/// How the destination is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationStatus {
    pub paused_by: Option<PausedBy>,
    /// Why nothing goes to it now, if nothing does.
    pub reason: Option<String>,
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

impl Delivery {
    /// What is on its way is finished; then events wait, until `resume`.
    pub async fn pause(&self, now: Timestamp) -> Result<(), StoreError> {
        self.open(now).await?;
        self.porter.change_by_person(&*self.store, |gate| gate.stop("by a person", now)).await
    }

    /// Ends every pause, the relay's own too.
    pub async fn resume(&self, now: Timestamp) -> Result<(), StoreError> {
        self.open(now).await?;
        self.porter.change_by_person(&*self.store, |gate| gate.resume(now)).await
    }

    /// Webhooks are still taken; its events wait.
    pub async fn pause_source(&self, source: SourceName, now: Timestamp) -> Result<(), StoreError> {
        let pause = |paused: &mut PausedSince| {
            paused.entry(source).or_insert(now);
        };
        self.pauses.change(&*self.store, pause).await
    }

    pub async fn resume_source(&self, source: &SourceName) -> Result<(), StoreError> {
        let resume = |paused: &mut PausedSince| {
            paused.remove(source);
        };
        self.pauses.change(&*self.store, resume).await?;
        self.porter.turned.notify_one();
        Ok(())
    }

    /// Why no queued event of the source goes on, if none does.
    pub fn why_source_waits(&self, source: &SourceName) -> Option<String> {
        let state = (self.mappings().contains_key(source), self.pauses.is_paused(source));
        why_source_waits(source, state)
    }

    /// Why nothing goes to the destination now, if nothing does.
    pub fn why_closed(&self, now: Timestamp) -> Option<String> {
        let closed = self.porter.read(|gate| gate.closed(now))?;
        Some(format!("nothing is sent to {} now: {}", self.destination.name, closed.reason))
    }

    /// What an event in hand waits for: another event, by its place in the order of receipt.
    pub fn waits_for(&self, seq: u64) -> Option<String> {
        self.claims.waits_for(seq).map(|waits_for| waits_for.reason)
    }

    /// Of each source, how many events in hand wait for another event.
    pub fn waiting(&self) -> BTreeMap<SourceName, u64> {
        self.claims.waiting()
    }

    pub async fn standing(&self, now: Timestamp) -> Result<DestinationStatus, StoreError> {
        self.open(now).await?;
        Ok(self.porter.read(|gate| DestinationStatus {
            paused_by: gate.paused_by(),
            reason: gate.closed(now).map(|closed| closed.reason),
        }))
    }

    /// The sources that a person paused, and since when.
    pub async fn paused_sources(&self) -> Result<BTreeMap<SourceName, Timestamp>, StoreError> {
        self.pauses.of_sources(&*self.store).await
    }

    pub(super) async fn open(&self, now: Timestamp) -> Result<(), StoreError> {
        let missing = self.destination.client.as_ref().err().map(String::as_str);
        self.pauses.open(&*self.store).await?;
        if self.porter.open(&*self.store, missing, now).await?
            && let Err(reason) = self.permitted().await
        {
            self.porter.note(&*self.store, &Signal::Misconfigured { reason }, now).await;
        }
        Ok(())
    }
}
