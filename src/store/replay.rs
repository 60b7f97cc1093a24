//! Sending again what a person chose, and ending what is held.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::filter::EventFilter;
use crate::event::State;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(transparent)]
pub struct ReplayId(Uuid);

impl ReplayId {
    /// Two ids made at one `now` differ.
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

/// What a person ordered: to send again the settled and held events of the filter that are there at
/// that moment, from the oldest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRequest {
    pub id: ReplayId,
    pub filter: EventFilter,
    /// Between the due times of two events; zero: all at once.
    pub every: Duration,
    pub begun_at: Timestamp,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    pub id: ReplayId,
    pub begun_at: Timestamp,
    /// Found so far, those that were queued already included.
    pub matched: u64,
    pub replayed: u64,
    /// Those of them that were not begun yet.
    pub waiting: u64,
    /// Those that are again what they were, since it was canceled.
    pub given_back: u64,
    pub canceled_at: Option<Timestamp>,
    /// Whether `step_replay` has more to do.
    pub has_steps: bool,
}

/// What a person says of a request that was sent and got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldDecision {
    /// Savio has it.
    AlreadyArrived,
    /// It is to be sent again.
    SendAgain,
}

/// What a person's word did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// The event goes on.
    Queued,
    /// That was its last request.
    Delivered,
    /// Nothing: only what is held can be released.
    NotHeld(State),
    NotFound,
}
