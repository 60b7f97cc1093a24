//! Turns a record into the webhook that it would have come as, and says what becomes of it.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::record::ImportRecord;
use crate::event::{Event, Headers, IMPORTED_HEADER, Request};
use crate::intake::events::{ExtractedEvents, extract};
use crate::intake::payload::{self, PayloadLimits};
use crate::intake::request::ReceivedRequest;
use crate::intake::source::Source;
use crate::mapping::MappedRequests;
use crate::mapping_file::file::{ExportRecord, MappingFile};
use crate::parse_memory::ParseMemory;
use crate::store::{NewEvent, Webhook, WebhookOrigin};

pub(super) struct RecordMapper<'c> {
    pub(super) file: &'c MappingFile,
    pub(super) source: &'c Source,
    pub(super) limits: PayloadLimits,
    pub(super) format: &'static str,
    pub(super) form: Option<Value>,
    /// Those that a person gave.
    pub(super) headers: Headers,
    pub(super) repeats: DuplicatePolicy,
    pub(super) now: Timestamp,
}

/// What becomes of a record that was imported before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DuplicatePolicy {
    Skipped,
    TakenAgain,
}

/// What a record came to.
pub(super) struct MappedRecord {
    pub(super) webhook: Webhook,
    pub(super) requests: Vec<Request>,
    /// What the mapping left out, and why.
    pub(super) notes: Vec<String>,
    /// Why a part or all of it is no event.
    pub(super) ignored: Option<String>,
}

impl RecordMapper<'_> {
    /// Takes one record, to be delivered from `due_at` on; else says what is wrong with it.
    pub(super) fn take(
        &self,
        record: &ImportRecord,
        due_at: Timestamp,
    ) -> Result<MappedRecord, String> {
        let form = self.form.as_ref();
        let exported = ExportRecord { record: &record.value, format: self.format, form };
        let body = self.file.import.payload(exported).map_err(|error| error.to_string())?;
        let body = body.unwrap_or_else(|| record.text.clone()).into_bytes();
        let headers = self.headers();
        let received = ReceivedRequest { headers: &headers, body: &body, now: self.now };
        let memory = Arc::new(ParseMemory::new(self.limits.parsed_bytes_max));
        let unpacked = extract(self.source, &received, &self.limits, &memory);
        let ExtractedEvents { decoded, events, notes: decoding_notes, mut ignored } =
            unpacked.map_err(|error| error.to_string())?;
        let text = decoded.as_deref().map_or(body.as_slice(), str::as_bytes);
        let (mut kept, mut requests, mut notes) = (Vec::new(), Vec::new(), decoding_notes.clone());
        for mut event in events {
            let made = self.map(&event, (text, &headers))?;
            notes.extend(made.notes);
            if made.requests.is_empty() {
                ignored.get_or_insert("the mapping makes no request of it".to_owned());
                continue;
            }
            event.delivery_id = self.delivery_id(event.delivery_id, record, &event.payload);
            kept.push(event);
            requests.extend(made.requests);
        }
        let origin = WebhookOrigin::Imported { due_at };
        let (source, received_at) = (self.source.name.clone(), self.now);
        let (events, notes_of_it) = (kept, decoding_notes);
        let webhook = Webhook {
            source,
            received_at,
            headers,
            body,
            decoded,
            notes: notes_of_it,
            events,
            origin,
        };
        Ok(MappedRecord { webhook, requests, notes, ignored })
    }

    fn headers(&self) -> Headers {
        let mut headers = self.headers.clone();
        headers.entry("content-type".to_owned()).or_insert("application/json".to_owned());
        let imported_at = format!("{:.0}", self.now);
        headers.insert(IMPORTED_HEADER.to_owned(), imported_at);
        headers
    }

    /// What delivery will make of the event: a record that comes to nothing is shown with its line,
    /// while its file is at hand.
    fn map(
        &self,
        event: &NewEvent,
        (text, headers): (&[u8], &Headers),
    ) -> Result<MappedRequests, String> {
        let payload = text.get(event.payload.clone()).unwrap_or_default();
        let payload = String::from_utf8_lossy(payload).into_owned();
        let value = payload::parse(&payload).map_err(|error| error.to_string())?;
        let event = Event {
            id: event.id,
            source: self.source.name.clone(),
            event_type: event.event_type.clone(),
            delivery_id: event.delivery_id.clone(),
            received_at: self.now,
            headers: headers.clone(),
            payload,
        };
        self.file.mapping.apply(&event, &Arc::new(value)).map_err(|error| error.to_string())
    }

    /// By the provider's rule; else the record's hash, so that it is known when it comes again.
    fn delivery_id(
        &self,
        by_rule: Option<String>,
        record: &ImportRecord,
        payload: &Range<usize>,
    ) -> Option<String> {
        match (self.repeats, by_rule) {
            (DuplicatePolicy::TakenAgain, _) => None,
            (DuplicatePolicy::Skipped, Some(id)) => Some(id),
            (DuplicatePolicy::Skipped, None) => {
                let hash = Sha256::digest(record.value.to_string());
                let hash = data_encoding::HEXLOWER.encode(&hash);
                Some(match payload.start {
                    0 => format!("import:{hash}"),
                    start => format!("import:{hash}:{start}"),
                })
            }
        }
    }
}
