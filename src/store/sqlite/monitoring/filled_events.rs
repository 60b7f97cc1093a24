//! Reads which fields the mapped events of a source have.

use std::cmp::Reverse;
use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::types::Value as Column;
use rusqlite::{Connection, Row, params};

use crate::event::{SourceName, State};
use crate::store::filled_event::{FILLED_EVENTS_MAX, FieldSearch, FieldUse, FilledEvent};
use crate::store::sqlite::rows::columns::{EventIdColumn, TimeColumn, text_column};
use crate::store::sqlite::rows::filled_blocks;

/// Number of events that are looked at in each state, the last ones.
const LOOKED_AT_MAX: usize = 2_000;

// By each state, so that the index has them in the order of receipt. Imports and events without a plan
// are passed over within the limit.
const LAST: &str = "
    SELECT id, type, received_at, made_by FROM (
        SELECT number, id, type, received_at FROM events INDEXED BY events_listed
        WHERE source = ?1 AND state = ?2 AND received_at >= ?3 AND received_at < ?4
        ORDER BY received_at DESC LIMIT ?5
    ) AS last
    JOIN plans ON plans.event = last.number WHERE made_by IS NOT NULL";

/// Returns the last mapped events of each type, oldest first.
pub(super) fn last(
    connection: &Connection,
    source: &SourceName,
) -> rusqlite::Result<Vec<FilledEvent>> {
    let mut all = Vec::new();
    for state in State::ALL {
        let times = (Column::Integer(i64::MIN), Column::Integer(i64::MAX));
        read(connection, (source, state), times, |event| all.push(event))?;
    }
    all.sort_by_key(|event| (Reverse(event.received_at), Reverse(*event.id.as_bytes())));
    let mut of_type: HashMap<Option<String>, usize> = HashMap::new();
    all.retain(|event| {
        let count = of_type.entry(event.event_type.clone()).or_default();
        *count += 1;
        *count <= FILLED_EVENTS_MAX
    });
    all.reverse();
    Ok(all)
}

pub(super) fn field_use(
    connection: &Connection,
    search: &FieldSearch,
) -> rusqlite::Result<FieldUse> {
    let FieldSearch { source, event_type, block, position, times, events_max } = search;
    let column = |time: Timestamp| Column::Integer(time.as_microsecond());
    let mut found = FieldUse::default();
    for state in State::ALL {
        let of_block = |event: &FilledEvent| {
            let of_type = event.event_type == *event_type;
            event.blocks.iter().find(|it| of_type && &*it.block == block).cloned()
        };
        for time in times {
            let time = (column(time.start), column(time.end));
            read(connection, (source, state), time, |event| {
                let has = of_block(&event).is_some_and(|it| it.filled.has(*position));
                found.events += u64::from(has);
            })?;
        }
        let Some(first) = times.first() else { break };
        let before = (Column::Integer(i64::MIN), column(first.start));
        read(connection, (source, state), before, |event| {
            found.is_known |= of_block(&event).is_some();
        })?;
    }
    found.events = found.events.min(*events_max);
    Ok(found)
}

fn read(
    connection: &Connection,
    (source, state): (&SourceName, State),
    (since, until): (Column, Column),
    mut note: impl FnMut(FilledEvent),
) -> rusqlite::Result<()> {
    let mut query = connection.prepare_cached(LAST)?;
    let limits = params![source.as_str(), state.as_str(), since, until, LOOKED_AT_MAX];
    let rows = query.query_map(limits, from_row)?;
    for event in rows {
        note(event?);
    }
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<FilledEvent> {
    let (EventIdColumn(id), TimeColumn(received_at)) = (row.get(0)?, row.get(2)?);
    let (event_type, blocks) = (text_column(row, 1)?, filled_blocks::read(row.get(3)?));
    Ok(FilledEvent { id, event_type, received_at, blocks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn last_events_are_found_in_their_order_by_an_index() {
        let steps = query_plan(LAST);

        let events = "SEARCH events USING INDEX events_listed \
                      (source=? AND state=? AND received_at>? AND received_at<?)";
        assert!(steps.iter().any(|it| it == events), "{steps:?}");
        assert!(!steps.iter().any(|it| it.contains("B-TREE")), "{steps:?}");
    }
}
