//! Reads events with their requests and attempts.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::arrivals::StoredArrival;
use super::columns::{EnumColumn, EventIdColumn, JsonColumn, SourceColumn, TimeColumn, time_of};
use super::expressions::{MAY_REPEAT, STAGE};
use super::{headlines, previous_state};
use crate::event::{Event, EventId, Request, SourceName, State};
use crate::store::archive::{EventPayload, EventRecord};
use crate::store::arrival::Arrival;
use crate::store::headline::Headline;
use crate::store::planned_request::PlannedRequest;
use crate::store::queue::{Attempt, Claim, ClaimedEvent, Suspect};
use crate::store::sqlite::engine::error::{SqliteError, is_unreadable_row};
use crate::store::sqlite::mapping_versions::version_of;
use crate::store::stopped_at::StoppedAt;

// The first seven columns are an `Event`, in the order in which `event_from_row` reads them. The payload
// is cut out as bytes: `substr` counts characters in a text, and the range counts bytes. Of nothing, as an
// erased event has it, it makes null.
const COLUMNS: &str = "
    events.id, events.source, events.type, events.delivery_id, webhook.received_at, webhook.headers,
    coalesce(substr(CAST(coalesce(webhook.decoded, webhook.body) AS BLOB),
        events.payload_start + 1, events.payload_end - events.payload_start), x''),
    events.number, events.state, events.reason, events.due_at, events.settled_at, events.notes,
    events.queued_at, events.tries, events.replay,
    (SELECT deaths FROM suspects WHERE suspects.event = events.number),
    events.decoding_notes, events.left_out, events.may_repeat, events.waits_for, version.digest,
    version.since, events.erased_at, events.copy_of";

const TABLES: &str = "events JOIN webhooks AS webhook ON webhook.number = events.webhook
    LEFT JOIN mapping_versions AS version ON version.number = events.mapping";

pub(crate) fn event(
    connection: &Connection,
    id: EventId,
) -> Result<Option<EventRecord>, SqliteError> {
    // One snapshot: a step between two statements could show a request without its attempt.
    let snapshot = connection.unchecked_transaction()?;
    let sql = format!(
        "SELECT {COLUMNS}, {STAGE}, {MAY_REPEAT}, webhook.arrival, octet_length(webhook.body) FROM {TABLES} WHERE events.id = ?1"
    );
    let mut query = snapshot.prepare_cached(&sql)?;
    let found = query
        .query_row([EventIdColumn(id)], |row| Ok((row.get(7)?, record_from_row(row)?)))
        .optional()?;
    let Some((number, mut record)) = found else { return Ok(None) };
    let mut missing = Vec::new();
    let requests = requests(&snapshot, number);
    record.headline = headlines::read(&snapshot, number)?;
    record.requests = readable("requests", requests, &mut missing)?.unwrap_or_default();
    record.attempts = readable("history", attempts(&snapshot, number), &mut missing)?;
    record.notes.extend(missing);
    Ok(Some(record))
}

/// Reads events until they exceed this size, at least one, to map them once more.
pub(crate) fn payloads(
    connection: &Connection,
    seqs: &[u64],
    bytes_max: usize,
) -> rusqlite::Result<Vec<EventPayload>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE events.number = ?1");
    let mut query = connection.prepare_cached(&sql)?;
    let (mut read, mut bytes) = (Vec::new(), 0);
    for seq in seqs {
        if bytes > bytes_max {
            break;
        }
        let found = query.query_row([seq], |row| {
            let crashes: Option<u32> = row.get(16)?;
            // Delivery maps such an event alone and counts its crashes; nobody else should try.
            let is_suspect = "it may have ended the process while it was mapped".to_owned();
            let erased_at: Option<TimeColumn> = row.get(23)?;
            match (crashes, erased_at) {
                (_, Some(_)) => Ok(Err("its data was erased".to_owned())),
                (Some(_), None) => Ok(Err(is_suspect)),
                (None, None) => event_from_row(row).map(Ok),
            }
        });
        let event = match found.optional() {
            Ok(None) => continue,
            Ok(Some(event)) => event,
            Err(error) if is_unreadable_row(&error) => {
                Err(format!("it cannot be read from the store: {error}"))
            }
            Err(error) => return Err(error),
        };
        bytes += event.as_ref().map_or(0, |event| event.payload.len());
        read.push(EventPayload { seq: *seq, event });
    }
    Ok(read)
}

