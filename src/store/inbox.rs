//! The store's side for intake: a webhook is on disk before it is answered.

use std::collections::BTreeMap;
use std::ops::Range;

use async_trait::async_trait;
use jiff::Timestamp;

use super::arrival::Arrival;
use super::error::StoreError;
use super::half_hour::HalfHour;
use super::rejection::RejectionBatch;
use crate::event::{EventId, Headers, SourceName};

/// Stores webhooks.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Stores all events of the webhook that are new, or nothing.
    async fn store(&self, webhook: Webhook) -> Result<StoredEvents, StoreError>;

    /// Stores webhooks as if they were received one after the other, all of them or none.
    async fn store_all(&self, webhooks: Vec<Webhook>) -> Result<Vec<StoredEvents>, StoreError>;

    /// Counts verified webhooks of these sources and half hours that carried nothing to store.
    async fn count_webhooks(
        &self,
        webhooks: BTreeMap<(SourceName, HalfHour), u64>,
    ) -> Result<(), StoreError>;

    /// Writes what was rejected, in one commit. The same batch counts once, however often it is written,
    /// until another one is.
    async fn write_rejections(&self, batch: RejectionBatch) -> Result<(), StoreError>;

    /// Checks that a webhook would be stored now.
    async fn ready(&self) -> Result<(), StoreError>;
}

/// A verified webhook, as it was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    pub source: SourceName,
    pub received_at: Timestamp,
    /// Headers without secrets.
    pub headers: Headers,
    pub body: Vec<u8>,
    /// The body as JSON text, if it was received in another format.
    pub decoded: Option<String>,
    /// Notes from decoding the body.
    pub notes: Vec<String>,
    pub events: Vec<NewEvent>,
    pub origin: WebhookOrigin,
    /// How it arrived. The store completes the time of the answer.
    pub arrival: Arrival,
}

impl Webhook {
    /// Returns the bytes of the body and of what it was decoded to.
    pub(super) fn stored_bytes(&self) -> usize {
        self.body.len() + self.decoded.as_ref().map_or(0, String::len)
    }
}

/// The way in which a webhook arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookOrigin {
    Sent,
    /// Made by a person of the relay: a test, or an edited copy of an event. It is no sign that the sender
    /// sends.
    Made,
    /// Imported by a person, to be delivered from this time on.
    Imported {
        due_at: Timestamp,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    pub id: EventId,
    pub event_type: Option<String>,
    pub delivery_id: Option<String>,
    /// Byte range of this event's payload in `decoded`, or in `body` if there is none.
    pub payload: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvents {
    /// One id for each event of the webhook, in order. A repeat has the id of the first delivery.
    pub events: Vec<EventId>,
    /// Positions of the events that had been stored before, in order.
    pub repeated: Vec<usize>,
}

impl StoredEvents {
    /// Returns how many of the events are new.
    pub fn new_events(&self) -> usize {
        self.events.len() - self.repeated.len()
    }
}
