//! Replays of events and releases of held ones.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::Actor;
use super::filter::EventFilter;
use crate::event::{EventId, State};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(transparent)]
pub struct ReplayId(Uuid);

impl ReplayId {
    /// Makes a new id; two made at the same `now` differ.
    pub fn new(now: Timestamp) -> ReplayId {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        ReplayId(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0)))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> ReplayId {
        ReplayId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for ReplayId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl FromStr for ReplayId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<ReplayId, uuid::Error> {
        text.parse().map(ReplayId)
    }
}

/// A request to send settled and held events again, oldest first. Events that are received after it
/// are not replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRequest {
    pub id: ReplayId,
    pub filter: EventFilter,
    /// Time between the due times of two events; zero makes all due at once.
    pub interval: Duration,
    pub begun_at: Timestamp,
}

/// Progress of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    pub id: ReplayId,
    pub begun_at: Timestamp,
    /// Events found so far, including those that were queued already.
    pub matched: u64,
    pub replayed: u64,
    /// Replayed events that were not started yet.
    pub waiting: u64,
    /// Events that a cancellation restored.
    pub given_back: u64,
    pub canceled_at: Option<Timestamp>,
    /// Whether `step_replay` has more to do.
    pub has_more: bool,
}

/// A person's decision about a request that was sent and got no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldDecision {
    /// The request is in Savio.
    AlreadyArrived,
    /// The request is to be sent again.
    SendAgain,
}

/// A request to end the hold of an event by a person's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRequest {
    pub id: EventId,
    pub decision: HoldDecision,
    pub at: Timestamp,
    pub by: Actor,
}

/// Result of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// The event is queued again.
    Queued,
    /// The held request was its last one.
    Delivered,
    /// Nothing was changed: the event is not held.
    NotHeld(State),
    NotFound,
}
