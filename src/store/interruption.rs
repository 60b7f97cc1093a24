//! Times in which nothing could be sent to a destination.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::event::SourceName;

/// Number of interruptions that are kept of a destination.
pub const INTERRUPTIONS_MAX: usize = 1_000;

/// For how long interruptions are kept that have ended.
pub const INTERRUPTIONS_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Why nothing could be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InterruptionKind {
    PausedByPerson,
    /// Savio refused the token or the address, or several requests in a row that it should accept.
    PausedByAnswer,
    NoToken,
    /// Savio asked to wait.
    Backoff,
    /// Requests failed several times in a row, and single ones were tried.
    Breaker,
}

impl InterruptionKind {
    pub(crate) const ALL: [InterruptionKind; 5] = [
        InterruptionKind::PausedByPerson,
        InterruptionKind::PausedByAnswer,
        InterruptionKind::NoToken,
        InterruptionKind::Backoff,
        InterruptionKind::Breaker,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            InterruptionKind::PausedByPerson => "paused_by_person",
            InterruptionKind::PausedByAnswer => "paused_by_answer",
            InterruptionKind::NoToken => "no_token",
            InterruptionKind::Backoff => "backoff",
            InterruptionKind::Breaker => "breaker",
        }
    }
}

/// A time in which nothing could be sent. Of a kind, one goes on at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interruption {
    pub kind: InterruptionKind,
    pub reason: String,
    pub began_at: Timestamp,
    /// None while it goes on. A backoff has the time at which it is to end.
    pub ended_at: Option<Timestamp>,
}

/// What becomes of the interruptions of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterruptionChange {
    Began(Interruption),
    /// The last one of the kind ends at another time than was written.
    EndsAt(InterruptionKind, Timestamp),
}

/// The state of a destination, with what it changes in the log of its interruptions.
#[derive(Debug, Clone)]
pub struct DestinationWrite {
    pub destination: String,
    /// Name under which the state is kept.
    pub state_name: String,
    pub state: Value,
    pub changes: Vec<InterruptionChange>,
    /// Those whose events are sent to it, for the number of events that wait.
    pub sources: Vec<SourceName>,
    pub now: Timestamp,
}

/// An interruption as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedInterruption {
    pub interruption: Interruption,
    /// Queued events when it ended; while it goes on, when it began; of a backoff, when it was last extended.
    pub waiting: u64,
}
