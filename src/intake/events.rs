//! Events of a verified body: their ids and types, and which of them are stored.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::payload::{self, DecodeError, Decoded, PayloadLimits, Projection};
use super::request::ReceivedRequest;
use super::source::Source;
use crate::event::EventId;
use crate::parse_memory::{MemoryPermit, NoMemory, ParseMemory};
use crate::store::NewEvent;

/// Longer delivery ids are stored as their SHA-256.
const DELIVERY_ID_BYTES_MAX: usize = 256;

const TYPE_CHARS_MAX: usize = 128;

/// Size of a body for which no memory is reserved while it is decoded.
// A form of this length takes 4 MiB at most. With a reservation for the worst case, which is 64
// MiB, only two of them could be decoded at the same time.
const SMALL_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug)]
pub struct ExtractedEvents {
    /// The body as JSON; none if it was JSON already.
    pub decoded: Option<String>,
    pub events: Vec<NewEvent>,
    /// Texts of the body that are not in their declared encoding.
    pub notes: Vec<String>,
    /// Reason for which the first event that is not stored was ignored.
    pub ignored: Option<String>,
}

/// Longest wait for memory.
// Providers such as Slack, Discord and Zoom give up after 3 s: a 503 before that is at least
// retried.
const MEMORY_WAIT: Duration = Duration::from_secs(2);

/// Decodes the body and splits it into events. Blocks while it waits for memory.
pub fn extract(
    source: &Source,
    received: &ReceivedRequest<'_>,
    limits: &PayloadLimits,
    memory: &Arc<ParseMemory>,
) -> Result<ExtractedEvents, DecodeError> {
    let headers = received.headers;
    // Memory is reserved in bytes, not by the number of webhooks: parsed JSON takes 1 to 160 times
    // the length of its text (see `parsed_bytes`), so any number is too large for some webhooks or too
    // small.
    let Decoded { text, notes } = {
        let weight = if is_small(received) {
            0
        } else {
            payload::decoding_weight(&source.body_config, headers, limits)
        };
        let _memory = take(memory, weight)?;
        payload::decode(&source.body_config, headers, received.body, limits)?
    };
    // Positions count from the start of the stored body, which keeps its byte order mark.
    let skipped = match &text {
        Cow::Borrowed(text) => received.body.len() - text.len(),
        Cow::Owned(_) => 0,
    };
    let mut events = Vec::new();
    let mut ignored = None;
    for payload in payload::split(&text, source.batch_path.as_ref())? {
        // The whole payload is weighed, although only some members are parsed here: delivery parses
        // all of it, and an event that is too heavy for that must not be accepted.
        payload::check_weight(&text[payload.clone()], limits)?;
        let members = Projection::find(&text[payload.clone()], source.projection.as_deref())?;
        // Released for each payload: a batch takes no more memory than its largest event.
        let _memory = take(memory, members.bytes_to_reserve())?;
        let value = members.parse()?;
        let event_type = source.event_type.as_ref().and_then(|find| find(&value, headers));
        let event_type = event_type.map(|name| name.chars().take(TYPE_CHARS_MAX).collect());
        if let Some(reason) = source.ignored_reason(event_type.as_deref()) {
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

fn is_small(received: &ReceivedRequest<'_>) -> bool {
    // A compressed body of this size may hold megabytes.
    received.body.len() <= SMALL_BYTES_MAX && !payload::is_encoded(received.headers)
}

fn take(memory: &Arc<ParseMemory>, weight: usize) -> Result<MemoryPermit, DecodeError> {
    memory.acquire_within(MEMORY_WAIT, weight).map_err(|NoMemory| DecodeError::NoMemory)
}

fn short(id: String) -> String {
    // The id is part of an index, and its length is the sender's choice. A hash keeps ids distinct
    // that a cut would make equal.
    if id.len() <= DELIVERY_ID_BYTES_MAX {
        return id;
    }
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(id.as_bytes())))
}
