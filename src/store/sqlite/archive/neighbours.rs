//! The events beside one in a list.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::search::{self, Search, SearchBudget, SortOrder};
use crate::event::EventId;
use crate::store::archive::Neighbours;
use crate::store::filter::{Cursor, EventFilter};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::EventIdColumn;

/// Time after which a neighbour that was not found is none.
// Few conditions need it: an index has the next event of most lists.
const TIME_MAX: Duration = Duration::from_millis(10);

pub(super) fn of(
    connection: &Connection,
    (filter, place): (&EventFilter, Cursor),
) -> Result<Neighbours, SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let newer = nearest(&snapshot, (filter, place), SortOrder::OldestFirst)?;
    let older = nearest(&snapshot, (filter, place), SortOrder::NewestFirst)?;
    Ok(Neighbours { newer, older })
}

fn nearest(
    connection: &Connection,
    (filter, place): (&EventFilter, Cursor),
    order: SortOrder,
) -> rusqlite::Result<Option<EventId>> {
    let slice = SearchBudget::within(TIME_MAX);
    let search = Search { order, slice, ..Search::newest_first(filter.clone(), Some(place), 1) };
    let found = search::find(connection, &search)?;
    let Some(event) = found.events.first() else { return Ok(None) };
    let sql = "SELECT id FROM events WHERE number = ?1";
    let id = connection
        .prepare_cached(sql)?
        .query_row(params![event.number()], |row| row.get(0).map(|EventIdColumn(id)| id))?;
    Ok(Some(id))
}
