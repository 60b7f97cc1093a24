//! Erasure: what events say is forgotten, and their lines stay.

use jiff::Timestamp;

use super::audit::Actor;
use super::email_address::EmailAddress;
use crate::event::{EventId, State};

/// A request to erase what events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureRequest {
    pub ids: Vec<EventId>,
    /// The person for whom it is done, if any. Delivery ids and types that hold the address go too.
    pub person: Option<EmailAddress>,
    pub at: Timestamp,
    pub by: Actor,
}

/// Result of an erasure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erasure {
    /// One result for each id, in order.
    pub outcomes: Vec<(EventId, ErasureOutcome)>,
    /// Whether the write-ahead log was emptied, which holds old bytes otherwise.
    pub log_emptied: bool,
}

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureOutcome {
    Erased,
    /// It was erased before, at this time; nothing was changed.
    ErasedBefore(Timestamp),
    /// Nothing was changed: it is queued or held, so that it may yet be sent.
    NotSettled(State),
    NotFound,
}

/// Part of a search for the events that name a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mentions {
    pub events: Vec<(EventId, State)>,
    /// Where the search continues; none at the end.
    pub next: Option<u64>,
}
