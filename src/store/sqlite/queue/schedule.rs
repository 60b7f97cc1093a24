//! Reads events, their progress and their counts.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::leases::RANKS;
use crate::event::{Event, EventId, RecordKey, Request, SourceName, State};
use crate::store::sqlite::archive::replay;
use crate::store::sqlite::engine::error::{SqliteError, is_of_the_row};
use crate::store::sqlite::rows::columns::{
    EnumColumn, EventIdColumn, JsonColumn, SourceColumn, TimeColumn,
};
use crate::store::{
    Attempt, Claim, ClaimedEvent, EarlierUpsert, EventRecord, PlannedRequest, StateCount, Suspect,
    Waiting,
};

// The first seven columns are an `Event`, in the order in which `event_of` takes them.
const EVENT: &str = "
    SELECT event.id, event.source, event.type, event.delivery_id, webhook.received_at,
        webhook.headers,
        substr(CAST(coalesce(webhook.decoded, webhook.body) AS BLOB),
            event.payload_start + 1, event.payload_end - event.payload_start),
        event.number, event.state, event.reason, event.due_at, event.settled_at, event.notes,
        event.queued_at, event.tries, event.replay,
        (SELECT deaths FROM suspects WHERE suspects.event = event.number),
        event.decoding_notes, event.left_out
    FROM events AS event JOIN webhooks AS webhook ON webhook.number = event.webhook";

pub(crate) fn event(
    connection: &Connection,
    id: EventId,
) -> Result<Option<EventRecord>, SqliteError> {
    // All of it as it was at one moment.
    let snapshot = connection.unchecked_transaction()?;
    let sql = format!("{EVENT} WHERE event.id = ?1");
    let mut query = snapshot.prepare_cached(&sql)?;
    let found = query
        .query_row([EventIdColumn(id)], |row| Ok((row.get(7)?, record_of(row)?)))
        .optional()?;
    let Some((number, mut record)) = found else { return Ok(None) };
    let mut missing = Vec::new();
    let requests = requests(&snapshot, number);
    record.requests = readable("requests", requests, &mut missing)?.unwrap_or_default();
    record.attempts = readable("history", attempts(&snapshot, number), &mut missing)?;
    record.notes.extend(missing);
    Ok(Some(record))
}

