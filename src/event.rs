//! The words of the relay: what happened at a source, and what it becomes at Savio.

mod name;
mod storable;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

pub use name::{NameKind, RecordKey};
pub use storable::{NUL, storable};

/// The name of a source: its mapping file's name and the last part of its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,63}$")]
pub struct SourceName(String);

impl SourceName {
    pub const LENGTH_MAX: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a source's name has 1 to 64 of a-z, 0-9, - and _, and begins with a letter or digit")]
pub struct InvalidSourceName;

impl FromStr for SourceName {
    type Err = InvalidSourceName;

    fn from_str(name: &str) -> Result<SourceName, InvalidSourceName> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = name.len() <= SourceName::LENGTH_MAX
            && name.starts_with(plain)
            && name.chars().all(|c| plain(c) || c == '-' || c == '_');
        if fits { Ok(SourceName(name.to_owned())) } else { Err(InvalidSourceName) }
    }
}

impl TryFrom<String> for SourceName {
    type Error = InvalidSourceName;

    fn try_from(name: String) -> Result<SourceName, InvalidSourceName> {
        name.parse()
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where the events of a source go that names no destination.
pub const DEFAULT_DESTINATION: &str = "default";

/// Ids sort by the time at which they were made.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// Two ids made at one `now` differ.
    pub fn new(now: Timestamp) -> EventId {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanoseconds = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanoseconds);
        EventId(Uuid::new_v7(time))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> EventId {
        EventId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<EventId, uuid::Error> {
        text.parse().map(EventId)
    }
}

/// Which types of events are meant: one, or with `issues.*` all that begin with `issues.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePattern(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event type stands as it is, or with `.*` for all that begin alike, as \"issues.*\"")]
pub struct InvalidTypePattern;

impl TypePattern {
    pub fn matches(&self, event_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => event_type.starts_with(beginning),
            None => event_type == self.0,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypePattern {
    type Err = InvalidTypePattern;

    fn from_str(pattern: &str) -> Result<TypePattern, InvalidTypePattern> {
        let beginning = pattern.strip_suffix(".*").unwrap_or(pattern);
        let fits = !beginning.is_empty() && !beginning.contains('*');
        if fits { Ok(TypePattern(pattern.to_owned())) } else { Err(InvalidTypePattern) }
    }
}

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

/// What a request makes at Savio, in the order in which the requests of one event go out.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    Company,
    Contact,
    Feedback,
}

impl RequestKind {
    pub fn as_str(self) -> &'static str {
        match self {
            RequestKind::Company => "company",
            RequestKind::Contact => "contact",
            RequestKind::Feedback => "feedback",
        }
    }
}

/// One call to Savio: `{"request":"feedback","body":{...}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(rename = "request")]
    pub kind: RequestKind,
    #[schema(value_type = Object)]
    pub body: Map<String, Value>,
}

impl Request {
    pub fn leave_out(&mut self, fields: &[String]) {
        for field in fields {
            self.body.shift_remove(field);
        }
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        members_bytes(&self.body)
    }
}

fn members_bytes(members: &Map<String, Value>) -> usize {
    members.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(members) => members_bytes(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

/// What came of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Savio has it.
    Done,
    /// Savio will not take it, now or later.
    Refused,
    /// The destination is wrong as a whole; it was paused.
    Paused,
    /// Savio said: later.
    Retry,
    /// It was surely not sent.
    Unreachable,
    /// It was sent, and no answer came.
    Unanswered,
    /// The process ended during the send.
    Interrupted,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Paused => "paused",
            Outcome::Retry => "retry",
            Outcome::Unreachable => "unreachable",
            Outcome::Unanswered => "unanswered",
            Outcome::Interrupted => "interrupted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_name_fits_a_file_and_an_address() {
        for good in ["typeform", "form-2", "a_b", "9lives"] {
            assert_eq!(good.parse::<SourceName>().unwrap().as_str(), good);
        }
        for bad in ["", "Form", "-a", "a/b", "..", "a b", &"a".repeat(65)] {
            assert_eq!(bad.parse::<SourceName>(), Err(InvalidSourceName), "{bad}");
        }
    }

    #[test]
    fn a_type_pattern_is_exact_or_a_beginning() {
        let matches =
            |pattern: &str, event_type| pattern.parse::<TypePattern>().unwrap().matches(event_type);

        assert!(matches("issues.*", "issues.opened") && matches("push", "push"));
        assert!(!matches("issues.*", "issues") && !matches("push", "push.x"));
        for bad in ["", "*", ".*", "is*ues", "issues*"] {
            assert_eq!(bad.parse::<TypePattern>(), Err(InvalidTypePattern), "{bad}");
        }
    }

    #[test]
    fn event_ids_sort_by_time() {
        let early = EventId::new(Timestamp::from_second(1_000).unwrap());
        let late = EventId::new(Timestamp::from_second(2_000).unwrap());

        assert!(early < late);
        assert_eq!(early.to_string().parse::<EventId>().unwrap(), early);
    }
}
