//! The words of the relay: what happened at a source, and what it becomes at Savio.

mod id;
mod record_key;
mod request;
mod storable;
mod validators;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use id::{
    DEFAULT_DESTINATION, EventId, InvalidSourceName, InvalidTypePattern, SourceName, TypePattern,
};
pub use record_key::{NameKind, RecordKey};
pub use request::{Outcome, Request, RequestKind};
pub use storable::{NUL, storable};
pub(crate) use validators::is_invisible;
pub use validators::{is_email, is_url};

/// A webhook's headers by lower-case name; repeated ones are joined with `, `.
pub type Headers = BTreeMap<String, String>;

/// One thing that happened at a source, as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: EventId,
    pub source: SourceName,
    /// What the provider calls this kind of event, such as `form_response`.
    pub event_type: Option<String>,
    /// What the provider gives to tell a delivery from its repeats.
    pub delivery_id: Option<String>,
    pub received_at: Timestamp,
    pub headers: Headers,
    /// JSON text: the event's part of the webhook's body.
    pub payload: String,
}

/// The header of an event that a person imported: when that was. No webhook can bring it.
pub const IMPORTED_HEADER: &str = "x-relay-imported";

impl Event {
    /// When a person imported it; none if it was sent.
    pub fn imported_at(&self) -> Option<&str> {
        self.headers.get(IMPORTED_HEADER).map(String::as_str)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Queued,
    Delivered,
    Ignored,
    Held,
    Dead,
}

impl State {
    pub const ALL: [State; 5] =
        [State::Queued, State::Delivered, State::Ignored, State::Held, State::Dead];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Delivered => "delivered",
            State::Ignored => "ignored",
            State::Held => "held",
            State::Dead => "dead",
        }
    }
}
