//! Webhooks that a person of the relay sends to test a source.

use uuid::Uuid;

use super::request::BufferedRequest;
use super::response::{Acknowledgement, Rejection};
use crate::event::{EventId, Headers};
use crate::store::{NewEvent, StoredEvents};

/// What came of a test webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestedWebhook {
    /// Status of the response to its sender.
    pub status: u16,
    /// What is, or would be, stored of it; none if it was refused or ignored.
    pub accepted: Option<TestedContent>,
    /// Events that were stored.
    pub events: Vec<EventId>,
    /// Reason why it was refused or ignored.
    pub reason: Option<String>,
    /// The probable cause of a wrong signature.
    pub hint: Option<String>,
}

/// What a mapping is given of a webhook: its headers and its body, without what proves who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestedContent {
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// Returns what its provider would be answered if it were stored, except for the ids.
pub(super) fn unstored(arrived: &BufferedRequest) -> Acknowledgement {
    let stored = StoredEvents { events: Vec::new(), repeated: Vec::new() };
    Acknowledgement::Accepted { stored, answer: arrived.target.source.response.clone() }
}

/// Returns the content of a webhook that was verified, and gives its events delivery ids of their own.
// With those of the payload, a second test would be a repeat of the first, and a webhook of the
// provider with the same id would be taken for a repeat of the test.
pub(super) fn marked(arrived: &BufferedRequest, events: &mut [NewEvent]) -> TestedContent {
    let test = Uuid::new_v4();
    for (number, event) in events.iter_mut().enumerate() {
        event.delivery_id = Some(format!("test:{test}:{number}"));
    }
    TestedContent { headers: arrived.headers.clone(), body: arrived.body.bytes.clone() }
}

pub(super) fn outcome(
    result: Result<Acknowledgement, Rejection>,
    content: Option<TestedContent>,
) -> TestedWebhook {
    match result {
        Ok(acknowledgement) => {
            let status = acknowledgement.status().as_u16();
            let (accepted, events, reason) = match acknowledgement {
                Acknowledgement::Accepted { stored, .. }
                | Acknowledgement::Duplicate { stored, .. } => (content, stored.events, None),
                Acknowledgement::Ignored { reason, .. } => (None, Vec::new(), Some(reason)),
                Acknowledgement::Handshake(_) => {
                    let reason = "it is a test of the address, which is answered and not stored";
                    (None, Vec::new(), Some(reason.to_owned()))
                }
            };
            TestedWebhook { status, accepted, events, reason, hint: None }
        }
        Err(rejection) => TestedWebhook {
            status: rejection.status().0.as_u16(),
            accepted: None,
            events: Vec::new(),
            reason: Some(rejection.reason()),
            hint: rejection.hint().map(str::to_owned),
        },
    }
}
