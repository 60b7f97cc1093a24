//! State that all handlers of the admin API share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::error::ApiError;
use super::tokens::AdminTokens;
use crate::delivery::Delivery;
use crate::delivery::source_pauses::why_source_waits;
use crate::event::SourceName;
use crate::intake::Intake;
use crate::store::{EventSummary, Store};
use crate::telemetry::metrics::{Counters, Metrics};

/// The parts of the relay that the API shows and changes.
pub struct AdminState {
    pub tokens: Arc<AdminTokens>,
    pub store: Arc<dyn Store>,
    pub intake: Arc<Intake>,
    pub metrics: Metrics,
    /// The counters in `metrics`.
    pub counters: Counters,
    pub destinations: BTreeMap<String, DestinationHandle>,
    /// URL to which `/hooks/NAME` is appended.
    pub url: String,
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

    /// Returns why no queued event of the source is delivered; none if they are.
    pub(super) fn why_source_waits(&self, source: &SourceName, now: Timestamp) -> Option<String> {
        match self.destination_of(source) {
            Some((_, to)) => {
                to.delivery.why_source_waits(source).or_else(|| to.delivery.why_closed(now))
            }
            None => why_source_waits(source, (false, false)),
        }
    }

    /// Returns what a queued event waits for, if that differs from the reason in the store.
    // The store has the reason of the event's last step. Pauses and other events may have become
    // the reason since, and are written to the store later or not at all.
    pub(super) fn why_waits(&self, event: &EventSummary, now: Timestamp) -> Option<String> {
        let due_at = event.due_at?;
        let Some((_, to)) = self.destination_of(&event.source) else {
            return why_source_waits(&event.source, (false, false));
        };
        let delivery = &to.delivery;
        delivery
            .why_source_waits(&event.source)
            .or_else(|| delivery.waits_for(event.seq))
            .or_else(|| delivery.why_closed(now).filter(|_| due_at <= now))
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
