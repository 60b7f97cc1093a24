//! Finds events by a filter, in order of receipt, one page at a time.

use std::cmp::Reverse;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::conditions::{self, Conditions};
use super::event_check::EventCheck;
use crate::event::{SourceName, State};
use crate::store::filter::{Cursor, EventFilter};
use crate::store::sqlite::rows::columns::{EnumColumn, EventIdColumn, SourceColumn, TimeColumn};

pub(super) const LIMIT_MAX: usize = 500;

/// Number of events that are read at a time where not all of them match, and for one page.
pub(super) const CHUNK_EVENTS: usize = 1000;
pub(super) const SCANNED_MAX: usize = 20_000;

/// Longest time of a list or a count that is not a text search.
// Conditions that no index answers are looked up event by event, at 2 to 10 µs each.
const LOOKUP_TIME_MAX: Duration = Duration::from_millis(25);

/// Number of events up to which those that an index names are looked up one by one.
// They are sorted for each page, which takes some 15 ms. Of more, the next page is near in the list
// of all events.
const FEW_MAX: usize = 5_000;

/// A search from a position on.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) filter: EventFilter,
    pub(super) order: SortOrder,
    pub(super) after: Option<Cursor>,
    /// Number of the last event that may match.
    pub(super) up_to: i64,
    pub(super) limit: usize,
    pub(super) slice: SearchBudget,
}

/// Limits of one slice of a search, which then continues from its `next`. It reads at least one
/// event.
#[derive(Debug, Clone, Copy)]
pub(super) struct SearchBudget {
    pub(super) scanned_max: usize,
    pub(super) until: Option<Instant>,
}

impl SearchBudget {
    pub(super) fn within(time_max: Duration) -> SearchBudget {
        SearchBudget { scanned_max: SCANNED_MAX, until: Instant::now().checked_add(time_max) }
    }
}

