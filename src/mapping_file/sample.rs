//! Sample payloads, processed as webhooks but without signatures: for `[[test]]` and `try`.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable, as_text, wrong_type};
use crate::event::{Event, EventId, Headers};
use crate::intake::events::{ExtractedEvents, extract};
use crate::intake::payload::{self, DecodeError, PayloadLimits};
use crate::intake::request::ReceivedRequest;
use crate::intake::source::Source;
use crate::parse_memory::ParseMemory;

/// `[[test]]` of a mapping file. Paths are relative to the file.
#[derive(Debug, Clone)]
pub struct MappingTest {
    pub payload: SpannedText,
    pub headers: Headers,
    pub expect: SpannedText,
    pub place: Range<usize>,
}

#[derive(Debug, Clone)]
pub struct SamplePayload {
    /// By lower-case name.
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl SamplePayload {
    /// Returns the ending of a file with this payload.
    pub(crate) fn extension(&self) -> &'static str {
        let content_type = self.headers.get("content-type").map_or("", String::as_str);
        match content_type {
            it if it.starts_with("multipart/") => "multipart",
            it if it.contains("urlencoded") => "form",
            it if it.contains("xml") => "xml",
            _ => "json",
        }
    }
}

/// Events of a sample.
#[derive(Debug)]
pub struct SampleEvents {
    pub events: Vec<(Event, Arc<Value>)>,
    /// Notes from decoding.
    pub notes: Vec<String>,
    /// Reason why a part of it, or all, is ignored.
    pub ignored: Option<String>,
}

/// Extracts the events of a sample, as intake does.
pub(super) fn events(
    source: &Source,
    sample: &SamplePayload,
    limits: &PayloadLimits,
    now: Timestamp,
) -> Result<SampleEvents, DecodeError> {
    let received = ReceivedRequest { headers: &sample.headers, body: &sample.body, now };
    // A budget of its own: a preview takes no memory from the webhooks of a running relay.
    let memory = Arc::new(ParseMemory::new(limits.parsed_bytes_max));
    let extracted = extract(source, &received, limits, &memory)?;
    let ExtractedEvents { decoded, events, notes, ignored } = extracted;
    let text = decoded.unwrap_or_else(|| String::from_utf8_lossy(&sample.body).into_owned());
    let mut sample_events = SampleEvents { events: Vec::new(), notes, ignored };
    for new in events {
        let payload = text[new.payload].to_owned();
        let value = payload::parse(&payload)?;
        let event = Event {
            // Constant, like the time, so that a mapping always makes the same requests of a sample.
            id: EventId::from_bytes([0; 16]),
            source: source.name.clone(),
            event_type: new.event_type,
            delivery_id: new.delivery_id,
            received_at: Timestamp::UNIX_EPOCH,
            headers: sample.headers.clone(),
            payload,
        };
        sample_events.events.push((event, Arc::new(value)));
    }
    Ok(sample_events)
}

pub(crate) fn read(file: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Vec<MappingTest> {
    let tables = file.tables("test", mistakes);
    tables.into_iter().filter_map(|table| read_one(table, mistakes)).collect()
}

fn read_one(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<MappingTest> {
    let payload = table.required_text("payload", mistakes);
    let expect = table.required_text("expect", mistakes);
    let headers = table.table("headers", mistakes);
    let headers = headers.map(|headers| read_headers(&headers, mistakes)).unwrap_or_default();
    let place = table.place.clone();
    table.finish(mistakes);
    Some(MappingTest { payload: payload?, headers, expect: expect?, place })
}

fn read_headers(table: &TomlTable<'_>, mistakes: &mut Diagnostics) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in table.entries() {
        match as_text(table.document(), value) {
            Some(text) => drop(headers.insert(name.text.to_lowercase(), text.text)),
            None => mistakes.push(wrong_type(&name.text, value, "a text in quotes")),
        }
    }
    headers
}
