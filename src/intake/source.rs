//! Who may send to the relay: how they prove themselves, and which of their events are wanted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use serde_json::Value;

use super::handshake::HandshakeRule;
use super::payload::{BatchPath, BodyConfig};
use super::provider::AcceptedResponse;
use super::setup::PendingSetup;
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
    pub members: Option<Vec<String>>,
    pub packing: BodyConfig,
    /// None: a webhook is one event.
    pub each: Option<BatchPath>,
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

#[derive(Debug, Clone)]
pub enum SourceStatus {
    Live(Arc<Source>),
    /// Nobody can send yet: its provider brings the secret.
    AwaitingSecret(Arc<PendingSetup>),
    /// Known, but nobody can send, such as when its mapping file is bad.
    Off {
        reason: String,
    },
}

pub type Sources = BTreeMap<SourceName, SourceStatus>;

/// The sources of the moment, replaced as a whole.
#[derive(Debug, Default)]
pub struct Registry(RwLock<Arc<Sources>>);

impl Registry {
    pub fn new(sources: Sources) -> Registry {
        Registry(RwLock::new(Arc::new(sources)))
    }

    pub fn current(&self) -> Arc<Sources> {
        // What a panic may have left behind is an `Arc` that is there or not, never half of one.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The source that was awaited has these keys from now on, and is live.
    pub fn go_live(&self, source: &Source) {
        self.update(|old| {
            let mut sources = old.clone();
            // Its mapping file may have changed since: a source that is off stays off, and its secret is
            // found on disk once the file is right again.
            if let Some(SourceStatus::AwaitingSecret(setup)) = old.get(&source.name) {
                let live = Source { keys: source.keys.clone(), ..Source::clone(&setup.source) };
                sources.insert(source.name.clone(), SourceStatus::Live(Arc::new(live)));
            }
            sources
        });
    }

    /// Replaces the sources by what becomes of them, and returns both. `change` runs again if somebody else
    /// changed them meanwhile, so that no change is lost; no lock is held while it runs.
    pub fn update(&self, change: impl Fn(&Sources) -> Sources) -> (Arc<Sources>, Arc<Sources>) {
        loop {
            let old = self.current();
            let new = Arc::new(change(&old));
            let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current, &old) {
                *current = Arc::clone(&new);
                return (old, new);
            }
        }
    }
}