/// A part of an event for people to look at. One that cannot be read is left empty and noted, so that the others
/// are shown: the event is dead because of it, and they want to know why.
fn readable<T: Default>(
    part: &str,
    read: rusqlite::Result<T>,
    missing: &mut Vec<String>,
) -> rusqlite::Result<T> {
    match read {
        Err(error) if is_of_the_row(&error) => {
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

pub(crate) fn claimed(
    connection: &Connection,
    claim: Claim,
    number: i64,
) -> rusqlite::Result<ClaimedEvent> {
    let sql = format!("{EVENT} WHERE event.number = ?1");
    let mut query = connection.prepare_cached(&sql)?;
    query.query_row([number], |row| {
        let TimeColumn(queued_at) = row.get(13)?;
        let first_attempt_at = first_attempt(connection, number, queued_at)?;
        let (requests, earlier) = match replay::before(connection, number)? {
            Some(before) => (None, earlier(connection, number, before)?),
            None => (requests(connection, number)?, Vec::new()),
        };
        let (event, tries, replay) = (event_of(row)?, row.get(14)?, row.get(15)?);
        let (place, deaths): (u64, Option<u32>) = (row.get(7)?, row.get(16)?);
        let planned = requests.iter().chain([&earlier]).flatten();
        let bytes = event.payload.len() + planned.map(|it| it.request.bytes()).sum::<usize>();
        Ok(ClaimedEvent {
            bytes,
            claim,
            event,
            place,
            queued_at,
            first_attempt_at,
            requests,
            tries,
            replay,
            earlier,
            suspect: deaths.map(|deaths| Suspect { deaths }),
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
        .query_row(rusqlite::params![event, TimeColumn(since)], |row| time_of(row, 0))
}

/// The requests of a replayed event whose past counts.
pub(crate) fn earlier(
    connection: &Connection,
    event: i64,
    before: State,
) -> rusqlite::Result<Vec<PlannedRequest>> {
    if !replay::past_counts(before) {
        return Ok(Vec::new());
    }
    Ok(requests(connection, event)?.unwrap_or_default())
}

fn event_of(row: &Row<'_>) -> rusqlite::Result<Event> {
    let EventIdColumn(id) = row.get(0)?;
    let SourceColumn(source) = row.get(1)?;
    let TimeColumn(received_at) = row.get(4)?;
    let (headers, payload) = (json_column(row, 5)?, payload_of(row)?);
    let (event_type, delivery_id) = (row.get(2)?, row.get(3)?);
    Ok(Event { id, source, event_type, delivery_id, received_at, headers, payload })
}

fn payload_of(row: &Row<'_>) -> rusqlite::Result<String> {
    String::from_utf8(row.get(6)?)
        .map_err(|error| rusqlite::Error::Utf8Error(6, error.utf8_error()))
}

/// The parts that an event cannot be without have to be readable, and the others are shown if they are.
fn record_of(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    let EventIdColumn(id) = row.get(0)?;
    let SourceColumn(source) = row.get(1)?;
    let TimeColumn(received_at) = row.get(4)?;
    let EnumColumn(state) = row.get(8)?;
    let mut missing = Vec::new();
    let unread = &mut missing;
    let event = Event {
        id,
        source,
        event_type: readable("type", row.get(2), unread)?,
        delivery_id: readable("delivery id", row.get(3), unread)?,
        received_at,
        headers: readable("headers", json_column(row, 5), unread)?,
        payload: readable("payload", payload_of(row), unread)?,
    };
    let mut notes: Vec<String> = readable("notes on decoding", json_column(row, 17), unread)?;
    let of_requests: Vec<String> = readable("notes on requests", json_column(row, 12), unread)?;
    notes.extend(of_requests);
    let mut record = EventRecord {
        seq: row.get(7)?,
        event,
        state,
        reason: readable("reason", row.get(9), unread)?,
        due_at: readable("time of the next attempt", time_of(row, 10), unread)?,
        settled_at: readable("time of the end", time_of(row, 11), unread)?,
        requests: Vec::new(),
        attempts: Vec::new(),
        notes,
        left_out: readable("names of fields left out", json_column(row, 18), unread)?,
    };
    record.notes.extend(missing);
    Ok(record)
}

fn json_column<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get(column).map(|JsonColumn(value)| value)
}

fn time_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let time: Option<TimeColumn> = row.get(column)?;
    Ok(time.map(|TimeColumn(time)| time))
}

fn json_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Value>> {
    let json: Option<JsonColumn<Value>> = row.get(column)?;
    Ok(json.map(|JsonColumn(value)| value))
}

/// What the mapping made of the event, with how far each is; none before it was applied.
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
        let savio_id = json_of(row, 1)?;
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
            savio_id: json_of(row, 6)?,
            may_repeat: row.get(7)?,
            replay: row.get(8)?,
        })
    })?;
    attempts.collect()
}

