//! Dead events by their cause.

use jiff::Timestamp;

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
