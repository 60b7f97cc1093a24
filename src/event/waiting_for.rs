//! What a queued event waits for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What keeps a queued event from being sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingFor {
    pub kind: WaitKind,
    /// Explanation for people.
    pub reason: String,
    /// Time at which it may be sent, as far as that is known; null if something has to happen first.
    pub until: Option<Timestamp>,
}

/// Kind of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    /// Its source has no mapping at present.
    NoMapping,
    /// A person paused its source.
    SourcePaused,
    /// A person paused the destination.
    PausedByPerson,
    /// The destination is paused by what Savio answered.
    PausedByAnswer,
    /// The destination has no token.
    NoToken,
    /// Savio cannot be reached, failed, or asked to wait.
    Backoff,
    /// The rate of the destination.
    Rate,
    /// Another event of the same record.
    OtherEvent,
    /// Its own next try.
    NextTry,
}

impl WaitKind {
    pub fn as_str(self) -> &'static str {
        match self {
            WaitKind::NoMapping => "no_mapping",
            WaitKind::SourcePaused => "source_paused",
            WaitKind::PausedByPerson => "paused_by_person",
            WaitKind::PausedByAnswer => "paused_by_answer",
            WaitKind::NoToken => "no_token",
            WaitKind::Backoff => "backoff",
            WaitKind::Rate => "rate",
            WaitKind::OtherEvent => "other_event",
            WaitKind::NextTry => "next_try",
        }
    }
}

impl WaitingFor {
    /// A wait that ends when something happens, and at no known time.
    pub fn open_ended(kind: WaitKind, reason: String) -> WaitingFor {
        WaitingFor { kind, reason, until: None }
    }
}
