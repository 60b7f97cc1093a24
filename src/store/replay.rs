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
    /// What became of the replayed events; none if an earlier program has queued some of them.
    pub results: Option<ReplayResults>,
}

/// Numbers of events of a replay by what became of them. With those that a cancellation restored, their sum is
/// the number of replayed events.
// An event counts for the replay that queued it last, until it settles: what a later replay makes of it is
// counted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayResults {
    pub delivered: u64,
    pub dead: u64,
    pub ignored: u64,
    /// Those that wait for a person's decision.
    pub held: u64,
    /// Those that are still to be delivered.
    pub queued: u64,
}

impl ReplayProgress {
    /// Returns whether there is still anything to find, to restore or to deliver.
    pub fn is_running(&self) -> bool {
        self.has_more || self.waiting > 0 || self.results.is_some_and(|results| results.queued > 0)
    }
}

/// A replay in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedReplay {
    pub progress: ReplayProgress,
    /// Who started it, and which events it selects, as the audit says it; none for an earlier program's.
    pub by: Option<String>,
    pub which: Option<String>,
}

/// A page of replays: those that run, then those that have ended, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayPage {
    pub replays: Vec<ListedReplay>,
    /// Where the next page begins; none at the end.
    pub next: Option<ReplayCursor>,
}

/// A position in the list of replays. Its text is the `next` of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayCursor {
    /// Whether it is among those that run.
    pub is_running: bool,
    pub number: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the `next` of a page")]
pub struct InvalidReplayCursor;

impl fmt::Display for ReplayCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", u8::from(!self.is_running), self.number)
    }
}

impl FromStr for ReplayCursor {
    type Err = InvalidReplayCursor;

    fn from_str(text: &str) -> Result<ReplayCursor, InvalidReplayCursor> {
        let (part, number) = text.split_once('-').ok_or(InvalidReplayCursor)?;
        let is_running = match part {
            "0" => true,
            "1" => false,
            _ => return Err(InvalidReplayCursor),
        };
        let number = number.parse().ok().filter(|it| *it >= 0).ok_or(InvalidReplayCursor)?;
        Ok(ReplayCursor { is_running, number })
    }
}

impl Serialize for ReplayCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_of_replays_survives_a_round_trip() {
        for cursor in [(true, 7), (false, 0)] {
            let cursor = ReplayCursor { is_running: cursor.0, number: cursor.1 };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in ["", "7", "0-", "2-7", "0-a", "0--7", "1-9223372036854775808"] {
            assert_eq!(bad.parse::<ReplayCursor>(), Err(InvalidReplayCursor), "{bad}");
        }
    }
}