/// Returns a part of an event for display. One that is unreadable is left empty and noted.
// The event is dead because of it, and people look at it to learn why.
fn readable<T: Default>(
    part: &str,
    read: rusqlite::Result<T>,
    missing: &mut Vec<String>,
) -> rusqlite::Result<T> {
    match read {
        Err(error) if is_unreadable_row(&error) => {
            missing.push(format!("the {part} cannot be read from the store: {error}"));
            Ok(T::default())
        }
        read => read,
    }
}

pub(crate) fn body(connection: &Connection, id: EventId) -> Result<Option<Vec<u8>>, SqliteError> {
    let sql = "SELECT webhook.body FROM events AS event
               JOIN webhooks AS webhook ON webhook.number = event.webhook WHERE event.id = ?1";
    let mut query = connection.prepare_cached(sql)?;
    Ok(query.query_row([EventIdColumn(id)], |row| row.get(0)).optional()?)
}

/// Returns the event that the source has with this delivery id.
pub(crate) fn first_delivery(
    connection: &Connection,
    source: &SourceName,
    delivery_id: &str,
) -> rusqlite::Result<Option<EventId>> {
    let sql = "SELECT id FROM events WHERE source = ?1 AND delivery_id = ?2";
    connection
        .prepare_cached(sql)?
        .query_row(params![source.as_str(), delivery_id], |row| row.get(0))
        .optional()
        .map(|first| first.map(|EventIdColumn(id)| id))
}

pub(crate) fn claimed(
    connection: &Connection,
    claim: Claim,
    number: i64,
) -> rusqlite::Result<ClaimedEvent> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE events.number = ?1");
    let mut query = connection.prepare_cached(&sql)?;
    query.query_row([number], |row| {
        let TimeColumn(queued_at) = row.get(13)?;
        let first_attempt_at = first_attempt(connection, number, queued_at)?;
        // Until it is mapped again, a replayed event still has the plan of before.
        let (requests, earlier) = match previous_state::read(connection, number)? {
            Some(before) => (None, earlier_requests(connection, number, before)?),
            None => (requests(connection, number)?, Vec::new()),
        };
        let (event, tries, replay) = (event_from_row(row)?, row.get(14)?, row.get(15)?);
        let (seq, crashes): (u64, Option<u32>) = (row.get(7)?, row.get(16)?);
        let planned = requests.iter().chain([&earlier]).flatten();
        let bytes = event.payload.len() + planned.map(|it| it.request.bytes()).sum::<usize>();
        Ok(ClaimedEvent {
            bytes,
            claim,
            event,
            seq,
            queued_at,
            first_attempt_at,
            requests,
            tries,
            replay,
            is_copy: row.get::<_, Option<EventIdColumn>>(24)?.is_some(),
            earlier,
            may_repeat: row.get(19)?,
            suspect: crashes.map(|crashes| Suspect { crashes }),
        })
    })
}

fn first_attempt(
    connection: &Connection,
    event: i64,
    since: Timestamp,
) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT min(at) FROM attempts WHERE event = ?1 AND at >= ?2";
    connection
        .prepare_cached(sql)?
        .query_row(params![event, TimeColumn(since)], |row| time_of(row, 0))
}

/// Returns the earlier requests of a replayed event that count when it is mapped again.
pub(crate) fn earlier_requests(
    connection: &Connection,
    event: i64,
    before: State,
) -> rusqlite::Result<Vec<PlannedRequest>> {
    if !previous_state::keeps_done_requests(before) {
        return Ok(Vec::new());
    }
    Ok(requests(connection, event)?.unwrap_or_default())
}

fn event_from_row(row: &Row<'_>) -> rusqlite::Result<Event> {
    let EventIdColumn(id) = row.get(0)?;
    let SourceColumn(source) = row.get(1)?;
    let TimeColumn(received_at) = row.get(4)?;
    let (headers, payload) = (json_column(row, 5)?, payload_from_row(row)?);
    let (event_type, delivery_id) = (row.get(2)?, row.get(3)?);
    Ok(Event { id, source, event_type, delivery_id, received_at, headers, payload })
}

fn payload_from_row(row: &Row<'_>) -> rusqlite::Result<String> {
    String::from_utf8(row.get(6)?)
        .map_err(|error| rusqlite::Error::Utf8Error(6, error.utf8_error()))
}

