//! Webhooks that a person of the relay sends to test a source.

use uuid::Uuid;

use super::response::{Acknowledgement, Rejection};
use crate::event::EventId;
use crate::store::NewEvent;

/// What came of a test webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestedWebhook {
    /// Status of the response to its sender.
    pub status: u16,
    /// Whether its events are, or would be, stored.
    pub is_accepted: bool,
    /// Events that were stored.
    pub events: Vec<EventId>,
    /// Reason why it was refused or ignored.
    pub reason: Option<String>,
    /// The probable cause of a wrong signature.
    pub hint: Option<String>,
}

/// Gives the events delivery ids of their own.
// With those of the payload, a second test would be a repeat of the first, and a webhook of the
// provider with the same id would be taken for a repeat of the test.
pub(super) fn mark(events: &mut [NewEvent]) {
    let test = Uuid::new_v4();
    for (number, event) in events.iter_mut().enumerate() {
        event.delivery_id = Some(format!("test:{test}:{number}"));
    }
}

pub(super) fn outcome(result: Result<Acknowledgement, Rejection>) -> TestedWebhook {
    match result {
        Ok(acknowledgement) => {
            let status = acknowledgement.status().as_u16();
            let (is_accepted, events, reason) = match acknowledgement {
                Acknowledgement::Accepted { stored, .. }
                | Acknowledgement::Duplicate { stored, .. } => (true, stored.events, None),
                Acknowledgement::Ignored { reason, .. } => (false, Vec::new(), Some(reason)),
                Acknowledgement::Handshake(_) => {
                    let reason = "it is a test of the address, which is answered and not stored";
                    (false, Vec::new(), Some(reason.to_owned()))
                }
            };
            TestedWebhook { status, is_accepted, events, reason, hint: None }
        }
        Err(rejection) => TestedWebhook {
            status: rejection.status().0.as_u16(),
            is_accepted: false,
            events: Vec::new(),
            reason: Some(rejection.reason()),
            hint: rejection.hint().map(str::to_owned),
        },
    }
}
