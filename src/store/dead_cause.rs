//! Dead events by their cause.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::stopped_at::StoppedAt;
use crate::event::SourceName;

/// The dead events of a source that have one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadCause {
    pub source: SourceName,
    /// Tells causes apart; the same for each source.
    pub kind: String,
    /// Where they stopped.
    pub stage: Option<StoppedAt>,
    /// Savio's status, if it answered.
    pub status: Option<u16>,
    /// The reason without what differs between the events, and without what they quote.
    pub reason: String,
    /// Number of them, those included that wait for their replay.
    pub events: u64,
    /// When the last of them died.
    pub last_at: Timestamp,
}

/// Number of days for which dead events are counted one by one.
pub(super) const DAYS: usize = 30;

/// The dead events by cause, the most frequent first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadGroups {
    pub groups: Vec<DeadGroup>,
    /// Number of dead events of earlier versions that have no cause yet, up to 10,000: they get it in the background.
    pub without_cause: u64,
}

/// The dead events that have one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadGroup {
    /// Tells causes apart: the `reason_kind` of filters. It stays the same.
    pub kind: String,
    /// Where they stopped.
    #[schema(inline)]
    pub stage: Option<StoppedAt>,
    /// Savio's status, if it answered.
    pub status: Option<u16>,
    /// The reason of the last of them.
    pub reason: String,
    pub events: u64,
    pub sources: Vec<SourceName>,
    /// When the first of them died.
    pub first: Timestamp,
    /// When the last of them died.
    pub last: Timestamp,
    /// How many died on each of the last 30 days (UTC), oldest first.
    pub days: Vec<DeadDay>,
}

/// How many died on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadDay {
    /// Its beginning.
    pub at: Timestamp,
    pub events: u64,
}
