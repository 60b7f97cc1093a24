//! A verified body's events: each one's id and type, and whether it is one to keep.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::payload::{self, DecodeError, Decoded, PayloadLimits, ProjectionVisitor};
use super::request::ReceivedRequest;
use super::source::Source;
use crate::event::EventId;
use crate::parse_memory::{NoMemory, ParseMemory, Taken};
use crate::store::NewEvent;

/// Longer delivery ids are told apart by their hash.
const DELIVERY_ID_BYTES_MAX: usize = 256;

const TYPE_CHARS_MAX: usize = 128;

/// A form of this length takes 4 MiB at most: its values are few, whatever it is. Reserving for each of them what a
/// large form takes would let two be decoded at a time.
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
    limits: &PayloadLimits,
    memory: &Arc<ParseMemory>,
) -> Result<ExtractedEvents, DecodeError> {
    let headers = received.headers;
    // Memory is reserved in bytes, not by the number of webhooks: what JSON takes once it is parsed is 1 to 140 times
    // its text (see `weigh`), so any number of webhooks is too many of one kind or too few of another.
    let Decoded { text, notes } = {
        let weight = if is_small(received) {
            0
        } else {
            payload::decoding_weight(&source.body_config, headers, limits)
        };
        let _memory = take(memory, weight)?;
        payload::decode(&source.body_config, headers, received.body, limits)?
    };
    // A byte order mark before JSON is not part of its text.
    let skipped = match &text {
        Cow::Borrowed(text) => received.body.len() - text.len(),
        Cow::Owned(_) => 0,
    };
    let mut events = Vec::new();
    let mut ignored = None;
    for payload in payload::split(&text, source.batch_path.as_ref())? {
        // Of the whole payload, although only members are parsed here: delivery parses all of it, and an event that is
        // too heavy for it must not be accepted.
        payload::weight(&text[payload.clone()], limits)?;
        let members =
            ProjectionVisitor::find(&text[payload.clone()], source.projection.as_deref())?;
        // For one payload at a time: a batch of many takes no more memory than its largest.
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
