//! What people and the API need of the store: events to look at, and the actions on them.

use async_trait::async_trait;
use jiff::Timestamp;

use super::error::StoreError;
use super::filter::{EventFilter, EventPage, EventSummary, MatchCount, PageRequest};
use super::planned_request::PlannedRequest;
use super::queue::Attempt;
use super::replay::{HoldDecision, ReleaseOutcome, ReplayId, ReplayProgress, ReplayRequest};
use crate::event::{Event, EventId, SourceName, State};

/// Shows events, replays and releases them.
#[async_trait]
pub trait Archive: Send + Sync {
    async fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError>;

    /// The whole webhook that the event came in, as received.
    async fn body(&self, id: EventId) -> Result<Option<Vec<u8>>, StoreError>;

    /// How many events each source has in each state in which it has any.
    async fn counts(&self) -> Result<Vec<StateCount>, StoreError>;

    /// Of each source in which there are any, how many queued events wait for another event, as far as it was noted.
    async fn waiting(&self) -> Result<Vec<Waiting>, StoreError>;

    /// Of each source with queued events, when the one that waits longest was received.
    async fn oldest(&self) -> Result<Vec<(SourceName, Timestamp)>, StoreError>;

    /// Events that match, newest first. A page holds at most 500.
    async fn list(&self, filter: EventFilter, page: PageRequest) -> Result<EventPage, StoreError>;

    async fn matching(&self, filter: EventFilter) -> Result<MatchCount, StoreError>;

    /// Writes the order down; `carry_out` does what it says.
    async fn start_replay(&self, order: ReplayRequest) -> Result<(), StoreError>;

    /// From now on its steps give back what was not begun yet: it becomes again what it was.
    async fn cancel_replay(&self, id: ReplayId, now: Timestamp) -> Result<(), StoreError>;

    async fn replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError>;

    /// Ends what is held, by a person's word.
    async fn release(
        &self,
        id: EventId,
        word: HoldDecision,
        now: Timestamp,
    ) -> Result<ReleaseOutcome, StoreError>;
}

/// All that is known of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// The event's place in the order of receipt.
    pub seq: u64,
    pub event: Event,
    pub state: State,
    pub reason: Option<String>,
    pub due_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    pub requests: Vec<PlannedRequest>,
    pub attempts: Vec<Attempt>,
    /// What was noted when its webhook was decoded, and then of its requests.
    pub notes: Vec<String>,
    /// The names of fields that were left out of its requests since Savio would not take their values.
    pub left_out: Vec<String>,
}

impl EventRecord {
    /// The event as it is in a list.
    pub fn summary(&self) -> EventSummary {
        EventSummary {
            seq: self.seq,
            id: self.event.id,
            source: self.event.source.clone(),
            event_type: self.event.event_type.clone(),
            delivery_id: self.event.delivery_id.clone(),
            state: self.state,
            reason: self.reason.clone(),
            received_at: self.event.received_at,
            attempts: u64::try_from(self.attempts.len()).unwrap_or(u64::MAX),
            left_out: self.left_out.clone(),
            due_at: self.due_at,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCount {
    pub source: SourceName,
    pub state: State,
    pub events: u64,
}

/// How many events of a source wait for another event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub source: SourceName,
    /// Those that are in somebody's hands meanwhile.
    pub claimed: u64,
    pub unclaimed: u64,
}