/// Reads an event for display. Its id, source, time and state have to be readable; other parts that
/// are not are noted.
fn record_from_row(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    let EventIdColumn(id) = row.get(0)?;
    let SourceColumn(source) = row.get(1)?;
    let TimeColumn(received_at) = row.get(4)?;
    let EnumColumn(state) = row.get(8)?;
    let stopped_at: Option<EnumColumn<StoppedAt>> = row.get(25)?;
    let mut missing = Vec::new();
    let unread = &mut missing;
    let event = Event {
        id,
        source,
        event_type: readable("type", row.get(2), unread)?,
        delivery_id: readable("delivery id", row.get(3), unread)?,
        received_at,
        headers: readable("headers", json_column(row, 5), unread)?,
        payload: readable("payload", payload_from_row(row), unread)?,
    };
    let mut notes: Vec<String> = readable("notes on decoding", json_column(row, 17), unread)?;
    let mapping_notes: Vec<String> = readable("notes on requests", json_column(row, 12), unread)?;
    notes.extend(mapping_notes);
    let mut record = EventRecord {
        seq: row.get(7)?,
        event,
        state,
        stage: stopped_at.map(|EnumColumn(stopped_at)| stopped_at),
        reason: readable("reason", row.get(9), unread)?,
        due_at: readable("time of the next attempt", time_of(row, 10), unread)?,
        waits_for: row.get(20)?,
        settled_at: readable("time of the end", time_of(row, 11), unread)?,
        mapping: version_of(row, 21)?,
        headline: Headline::default(),
        requests: Vec::new(),
        attempts: Vec::new(),
        notes,
        left_out: readable("names of fields left out", json_column(row, 18), unread)?,
        may_repeat: row.get(26)?,
        arrival: readable("arrival", arrival_from_row(row), unread)?,
        body_bytes: row.get(28)?,
        erased_at: time_of(row, 23)?,
        copy_of: row.get::<_, Option<EventIdColumn>>(24)?.map(|EventIdColumn(id)| id),
    };
    record.notes.extend(missing);
    Ok(record)
}

fn arrival_from_row(row: &Row<'_>) -> rusqlite::Result<Arrival> {
    // An older program stores none.
    let arrival: Option<JsonColumn<StoredArrival<'static>>> = row.get(27)?;
    Ok(arrival.map(|JsonColumn(arrival)| arrival.into_arrival()).unwrap_or_default())
}

fn json_column<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get(column).map(|JsonColumn(value)| value)
}

fn optional_json(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Value>> {
    let json: Option<JsonColumn<Value>> = row.get(column)?;
    Ok(json.map(|JsonColumn(value)| value))
}

/// Reads the requests of a mapped event with their progress; none before it is mapped.
fn requests(connection: &Connection, event: i64) -> rusqlite::Result<Option<Vec<PlannedRequest>>> {
    let sql = "SELECT requests FROM plans WHERE event = ?1";
    let plan = connection.prepare_cached(sql)?.query_row([event], |row| row.get(0)).optional()?;
    let Some(JsonColumn(plan)) = plan else { return Ok(None) };
    let plan: Vec<Request> = plan;

    let sql = "SELECT state, savio_id, may_repeat, left_out FROM requests
               WHERE event = ?1 ORDER BY position";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query([event])?;
    let mut planned = Vec::with_capacity(plan.len());
    for request in plan {
        let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let EnumColumn(state) = row.get(0)?;
        let savio_id = optional_json(row, 1)?;
        let left_out: Option<JsonColumn<Vec<String>>> = row.get(3)?;
        let left_out = left_out.map(|JsonColumn(fields)| fields).unwrap_or_default();
        let may_repeat = row.get(2)?;
        planned.push(PlannedRequest { request, state, savio_id, may_repeat, left_out });
    }
    Ok(Some(planned))
}

fn attempts(connection: &Connection, event: i64) -> rusqlite::Result<Vec<Attempt>> {
    let sql = "SELECT position, at, outcome, status, ms, detail, savio_id, may_repeat, replay
               FROM attempts WHERE event = ?1 ORDER BY number";
    let mut query = connection.prepare_cached(sql)?;
    let attempts = query.query_map([event], |row| {
        let TimeColumn(at) = row.get(1)?;
        let EnumColumn(outcome) = row.get(2)?;
        Ok(Attempt {
            position: row.get(0)?,
            at,
            outcome,
            status: row.get(3)?,
            ms: row.get(4)?,
            detail: row.get(5)?,
            savio_id: optional_json(row, 6)?,
            may_repeat: row.get(7)?,
            replay: row.get(8)?,
        })
    })?;
    attempts.collect()
}
