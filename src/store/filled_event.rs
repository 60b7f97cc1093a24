//! Mapped events of a source's sender, by the fields that they have.

use std::ops::Range;

use jiff::Timestamp;

use crate::event::{EventId, FilledBlock, SourceName};

/// Number of events of a type of which is known which fields they have.
pub const FILLED_EVENTS_MAX: usize = 500;

/// A mapped event of the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilledEvent {
    pub id: EventId,
    pub event_type: Option<String>,
    pub received_at: Timestamp,
    /// The blocks that ran.
    pub blocks: Vec<FilledBlock>,
}

/// A field of a block, and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSearch {
    pub source: SourceName,
    pub event_type: Option<String>,
    /// See `FilledBlock::block`.
    pub block: String,
    /// Of the field.
    pub position: usize,
    /// In their order, the end not included.
    pub times: Vec<Range<Timestamp>>,
    /// Number of events at which to stop.
    pub events_max: u64,
}

/// What is stored of a field in some times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldUse {
    /// Events that were received in these times and have it.
    pub events: u64,
    /// Whether events of the block from before the first time are stored.
    pub is_known: bool,
}
