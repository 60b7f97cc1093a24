//! A person's pause of the destination or of a source, which the relay itself never lifts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Delivery;
use super::gate::Gate;
use crate::event::SourceName;
use crate::store::StoreError;

/// How the destination is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub paused_by: Option<PausedBy>,
    /// Why nothing goes to it now, if nothing does.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PausedBy {
    Person,
    Answer,
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
        self.open(now).await?;
        self.porter.pause_source(&*self.store, source, now).await
    }

    pub async fn resume_source(
        &self,
        source: &SourceName,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.open(now).await?;
        self.porter.resume_source(&*self.store, source).await
    }

    pub async fn standing(&self, now: Timestamp) -> Result<Standing, StoreError> {
        self.open(now).await?;
        let by = |gate: &Gate| {
            if gate.is_paused_by_person() { PausedBy::Person } else { PausedBy::Answer }
        };
        Ok(self.porter.look(|gate| Standing {
            paused_by: gate.pause().map(|_| by(gate)),
            reason: gate.closed(now).map(|closed| closed.reason),
        }))
    }

    /// The sources that a person paused, and since when.
    pub async fn paused_sources(
        &self,
        now: Timestamp,
    ) -> Result<BTreeMap<SourceName, Timestamp>, StoreError> {
        self.open(now).await?;
        Ok(self.porter.paused_sources())
    }

    pub(super) async fn open(&self, now: Timestamp) -> Result<(), StoreError> {
        let missing = self.destination.client.as_ref().err().map(String::as_str);
        self.porter.open(&*self.store, missing, now).await
    }
}