impl Search {
    pub(super) fn newest_first(filter: EventFilter, after: Option<Cursor>, limit: usize) -> Search {
        let (order, slice) = (SortOrder::NewestFirst, SearchBudget::within(LOOKUP_TIME_MAX));
        Search { filter, order, after, up_to: i64::MAX, limit, slice }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SortOrder {
    NewestFirst,
    OldestFirst,
}

#[derive(Debug)]
pub(super) struct SearchResult {
    pub(super) events: Vec<SearchHit>,
    pub(super) next: Option<Cursor>,
    /// Number of events that were read.
    pub(super) scanned: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SearchHit {
    pub(super) cursor: Cursor,
    pub(super) state: State,
}

impl SearchHit {
    pub(super) fn number(&self) -> i64 {
        self.cursor.number
    }
}

pub(super) fn find(connection: &Connection, search: &Search) -> rusqlite::Result<SearchResult> {
    let streams = streams(connection, &search.filter)?;
    let conditions = Conditions::of(&search.filter);
    let mut check = EventCheck::of(connection, &search.filter, &conditions)?;
    let place = (&*streams, &conditions);
    let (mut chunk, size) = if let Some(numbers) = named(connection, &search.filter)? {
        // All of them, so that there is no further chunk.
        (by_numbers(connection, (numbers, place), search)?, usize::MAX)
    } else {
        // One more than the page shows whether there is a next page.
        let size = if check.is_free() { search.limit + 1 } else { CHUNK_EVENTS };
        (merged(connection, place, &Search { limit: size, ..search.clone() })?, size)
    };
    let SearchBudget { scanned_max, until } = search.slice;
    let is_late = || until.is_some_and(|until| Instant::now() >= until);
    let (mut events, mut after, mut scanned) = (Vec::new(), search.after, 0);
    loop {
        for candidate in &chunk {
            if events.len() == search.limit {
                return Ok(SearchResult { events, next: after, scanned });
            }
            // Here and not in the chunk: what is beyond the page, or of a stream whose turn has not
            // come, is not looked at.
            if check.is_met(candidate.number())? {
                events.push(*candidate);
            }
            after = Some(candidate.cursor);
            scanned += 1;
            if scanned % check.timed_events() == 0 && is_late() {
                return Ok(SearchResult { events, next: after, scanned });
            }
        }
        if chunk.len() < size {
            return Ok(SearchResult { events, next: None, scanned });
        }
        if scanned >= scanned_max {
            return Ok(SearchResult { events, next: after, scanned });
        }
        chunk = merged(connection, place, &Search { after, limit: size, ..search.clone() })?;
    }
}

/// The events of one source in one state, which an index has in order of receipt.
pub(super) struct EventStream {
    pub(super) source: SourceName,
    pub(super) state: State,
    /// How many there are in all.
    pub(super) events: u64,
}

pub(super) fn streams(
    connection: &Connection,
    filter: &EventFilter,
) -> rusqlite::Result<Vec<EventStream>> {
    let sql = "SELECT source, state, events FROM counts WHERE events > 0";
    let mut query = connection.prepare_cached(sql)?;
    let streams = query.query_map([], |row| {
        let SourceColumn(source) = row.get(0)?;
        let EnumColumn(state) = row.get(1)?;
        Ok(EventStream { source, state, events: row.get(2)? })
    })?;
    let mut streams: Vec<EventStream> = streams.collect::<rusqlite::Result<_>>()?;
    streams.retain(|stream| {
        filter.sources.as_ref().is_none_or(|sources| sources.contains(&stream.source))
            && conditions::is_possible(filter, stream.state)
    });
    Ok(streams)
}

/// Returns the first events of all streams after the search's position, merged in order.
fn merged(
    connection: &Connection,
    (streams, conditions): (&[EventStream], &Conditions),
    search: &Search,
) -> rusqlite::Result<Vec<SearchHit>> {
    let mut first = Vec::new();
    let mut times = times(&search.filter, search.after.map(|after| (after, search.order)));
    for stream in streams {
        first.extend(stream_chunk(connection, (stream, conditions), (search, &times))?);
        sort(&mut first, search.order);
        first.truncate(search.limit);
        // The chunk is full: further streams can only add events that come before its last one.
        if let Some(last) = first.last().filter(|_| first.len() == search.limit) {
            let last = last.cursor.received_at.as_microsecond();
            times = match search.order {
                SortOrder::NewestFirst => *times.start().max(&last)..=*times.end(),
                SortOrder::OldestFirst => *times.start()..=*times.end().min(&last),
            };
        }
    }
    Ok(first)
}

fn stream_chunk(
    connection: &Connection,
    (stream, conditions): (&EventStream, &Conditions),
    (search, times): (&Search, &RangeInclusive<i64>),
) -> rusqlite::Result<Vec<SearchHit>> {
    let mut query = connection.prepare_cached(&stream_sql(conditions, search.order))?;
    let after = search.after.map_or((i64::MIN, 0), |after| (micros(after), after.number));
    let own = [
        Value::from(stream.source.to_string()),
        Value::from(stream.state.as_str().to_owned()),
        Value::from(*times.start()),
        Value::from(*times.end()),
        Value::from(after.0),
        Value::from(after.1),
        Value::from(search.up_to),
        Value::from(i64::try_from(search.limit).unwrap_or(i64::MAX)),
    ];
    let found = query.query_map(params_from_iter(&own), |row| {
        Ok(SearchHit { cursor: cursor_from_row(row)?, state: stream.state })
    })?;
    found.collect()
}

fn stream_sql(Conditions { index, indexed, .. }: &Conditions, order: SortOrder) -> String {
    let (beyond, direction) = match order {
        SortOrder::NewestFirst => ("<", "DESC"),
        SortOrder::OldestFirst => (">", "ASC"),
    };
    // SQLite has no statistics of the tables, and would sort or scan them with another index. The
    // position is compared by `<>` and `OR`, which leaves the range of `received_at` to the index.
    format!(
        "SELECT received_at, number FROM events INDEXED BY {index}
         WHERE source = ? AND state = ? AND received_at BETWEEN ? AND ?
             AND (received_at <> ? OR number {beyond} ?) AND number <= ? {indexed}
         ORDER BY received_at {direction}, number {direction} LIMIT ?"
    )
}

/// Returns the range of `received_at` in microseconds, both ends included.
pub(super) fn times(
    filter: &EventFilter,
    after: Option<(Cursor, SortOrder)>,
) -> RangeInclusive<i64> {
    let EventFilter { since, until, .. } = filter;
    let mut from = since.map_or(i64::MIN, Timestamp::as_microsecond);
    let mut to = until.map_or(i64::MAX, |until| until.as_microsecond() - 1);
    match after {
        Some((after, SortOrder::NewestFirst)) => to = to.min(micros(after)),
        Some((after, SortOrder::OldestFirst)) => from = from.max(micros(after)),
        None => {}
    }
    from..=to
}

/// Returns the numbers of all events that may match, if the filter names them or an index has few.
fn named(connection: &Connection, filter: &EventFilter) -> rusqlite::Result<Option<Vec<i64>>> {
    if !filter.ids.is_empty() {
        let mut query = connection.prepare_cached("SELECT number FROM events WHERE id = ?1")?;
        let find = |id| query.query_row([EventIdColumn(id)], |row| row.get(0)).optional();
        let found = filter.ids.iter().copied().map(find).filter_map(Result::transpose);
        return found.collect::<rusqlite::Result<_>>().map(Some);
    }
    let Some(sql) = conditions::few(filter) else { return Ok(None) };
    let mut query = connection.prepare_cached(&sql)?;
    let numbers = query.query_map([FEW_MAX + 1], |row| row.get(0))?;
    let numbers: Vec<i64> = numbers.collect::<rusqlite::Result<_>>()?;
    Ok(Some(numbers).filter(|numbers| numbers.len() <= FEW_MAX))
}

/// Returns those of the events that are in the streams, after the search's position and in order.
fn by_numbers(
    connection: &Connection,
    (mut numbers, (streams, conditions)): (Vec<i64>, (&[EventStream], &Conditions)),
    search: &Search,
) -> rusqlite::Result<Vec<SearchHit>> {
    numbers.sort_unstable();
    numbers.dedup();
    let indexed = conditions.indexed;
    let sql =
        format!("SELECT received_at, number, source, state FROM events WHERE number = ? {indexed}");
    let mut query = connection.prepare_cached(&sql)?;
    let times = times(&search.filter, None);
    let mut found = Vec::new();
    for number in numbers.into_iter().filter(|number| *number <= search.up_to) {
        let event = query.query_row([number], |row| {
            let SourceColumn(source) = row.get(2)?;
            let EnumColumn(state) = row.get(3)?;
            Ok((source, SearchHit { cursor: cursor_from_row(row)?, state }))
        });
        let Some((source, event)) = event.optional()? else { continue };
        let is_included =
            |stream: &EventStream| stream.source == source && stream.state == event.state;
        if times.contains(&micros(event.cursor)) && streams.iter().any(is_included) {
            found.push(event);
        }
    }
    sort(&mut found, search.order);
    found.retain(|event| match (search.after, search.order) {
        (Some(after), SortOrder::NewestFirst) => event.cursor < after,
        (Some(after), SortOrder::OldestFirst) => event.cursor > after,
        (None, _) => true,
    });
    Ok(found)
}

fn sort(events: &mut [SearchHit], order: SortOrder) {
    match order {
        SortOrder::NewestFirst => events.sort_unstable_by_key(|event| Reverse(event.cursor)),
        SortOrder::OldestFirst => events.sort_unstable_by_key(|event| event.cursor),
    }
}

fn cursor_from_row(row: &Row<'_>) -> rusqlite::Result<Cursor> {
    let TimeColumn(received_at) = row.get(0)?;
    Ok(Cursor { received_at, number: row.get(1)? })
}

fn micros(place: Cursor) -> i64 {
    place.received_at.as_microsecond()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn page_is_read_from_an_index_in_order_with_each_filter() {
        let all = EventFilter::default();
        for (filter, index) in [
            (all.clone(), "events_listed"),
            (EventFilter { imported: Some(true), ..all.clone() }, "events_imported"),
            (EventFilter { left_out: Some(true), ..all }, "events_left_out"),
        ] {
            for order in [SortOrder::NewestFirst, SortOrder::OldestFirst] {
                let steps = query_plan(&stream_sql(&Conditions::of(&filter), order));

                let step =
                    format!("{index} (source=? AND state=? AND received_at>? AND received_at<?)");
                assert_eq!(steps.len(), 1, "{steps:?}");
                assert!(steps[0].ends_with(&step), "{steps:?}");
            }
        }
    }
}
