//! Copies: a new event with the payload of another one, as a person edited it.

use super::audit::Actor;
use super::inbox::Webhook;
use crate::event::EventId;

/// A request to store an edited copy of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyRequest {
    pub original: EventId,
    /// The copy, with one event.
    pub webhook: Webhook,
    pub by: Actor,
}

/// Result of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyOutcome {
    /// It is stored with this id.
    Stored(EventId),
    /// Nothing was stored: the original is erased.
    Erased,
    NotFound,
}
