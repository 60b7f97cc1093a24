//! The filter of a replay in the columns of its row.

use rusqlite::Row;

use crate::event::{SourceName, State};
use crate::store::filter::EventFilter;
use crate::store::sqlite::rows::columns::{EnumColumn, JsonColumn, TimeColumn};

/// Returns the filter for the columns that all programs know, and the whole filter if these cannot
/// hold it.
// A program that does not know a condition must not replay the events that do not meet it: for such
// a program, the filter matches none.
pub(super) fn columns(filter: &EventFilter) -> (EventFilter, Option<EventFilter>) {
    let EventFilter { ids, states, sources, since, until, text, left_out, .. } = filter.clone();
    let known = EventFilter {
        ids,
        states,
        sources,
        since,
        until,
        text,
        left_out,
        ..EventFilter::default()
    };
    if known == *filter && known.states.len() <= 1 {
        return (known, None);
    }
    let nothing = EventFilter { sources: Some(Vec::new()), ..EventFilter::default() };
    (nothing, Some(filter.clone()))
}

/// Reads the filter from the row's columns 2 to 7, 11 and 12.
pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<EventFilter> {
    let whole: Option<JsonColumn<EventFilter>> = row.get(12)?;
    if let Some(JsonColumn(filter)) = whole {
        return Ok(filter);
    }
    let JsonColumn(ids) = row.get(2)?;
    let state: Option<EnumColumn<State>> = row.get(3)?;
    let sources: Option<JsonColumn<Vec<SourceName>>> = row.get(4)?;
    let (since, until): (Option<TimeColumn>, Option<TimeColumn>) = (row.get(5)?, row.get(6)?);
    Ok(EventFilter {
        ids,
        states: state.map(|EnumColumn(state)| state).into_iter().collect(),
        sources: sources.map(|JsonColumn(sources)| sources),
        since: since.map(|TimeColumn(since)| since),
        until: until.map(|TimeColumn(until)| until),
        text: row.get(7)?,
        left_out: row.get(11)?,
        ..EventFilter::default()
    })
}
