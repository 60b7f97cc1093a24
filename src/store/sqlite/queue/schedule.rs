//! Finds the next due time, and the earlier event that has to go first.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::event::{RecordKey, SourceName};
use crate::store::queue::EarlierUpsert;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{EventIdColumn, Priority, SourceColumn, time_of};

// Reads one entry of an index, however long the queue is. There are few leases.
const NEXT_DUE: &str = "
    SELECT min(due_at) FROM events INDEXED BY events_due
    WHERE source = ?1 AND rank = ?2 AND state = 'queued' AND lease_until IS NULL";

const LEASES: &str = "
    SELECT lease_until, source FROM events INDEXED BY events_leased
    WHERE lease_until IS NOT NULL ORDER BY lease_until";

pub(super) fn next_due(
    connection: &Connection,
    sources: &[SourceName],
) -> Result<Option<Timestamp>, SqliteError> {
    let mut next = next_lease_end(connection, sources)?;
    let mut query = connection.prepare_cached(NEXT_DUE)?;
    for source in sources {
        for priority in Priority::ALL {
            let due = query.query_row(params![source.as_str(), priority], |row| time_of(row, 0))?;
            next = [next, due].into_iter().flatten().min();
        }
    }
    Ok(next)
}

fn next_lease_end(
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

// `requests_upserting` holds only requests that are still to be sent, so this reads no history.
const EARLIER_UPSERT: &str = "
    SELECT request.event, event.source, event.id, event.token, event.lease_until IS NOT NULL
    FROM requests AS request INDEXED BY requests_upserting
    JOIN events AS event ON event.number = request.event
    WHERE request.upsert = ?1 AND request.state IN ('waiting', 'sending') AND request.event < ?2
        AND event.state = 'queued'
        AND NOT EXISTS (SELECT 1 FROM replayed WHERE replayed.event = request.event)
    ORDER BY request.event";

pub(super) fn earlier_upsert(
    connection: &Connection,
    (seq, upsert): (u64, RecordKey),
    sources: &[SourceName],
) -> Result<Option<EarlierUpsert>, SqliteError> {
    let mut query = connection.prepare_cached(EARLIER_UPSERT)?;
    let mut rows = query.query(params![upsert.as_bytes(), seq])?;
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
