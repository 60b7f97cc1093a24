//! What intake needs of the store: a webhook is on disk before it is answered.

use std::ops::Range;

use async_trait::async_trait;
use jiff::Timestamp;

use super::error::StoreError;
use crate::event::{EventId, Headers, SourceName};

/// Stores webhooks.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Stores all new events of the webhook, or none of it.
    async fn store(&self, webhook: Webhook) -> Result<StoredEvents, StoreError>;

    /// Stores webhooks as received one after the other, all of them or none.
    async fn store_all(&self, webhooks: Vec<Webhook>) -> Result<Vec<StoredEvents>, StoreError>;

    /// Checks that a webhook would be stored now.
    async fn ready(&self) -> Result<(), StoreError>;
}

/// A verified webhook, as it was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    pub source: SourceName,
    pub received_at: Timestamp,
    /// Without secrets.
    pub headers: Headers,
    pub body: Vec<u8>,
    /// The body as JSON text, where it came as something else.
    pub decoded: Option<String>,
    /// What was noted when it was decoded.
    pub notes: Vec<String>,
    pub events: Vec<NewEvent>,
    pub origin: WebhookOrigin,
}

impl Webhook {
    pub(super) fn stored_bytes(&self) -> usize {
        self.body.len() + self.decoded.as_ref().map_or(0, String::len)
    }
}

/// How a webhook came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookOrigin {
    Sent,
    /// A person imported it, to be delivered from this time on.
    Imported {
        due_at: Timestamp,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    pub id: EventId,
    pub event_type: Option<String>,
    pub delivery_id: Option<String>,
    /// The bytes of `decoded`, else of `body`, that are this event's payload.
    pub payload: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvents {
    /// One id for each event of the webhook, in order; for a repeat the first one's.
    pub events: Vec<EventId>,
    /// The positions of those that were there before, in order.
    pub repeated: Vec<usize>,
}

impl StoredEvents {
    /// How many of them were not there before.
    pub fn new_events(&self) -> usize {
        self.events.len() - self.repeated.len()
    }
}
