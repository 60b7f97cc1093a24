//! Who may send to the relay: how they prove themselves, and which of their events are wanted.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::handshake::HandshakeRule;
use super::payload::{BatchPath, BodyConfig};
use super::provider::AcceptedResponse;
use super::signature::{Key, Signature};
use crate::event::{Headers, SourceName, TypePattern};
use crate::rate::Rate;

/// Finds one text in an event: its delivery id, its type.
pub type ValueLookup = Arc<dyn Fn(&Value, &Headers) -> Option<String> + Send + Sync>;

#[derive(Clone)]
pub struct Source {
    pub name: SourceName,
    /// The built-in provider that it names.
    pub provider: Option<String>,
    pub signature: Signature,
    /// From the secrets that are set; without any, the source is off.
    pub keys: Vec<Key>,
    /// None: repeats are not known as such.
    pub delivery_id: Option<ValueLookup>,
    pub event_type: Option<ValueLookup>,
    /// The members of a payload that these two look at, so that no others are kept while it is taken
    /// in; none: they may look at all of it.
    pub projection: Option<Vec<String>>,
    pub body_config: BodyConfig,
    /// None: a webhook is one event.
    pub batch_path: Option<BatchPath>,
    /// Types of what is sent but is no event.
    pub pings: Vec<String>,
    /// None: every type is wanted.
    pub events: Option<Vec<TypePattern>>,
    pub handshakes: Vec<HandshakeRule>,
    /// How many webhooks it may send; none: as many as it likes.
    pub rate: Option<Rate>,
    /// None: the relay's own answer.
    pub answer: Option<AcceptedResponse>,
}

impl Source {
    /// Why nobody can send at this time, if so.
    pub fn off(&self, now: Timestamp) -> Option<&'static str> {
        if !self.signature.asks_for_secret() || self.keys.iter().any(|key| key.in_force(now)) {
            return None;
        }
        Some(if self.keys.is_empty() { "no secret is set" } else { "every secret has ended" })
    }

    /// Why an event of this type is not kept, if so.
    pub fn ignores(&self, event_type: Option<&str>) -> Option<String> {
        if let Some(ping) = self.pings.iter().find(|ping| Some(ping.as_str()) == event_type) {
            return Some(format!("`{ping}` is no event"));
        }
        let wanted = self.events.as_ref()?;
        match event_type {
            Some(name) if wanted.iter().any(|pattern| pattern.matches(name)) => None,
            Some(name) => Some(format!("`{name}` is not among the source's events")),
            None => Some("it has no type, and the source names its events".to_owned()),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Source")
            .field("name", &self.name)
            .field("provider", &self.provider)
            .field("signature", &self.signature)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// The value of a header, as a field of an event.
pub fn header_field(name: String) -> ValueLookup {
    Arc::new(move |_, headers| headers.get(&name).cloned())
}
