//! Events that were received or settled since a position, each found by an index.

use rusqlite::{Connection, params};

use super::lines::summary;
use crate::store::archive::ChangePosition;
use crate::store::filter::EventSummary;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::TimeColumn;

/// Number of events of one kind that are read at a time.
const EVENTS_MAX: usize = 500;

pub(super) fn since(
    connection: &Connection,
    since: ChangePosition,
) -> Result<(Vec<EventSummary>, ChangePosition), SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut position = since;
    let mut numbers = Vec::new();
    let sql = "SELECT number FROM events WHERE number > ?1 ORDER BY number LIMIT ?2";
    let mut query = snapshot.prepare_cached(sql)?;
    for number in query.query_map(params![since.seq, EVENTS_MAX], |row| row.get(0))? {
        let number: i64 = number?;
        position.seq = position.seq.max(number.cast_unsigned());
        numbers.push(number);
    }
    // After the time, and not at it: whoever continues has seen what was settled then, and many
    // events settled at one time would be read again and again.
    let sql = "SELECT number, settled_at FROM events INDEXED BY events_settled
               WHERE settled_at > ?1 ORDER BY settled_at LIMIT ?2";
    let mut query = snapshot.prepare_cached(sql)?;
    let settled = query.query_map(params![TimeColumn(since.settled_at), EVENTS_MAX], |row| {
        let TimeColumn(settled_at) = row.get(1)?;
        Ok((row.get(0)?, settled_at))
    })?;
    for settled in settled {
        let (number, settled_at) = settled?;
        position.settled_at = position.settled_at.max(settled_at);
        numbers.push(number);
    }
    let events = numbers.iter().map(|number| summary(&snapshot, *number));
    Ok((events.collect::<rusqlite::Result<_>>()?, position))
}
