//! The types that all parts share: an event at a source, and the requests to Savio that it becomes.

mod filled_block;
mod id;
mod mapping_digest;
mod record_key;
mod request;
mod storable;
mod validators;
mod waiting_for;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use filled_block::{FieldSet, FilledBlock};
pub use id::{
    DEFAULT_DESTINATION, EventId, IdPrefix, InvalidIdPrefix, InvalidSourceName, InvalidTypePattern,
    SourceName, TypePattern,
};
pub use mapping_digest::{DigestPrefix, InvalidDigestPrefix, InvalidMappingDigest, MappingDigest};
pub use record_key::{KeyKind, RecordKey};
pub use request::{Outcome, Request, RequestKind};
pub use storable::{NUL, storable};
pub(crate) use validators::is_invisible;
pub use validators::{is_email, is_url};
pub use waiting_for::{WaitKind, WaitingFor};

/// Headers of a webhook by lower-case name. Repeated ones are joined with `, ` (RFC 9110, 5.3).
pub type Headers = BTreeMap<String, String>;

/// One thing that happened at a source, as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: EventId,
    pub source: SourceName,
    /// The provider's name for this kind of event, such as `form_response`.
    pub event_type: Option<String>,
    /// The provider's id of this delivery, which its repeats have too.
    pub delivery_id: Option<String>,
    pub received_at: Timestamp,
    pub headers: Headers,
    /// JSON text: the event's part of the webhook's body.
    pub payload: String,
}

/// Header of an imported event, with the time of the import. Intake never takes it from a webhook.
pub const IMPORTED_HEADER: &str = "x-relay-imported";

impl Event {
    /// Returns the time at which it was imported; none if it was received as a webhook.
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
