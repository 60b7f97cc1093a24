//! State that all handlers of the admin API share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::caller_slots::CallerSlots;
use super::error::ApiError;
use super::health_checks::HealthChecks;
use super::logins::Logins;
use super::mapping_changes::{ChangeMade, FileChange, MappingChanges};
use super::record::record;
use super::streams::Streams;
use super::text_checks::TextChecks;
use crate::alerts::Alerts;
use crate::comparison::ComparisonThreads;
use crate::delivery::source_pauses::why_source_waits;
use crate::delivery::waits::{Obstacles, waiting_for};
use crate::delivery::{Delivery, MappingInService};
use crate::event::{EventId, SourceName, WaitingFor};
use crate::intake::Intake;
use crate::issues::Board;
use crate::mapping_file::secrets_folder::SecretsFolder;
use crate::mapping_file::served::{FilesInService, digest};
use crate::secret::SecretsInUse;
use crate::store::{EventRecord, EventSummary, NewAuditEntry, Store};
use crate::telemetry::metrics::{Counters, Metrics};

/// The parts of the relay that the API shows and changes.
pub struct AdminState {
    pub logins: Arc<Logins>,
    /// The secrets that the relay uses, to be compared.
    pub secrets: Arc<SecretsInUse>,
    pub store: Arc<dyn Store>,
    pub issues: Arc<Board>,
    pub alerts: Arc<Alerts>,
    pub intake: Arc<Intake>,
    /// Where secrets are kept that the API sets.
    pub secrets_folder: SecretsFolder,
    /// Lets one text be checked at a time, which may take seconds.
    pub checks: TextChecks,
    pub health: HealthChecks,
    /// The mapping files in service.
    pub files: Arc<FilesInService>,
    pub changes: MappingChanges,
    pub metrics: Metrics,
    /// The counters in `metrics`.
    pub counters: Counters,
    pub destinations: BTreeMap<String, DestinationHandle>,
    /// URL to which `/hooks/NAME` is appended.
    pub url: String,
    pub comparisons: ComparisonThreads,
    pub caller_slots: CallerSlots,
    pub streams: Streams,
    /// Time for which an event is kept after it settled.
    pub retention: Duration,
    /// Wakes the task that continues replays.
    pub replay_ordered: Arc<Notify>,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AdminState")
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}

impl AdminState {
    pub(super) fn destination(&self, name: &str) -> Result<&DestinationHandle, ApiError> {
        let unknown = || ApiError::NotFound(format!("there is no destination {name}"));
        self.destinations.get(name).ok_or_else(unknown)
    }

    /// Returns the destination of a source's events; none without a mapping.
    pub(super) fn destination_of(
        &self,
        source: &SourceName,
    ) -> Option<(&String, &DestinationHandle)> {
        self.destinations.iter().find(|(_, to)| to.delivery.sources().contains(source))
    }

    /// Returns the mapping of a source; none if it has none.
    pub(super) fn mapping_of(&self, source: &SourceName) -> Option<MappingInService> {
        self.destinations.values().find_map(|to| to.delivery.mapping(source))
    }

    /// Returns why no queued event of the source is delivered; none if they are.
    pub(super) fn why_source_waits(
        &self,
        source: &SourceName,
        now: Timestamp,
    ) -> Option<WaitingFor> {
        match self.destination_of(source) {
            Some((_, to)) => {
                to.delivery.why_source_waits(source).or_else(|| to.delivery.why_closed(now))
            }
            None => why_source_waits(source, (false, false)),
        }
    }

    /// Completes an event of a list by what it waits for.
    // The store has the reason of the event's last step. Pauses and other events may have become
    // the reason since, and are written to the store later or not at all.
    pub(super) fn complete(&self, event: &mut EventSummary, now: Timestamp) {
        let obstacles = match self.destination_of(&event.source) {
            Some((_, to)) => Obstacles {
                source: to.delivery.why_source_waits(&event.source),
                other_event: to.delivery.waits_for(event.seq),
                destination: to.delivery.why_closed(now),
            },
            None => Obstacles {
                source: why_source_waits(&event.source, (false, false)),
                ..Obstacles::default()
            },
        };
        event.set_waiting_for(waiting_for(event, obstacles, now));
    }

    /// Reads an event, to be mapped; fails if there is none, or if its payload was erased.
    pub(super) async fn event_with_payload(&self, id: EventId) -> Result<EventRecord, ApiError> {
        let unknown = || ApiError::NotFound(format!("there is no event {id}"));
        let record = self.store.event(id).await?.ok_or_else(unknown)?;
        if record.erased_at.is_some() {
            return Err(ApiError::NotFound(format!("event {id} is erased")));
        }
        Ok(record)
    }

    /// Records an action that has been done.
    pub(super) async fn record(&self, entry: NewAuditEntry) {
        record(&*self.store, entry).await;
    }

    /// Has a change of the mapping files made, and returns once they are in service. The audit names the text
    /// that is written, so that the history of mappings finds who wrote it.
    pub(super) async fn change_files(
        &self,
        change: FileChange,
        entry: NewAuditEntry,
    ) -> Result<ChangeMade, ApiError> {
        let entry = match &change {
            FileChange::Write { text, .. } => {
                NewAuditEntry { digest_after: Some(digest(text.as_bytes())), ..entry }
            }
            FileChange::Remove { .. } | FileChange::Secret { .. } => entry,
        };
        Ok(self.changes.make(change, entry).await??)
    }

    /// Parses the name of a source; fails if there is no such source.
    pub(super) fn source(&self, name: &str) -> Result<SourceName, ApiError> {
        let known = name.parse().ok().filter(|it| self.intake.sources.current().contains_key(it));
        known.ok_or_else(|| ApiError::NotFound(format!("there is no source {name}")))
    }
}

#[derive(Debug)]
pub struct DestinationHandle {
    pub base_url: String,
    pub delivery: Arc<Delivery>,
}