pub(crate) fn counts(connection: &Connection) -> Result<Vec<StateCount>, SqliteError> {
    let sql = "SELECT source, state, events FROM counts WHERE events > 0 ORDER BY source, state";
    let mut query = connection.prepare_cached(sql)?;
    let counts = query.query_map([], |row| {
        let SourceColumn(source) = row.get(0)?;
        let EnumColumn(state) = row.get(1)?;
        Ok(StateCount { source, state, events: row.get(2)? })
    })?;
    Ok(counts.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn in_hand(connection: &Connection) -> Result<u64, SqliteError> {
    let sql = "SELECT count(*) FROM events WHERE lease_until IS NOT NULL";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

// The end of an index for each source, however long the queue is.
const OLDEST: &str = "
    SELECT source, (
        SELECT min(received_at) FROM events INDEXED BY events_listed
        WHERE events.source = counts.source AND state = 'queued'
    ) FROM counts WHERE state = 'queued' AND events > 0 ORDER BY source";

pub(crate) fn oldest(connection: &Connection) -> Result<Vec<(SourceName, Timestamp)>, SqliteError> {
    let mut query = connection.prepare_cached(OLDEST)?;
    let oldest = query.query_map([], |row| {
        let (SourceColumn(source), TimeColumn(received_at)) = (row.get(0)?, row.get(1)?);
        Ok((source, received_at))
    })?;
    Ok(oldest.collect::<rusqlite::Result<_>>()?)
}

// The end of an index, however long the queue is; of leases there are few.
const NEXT_DUE: &str = "
    SELECT min(due_at) FROM events INDEXED BY events_due
    WHERE source = ?1 AND rank = ?2 AND state = 'queued' AND lease_until IS NULL";
const LEASES: &str = "
    SELECT lease_until, source FROM events INDEXED BY events_leased
    WHERE lease_until IS NOT NULL ORDER BY lease_until";

pub(crate) fn next_due(
    connection: &Connection,
    sources: &[SourceName],
) -> Result<Option<Timestamp>, SqliteError> {
    let mut next = first_to_end(connection, sources)?;
    let mut query = connection.prepare_cached(NEXT_DUE)?;
    for source in sources {
        for rank in RANKS {
            let due = query.query_row(params![source.as_str(), rank], |row| time_of(row, 0))?;
            next = [next, due].into_iter().flatten().min();
        }
    }
    Ok(next)
}

// The index ends with what is done, and what is dead is not in it.
const EARLIER_UPSERT: &str = "
    SELECT request.event, event.source, event.id, event.token, event.lease_until IS NOT NULL
    FROM requests AS request INDEXED BY requests_upserting
    JOIN events AS event ON event.number = request.event
    WHERE request.upsert = ?1 AND request.state IN ('waiting', 'sending') AND request.event < ?2
        AND event.state = 'queued'
        AND NOT EXISTS (SELECT 1 FROM replayed WHERE replayed.event = request.event)
    ORDER BY request.event";

pub(crate) fn earlier_upsert(
    connection: &Connection,
    (place, upsert): (u64, RecordKey),
    sources: &[SourceName],
) -> Result<Option<EarlierUpsert>, SqliteError> {
    let mut query = connection.prepare_cached(EARLIER_UPSERT)?;
    let mut rows = query.query(params![upsert.as_bytes(), place])?;
    while let Some(row) = rows.next()? {
        let SourceColumn(source) = row.get(1)?;
        if sources.contains(&source) {
            let EventIdColumn(event) = row.get(2)?;
            let token: i64 = row.get(3)?;
            let (seq, is_claimed) = (row.get(0)?, row.get(4)?);
            let token = token.cast_unsigned();
            return Ok(Some(EarlierUpsert { seq, event, token, is_claimed }));
        }
    }
    Ok(None)
}

const WAITING: &str = "
    SELECT source, sum(lease_until IS NOT NULL), sum(lease_until IS NULL)
    FROM events INDEXED BY events_waiting WHERE waits_for IS NOT NULL GROUP BY source";

pub(crate) fn waiting(connection: &Connection) -> Result<Vec<Waiting>, SqliteError> {
    let mut query = connection.prepare_cached(WAITING)?;
    let waiting = query.query_map([], |row| {
        let SourceColumn(source) = row.get(0)?;
        Ok(Waiting { source, claimed: row.get(1)?, unclaimed: row.get(2)? })
    })?;
    Ok(waiting.collect::<rusqlite::Result<_>>()?)
}

fn first_to_end(
    connection: &Connection,
    sources: &[SourceName],
) -> rusqlite::Result<Option<Timestamp>> {
    let mut query = connection.prepare_cached(LEASES)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let SourceColumn(source) = row.get(1)?;
        if sources.contains(&source) {
            return time_of(row, 0);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::{self, DatabaseFile};

    #[test]
    fn the_oldest_is_looked_up_in_an_index_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = database_file::create(&folder.path().join("relay.db")).unwrap();
        let mut database = DatabaseFile::open(&path, 1 << 20).unwrap();

        let sql = format!("EXPLAIN QUERY PLAN {OLDEST}");
        let mut plan = database.connection().unwrap().prepare(&sql).unwrap();
        let steps = plan.query_map([], |row| row.get(3)).unwrap();
        let steps = steps.collect::<rusqlite::Result<Vec<String>>>().unwrap();

        let lookup = "SEARCH events USING COVERING INDEX events_listed (source=? AND state=?)";
        assert!(steps.contains(&lookup.to_owned()), "{steps:?}");
    }
}
