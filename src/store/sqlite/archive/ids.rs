//! Beginnings of ids: finds the events of one, and how long one has to be.

use rusqlite::{Connection, params};

use crate::event::{EventId, IdPrefix};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::EventIdColumn;

/// Returns the events whose ids begin so, the newest first: an id begins with the time.
pub(super) fn beginning_with(
    connection: &Connection,
    prefix: &IdPrefix,
    limit: usize,
) -> Result<Vec<EventId>, SqliteError> {
    let (first, last) = prefix.range();
    let sql = "SELECT id FROM events WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3";
    let mut query = connection.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = query.query_map(params![EventIdColumn(first), EventIdColumn(last), limit], id)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Returns the most digits that one of the ids needs.
pub(super) fn distinct_digits(
    connection: &Connection,
    ids: &[EventId],
) -> Result<usize, SqliteError> {
    // One entry of the index on each side, however many events there are.
    let neighbours = [
        "SELECT id FROM events WHERE id < ?1 ORDER BY id DESC LIMIT 1",
        "SELECT id FROM events WHERE id > ?1 ORDER BY id LIMIT 1",
    ];
    let mut digits = 0;
    for sql in neighbours {
        let mut query = connection.prepare_cached(sql)?;
        for one in ids {
            for neighbour in query.query_map([EventIdColumn(*one)], id)? {
                digits = digits.max(one.common_digits(&neighbour?) + 1);
            }
        }
    }
    Ok(digits)
}

fn id(row: &rusqlite::Row<'_>) -> rusqlite::Result<EventId> {
    row.get(0).map(|EventIdColumn(id)| id)
}
