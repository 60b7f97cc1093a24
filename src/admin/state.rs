//! State that all handlers of the admin API share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::auth::AdminToken;
use super::error::ApiError;
use crate::delivery::Delivery;
use crate::delivery::source_pauses::why_source_waits;
use crate::event::SourceName;
use crate::intake::Intake;
use crate::store::{EventSummary, Store};
use crate::telemetry::metrics::Metrics;

/// What there is to look into.
pub struct AdminState {
    pub token: AdminToken,
    pub store: Arc<dyn Store>,
    pub door: Arc<Intake>,
    pub metrics: Metrics,
    pub destinations: BTreeMap<String, DestinationHandle>,
    /// What `/hooks/NAME` is appended to.
    pub url: String,
    /// Wakes what goes on with replays.
    pub replay_ordered: Arc<Notify>,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Inside")
            .field("destinations", &self.destinations)
            .finish_non_exhaustive()
    }
}

impl AdminState {
    pub(super) fn destination(&self, name: &str) -> Result<&DestinationHandle, ApiError> {
        let unknown = || ApiError::NotFound(format!("there is no destination {name}"));
        self.destinations.get(name).ok_or_else(unknown)
    }

    /// Where the events of a source go, as long as it has a mapping.
    pub(super) fn destination_of(
        &self,
        source: &SourceName,
    ) -> Option<(&String, &DestinationHandle)> {
        self.destinations.iter().find(|(_, to)| to.delivery.sources().contains(source))
    }

    /// Why no queued event of the source goes on, if none does.
    pub(super) fn why_source_waits(&self, source: &SourceName, now: Timestamp) -> Option<String> {
        match self.destination_of(source) {
            Some((_, to)) => {
                to.delivery.why_source_waits(source).or_else(|| to.delivery.why_closed(now))
            }
            None => why_source_waits(source, (false, false)),
        }
    }

    /// What a queued event waits for, as far as the store does not have it, or not yet.
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

    /// The name of a source that there is.
    pub(super) fn source(&self, name: &str) -> Result<SourceName, ApiError> {
        let known = name.parse().ok().filter(|it| self.door.sources.current().contains_key(it));
        known.ok_or_else(|| ApiError::NotFound(format!("there is no source {name}")))
    }
}

#[derive(Debug)]
pub struct DestinationHandle {
    pub base_url: String,
    pub delivery: Arc<Delivery>,
}
