//! Counts of events, and the age of the oldest queued ones.

use jiff::Timestamp;
use rusqlite::Connection;

use crate::event::SourceName;
use crate::store::archive::{StateCount, WaitingCount};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{EnumColumn, SourceColumn, TimeColumn};

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

pub(crate) fn count_claimed(connection: &Connection) -> Result<u64, SqliteError> {
    let sql = "SELECT count(*) FROM events WHERE lease_until IS NOT NULL";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

// Reads one entry of an index for each source, however long the queue is.
const OLDEST: &str = "
    SELECT source, (
        SELECT min(received_at) FROM events INDEXED BY events_listed
        WHERE events.source = counts.source AND state = 'queued'
    ) FROM counts WHERE state = 'queued' AND events > 0 ORDER BY source";

pub(crate) fn oldest_queued(
    connection: &Connection,
) -> Result<Vec<(SourceName, Timestamp)>, SqliteError> {
    let mut query = connection.prepare_cached(OLDEST)?;
    let oldest = query.query_map([], |row| {
        let (SourceColumn(source), TimeColumn(received_at)) = (row.get(0)?, row.get(1)?);
        Ok((source, received_at))
    })?;
    Ok(oldest.collect::<rusqlite::Result<_>>()?)
}

// Reads one entry of an index for each state.
const FIRST: &str = "
    SELECT min(first) FROM (SELECT (
        SELECT min(received_at) FROM events INDEXED BY events_listed
        WHERE events.source = counts.source AND events.state = counts.state
    ) AS first FROM counts WHERE source = ?)";

pub(crate) fn first_event_at(
    connection: &Connection,
    source: &SourceName,
) -> Result<Option<Timestamp>, SqliteError> {
    let mut query = connection.prepare_cached(FIRST)?;
    let first: Option<TimeColumn> = query.query_row([source.as_str()], |row| row.get(0))?;
    Ok(first.map(|TimeColumn(time)| time))
}

const WAITING: &str = "
    SELECT source, sum(lease_until IS NOT NULL), sum(lease_until IS NULL)
    FROM events INDEXED BY events_waiting WHERE waits_for IS NOT NULL GROUP BY source";

pub(crate) fn waiting(connection: &Connection) -> Result<Vec<WaitingCount>, SqliteError> {
    let mut query = connection.prepare_cached(WAITING)?;
    let waiting = query.query_map([], |row| {
        let SourceColumn(source) = row.get(0)?;
        Ok(WaitingCount { source, claimed: row.get(1)?, unclaimed: row.get(2)? })
    })?;
    Ok(waiting.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn oldest_queued_event_is_read_from_an_index_only() {
        let steps = query_plan(OLDEST);

        let lookup = "SEARCH events USING COVERING INDEX events_listed (source=? AND state=?)";
        assert!(steps.contains(&lookup.to_owned()), "{steps:?}");
        let steps = query_plan(FIRST);
        assert!(steps.contains(&lookup.to_owned()), "{steps:?}");
    }
}
