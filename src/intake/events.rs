//! A verified body's events: each one's id and type, and whether it is one to keep.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::payload::{self, DecodeError, Decoded, Limits, ProjectionVisitor};
use super::request::ReceivedRequest;
use super::source::Source;
use crate::event::EventId;
use crate::parse_memory::{NoMemory, ParseMemory, Taken};
use crate::store::NewEvent;

/// Longer delivery ids are told apart by their hash.
const DELIVERY_ID_BYTES_MAX: usize = 256;

const TYPE_CHARS_MAX: usize = 128;

/// A form of this length takes 4 MiB at most.
const SMALL_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub struct ExtractedEvents {
    /// The body as JSON, where it came as something else.
    pub decoded: Option<String>,
    pub events: Vec<NewEvent>,
    /// Which of its texts are not what they are declared to be.
    pub notes: Vec<String>,
    /// Why the first of those that are not kept is not.
    pub ignored: Option<String>,
}

/// How long a webhook waits for memory: after that its sender is better off coming again.
const MEMORY_WAIT: Duration = Duration::from_secs(2);

/// Blocks where it has to wait for memory.
pub fn extract(
    source: &Source,
    received: &ReceivedRequest<'_>,
    limits: &Limits,
    memory: &Arc<ParseMemory>,
) -> Result<ExtractedEvents, DecodeError> {
    let headers = received.headers;
    let Decoded { text, notes } = {
        let weight = if is_small(received) {
            0
        } else {
            payload::decoding_weight(&source.packing, headers, limits)
        };
        let _memory = take(memory, weight)?;
        payload::decode(&source.packing, headers, received.body, limits)?
    };
    // A byte order mark before JSON is not part of its text.
    let skipped = match &text {
        Cow::Borrowed(text) => received.body.len() - text.len(),
        Cow::Owned(_) => 0,
    };
    let mut events = Vec::new();
    let mut ignored = None;
    for payload in payload::split(&text, source.each.as_ref())? {
        // Delivery parses all of it.
        payload::weight(&text[payload.clone()], limits)?;
        let members = ProjectionVisitor::find(&text[payload.clone()], source.members.as_deref())?;
        let _memory = take(memory, members.weight(limits)?)?;
        let value = members.parse()?;
        let event_type = source.event_type.as_ref().and_then(|find| find(&value, headers));
        let event_type = event_type.map(|name| name.chars().take(TYPE_CHARS_MAX).collect());
        if let Some(reason) = source.ignores(event_type.as_deref()) {
            ignored.get_or_insert(reason);
            continue;
        }
        let delivery_id = source.delivery_id.as_ref().and_then(|find| find(&value, headers));
        let delivery_id = delivery_id.filter(|id| !id.is_empty()).map(short);
        let payload = payload.start + skipped..payload.end + skipped;
        events.push(NewEvent { id: EventId::new(received.now), event_type, delivery_id, payload });
    }
    let decoded = match text {
        Cow::Borrowed(_) => None,
        Cow::Owned(text) => Some(text),
    };
    Ok(ExtractedEvents { decoded, events, notes, ignored })
}

/// Its values are few, whatever it is.
fn is_small(received: &ReceivedRequest<'_>) -> bool {
    received.body.len() <= SMALL_BYTES_MAX && !payload::is_encoded(received.headers)
}

fn take(memory: &Arc<ParseMemory>, weight: usize) -> Result<Taken, DecodeError> {
    memory.take_within(MEMORY_WAIT, weight).map_err(|NoMemory| DecodeError::NoMemory)
}

fn short(id: String) -> String {
    if id.len() <= DELIVERY_ID_BYTES_MAX {
        return id;
    }
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(id.as_bytes())))
}
