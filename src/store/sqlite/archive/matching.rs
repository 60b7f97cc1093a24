//! Counts the events that match a filter, up to a bound.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::conditions::Conditions;
use super::search::{self, EventStream, Search};
use crate::store::filter::{EventFilter, MatchCount};
use crate::store::sqlite::engine::error::SqliteError;

/// Number of events of one state after which a count ends with "at least".
pub(super) const COUNTED_MAX: u64 = 10_000;

/// Counts the events of a filter that is not searched.
pub(super) fn count(
    connection: &Connection,
    filter: &EventFilter,
) -> Result<MatchCount, SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let conditions = Conditions::of(filter);
    if !filter.ids.is_empty() || !conditions.are_indexed() {
        let limit = usize::try_from(COUNTED_MAX).unwrap_or(usize::MAX);
        let search = Search::newest_first(filter.clone(), None, limit);
        let found = search::find(&snapshot, &search)?;
        // Of more than the bound the search has a next page, and of what it had no time for.
        let mut matching = MatchCount { at_least: found.next.is_some(), ..MatchCount::default() };
        found.events.iter().for_each(|event| matching.add(event.state, 1));
        return Ok(matching);
    }
    let mut matching = MatchCount::default();
    let has_times = filter.since.is_some() || filter.until.is_some();
    for stream in search::streams(&snapshot, filter)? {
        // Without conditions on single events the stored count answers, however large it is.
        if !has_times && conditions.indexed.is_empty() {
            matching.add(stream.state, stream.events);
            continue;
        }
        let left = COUNTED_MAX.saturating_sub(matching.states.of(stream.state));
        let events = count_stream(&snapshot, &stream, (filter, &conditions, left + 1))?;
        matching.at_least |= events > left;
        matching.add(stream.state, events.min(left));
    }
    Ok(matching)
}

fn count_stream(
    connection: &Connection,
    stream: &EventStream,
    (filter, conditions, limit): (&EventFilter, &Conditions, u64),
) -> rusqlite::Result<u64> {
    let Conditions { index, indexed, .. } = conditions;
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM events INDEXED BY {index}
             WHERE source = ? AND state = ? AND received_at BETWEEN ? AND ? {indexed} LIMIT ?)"
    );
    let times = search::times(filter, None);
    let values = [
        Value::from(stream.source.to_string()),
        Value::from(stream.state.as_str().to_owned()),
        Value::from(*times.start()),
        Value::from(*times.end()),
        Value::from(i64::try_from(limit).unwrap_or(i64::MAX)),
    ];
    connection.prepare_cached(&sql)?.query_row(params_from_iter(&values), |row| row.get(0))
}
