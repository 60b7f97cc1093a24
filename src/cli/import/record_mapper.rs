//! Converts a record to the webhook that its provider would have sent, and maps it.

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
use crate::mapping_file::file::{ExportColumns, ExportRecord, MappingFile};
use crate::parse_memory::ParseMemory;
use crate::store::{Arrival, NewEvent, Webhook, WebhookOrigin};

pub(super) struct RecordMapper<'c> {
    pub(super) file: &'c MappingFile,
    pub(super) source: &'c Source,
    pub(super) limits: PayloadLimits,
    pub(super) format: &'static str,
    pub(super) form: Option<Value>,
    pub(super) columns: Option<ExportColumns>,
    /// Headers from the command line.
    pub(super) headers: Headers,
    pub(super) duplicates: DuplicatePolicy,
    pub(super) now: Timestamp,
}

/// What to do with a record that was imported before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DuplicatePolicy {
    Skip,
    ImportAgain,
}

/// A converted and mapped record.
pub(super) struct MappedRecord {
    pub(super) webhook: Webhook,
    /// Requests of each of its events.
    pub(super) requests: Vec<Vec<Request>>,
    /// Fields that the mapping left out, and why.
    pub(super) notes: Vec<String>,
    /// Reason why some or all of it became no event.
    pub(super) ignored: Option<String>,
}

impl RecordMapper<'_> {
    /// Converts and maps a record, whose events are due at `due_at`; fails with the reason if it is
    /// invalid.
    pub(super) fn map_record(
        &self,
        record: &ImportRecord,
        due_at: Timestamp,
    ) -> Result<MappedRecord, String> {
        let exported = ExportRecord {
            record: &record.value,
            format: self.format,
            form: self.form.as_ref(),
            columns: self.columns.as_ref(),
        };
        let body = self.file.import.payload(exported).map_err(|error| error.to_string())?;
        let body = body.unwrap_or_else(|| record.text.clone()).into_bytes();
        let headers = self.headers();
        let received = ReceivedRequest { headers: &headers, body: &body, now: self.now };
        // Its own for each record, so that the limit is for one: they are mapped one after the
        // other.
        let memory = Arc::new(ParseMemory::new(self.limits.parsed_bytes_max));
        let extracted = extract(self.source, &received, &self.limits, &memory);
        let ExtractedEvents { decoded, events: all, notes: decoding_notes, mut ignored } =
            extracted.map_err(|error| error.to_string())?;
        let text = decoded.as_deref().map_or(body.as_slice(), str::as_bytes);
        let mut notes = decoding_notes.clone();
        let (mut events, mut requests) = (Vec::new(), Vec::new());
        for mut event in all {
            let mapped = self.map(&event, (text, &headers))?;
            notes.extend(mapped.notes);
            if mapped.requests.is_empty() {
                ignored.get_or_insert("the mapping makes no request from it".to_owned());
                continue;
            }
            event.delivery_id = self.delivery_id(event.delivery_id, record, &event.payload);
            events.push(event);
            requests.push(mapped.requests);
        }
        let origin = WebhookOrigin::Imported { due_at };
        let (source, received_at) = (self.source.name.clone(), self.now);
        let webhook = Webhook {
            source,
            received_at,
            headers,
            body,
            decoded,
            // Without those of the mapping, which delivery adds when it maps the event again.
            notes: decoding_notes,
            events,
            origin,
            arrival: Arrival::default(),
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

    /// Maps an event as delivery will.
    // Here as well, so that a record that cannot be mapped is shown with its line, and not only as
    // a dead event later.
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

    /// Returns the id by the provider's rule, or else the record's hash, so that a repeated import
    /// is recognised.
    fn delivery_id(
        &self,
        by_rule: Option<String>,
        record: &ImportRecord,
        payload: &Range<usize>,
    ) -> Option<String> {
        match (self.duplicates, by_rule) {
            (DuplicatePolicy::ImportAgain, _) => None,
            (DuplicatePolicy::Skip, Some(id)) => Some(id),
            (DuplicatePolicy::Skip, None) => {
                // Of the value and not of the text, in which white space may differ between two
                // exports.
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
