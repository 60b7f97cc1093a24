//! A source: how its webhooks are signed, decoded and answered, and which of its events are stored.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::handshake::HandshakeRule;
use super::payload::{BatchPath, BodyConfig};
use super::response_config::AcceptedResponse;
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
    /// Keys of the secrets that are set. Without any, the source is off.
    pub keys: Vec<Key>,
    /// Where each secret is found, such as `env:NAME`, by its position.
    pub secret_locations: Vec<String>,
    /// None: duplicates are not recognized.
    pub delivery_id: Option<ValueLookup>,
    pub event_type: Option<ValueLookup>,
    /// Members of the payload that these two read; none if they may read all of it. Intake parses no others.
    pub projection: Option<Vec<String>>,
    pub body_config: BodyConfig,
    /// None: a webhook is one event.
    pub batch_path: Option<BatchPath>,
    /// Event types that are never stored, such as pings.
    pub pings: Vec<String>,
    /// Event types to store; none for all.
    pub events: Option<Vec<TypePattern>>,
    pub handshakes: Vec<HandshakeRule>,
    /// Limit of webhooks in a time, if any.
    pub rate: Option<Rate>,
    /// Response to an accepted webhook; none for the relay's own.
    pub response: Option<AcceptedResponse>,
}

impl Source {
    /// Returns why it cannot work with this public URL, if that is so.
    pub(super) fn unusable(&self, public_url: Option<&str>) -> Option<&'static str> {
        // Behind a proxy the URL that the provider called cannot be rebuilt from `Host`: it differs
        // in scheme, port or path. Trello, Twilio, HubSpot and Square sign it.
        let lacks_url = self.signature.covers_url() && public_url.is_none();
        lacks_url.then_some("its provider signs the URL, set public_url")
    }

    /// Returns why the source accepts nothing at this time, if that is so.
    pub fn off_reason(&self, now: Timestamp) -> Option<&'static str> {
        if !self.signature.needs_secret() || self.keys.iter().any(|key| key.is_valid_at(now)) {
            return None;
        }
        Some(if self.keys.is_empty() { "no secret is set" } else { "every secret has ended" })
    }

    /// Returns why an event of this type is not stored, if that is so.
    pub fn ignored_reason(&self, event_type: Option<&str>) -> Option<String> {
        if let Some(ping) = self.pings.iter().find(|ping| Some(ping.as_str()) == event_type) {
            return Some(format!("`{ping}` is no event"));
        }
        let patterns = self.events.as_ref()?;
        match event_type {
            Some(name) if patterns.iter().any(|pattern| pattern.matches(name)) => None,
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
