//! Finds events by a filter, in order of receipt, one page at a time.

use std::cmp::Reverse;
use std::ops::RangeInclusive;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::event::{SourceName, State};
use crate::store::filter::{Cursor, EventFilter, EventPage, EventSummary, MatchCount, PageRequest};
use crate::store::headline::Headline;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::mapping_versions::version_of;
use crate::store::sqlite::rows::columns::{
    EnumColumn, EventIdColumn, ShownColumn, SourceColumn, TimeColumn,
};
use crate::store::sqlite::rows::headlines;

pub(super) const LIMIT_MAX: usize = 500;

/// Number of events that a text search reads at a time, and for one page.
pub(super) const CHUNK_EVENTS: usize = 1000;
pub(super) const SCANNED_MAX: usize = 20_000;

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

/// Limits of one slice of a text search, which then continues from its `next`. It reads at least
/// one chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct SearchBudget {
    pub(super) scanned_max: usize,
    pub(super) until: Option<Instant>,
}

impl SearchBudget {
    pub(super) const PAGE: SearchBudget = SearchBudget { scanned_max: SCANNED_MAX, until: None };
}

impl Search {
    pub(super) fn newest_first(filter: EventFilter, after: Option<Cursor>, limit: usize) -> Search {
        let (order, slice) = (SortOrder::NewestFirst, SearchBudget::PAGE);
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

pub(super) fn list(
    connection: &Connection,
    filter: EventFilter,
    page: PageRequest,
) -> Result<EventPage, SqliteError> {
    let PageRequest { limit, after } = page;
    let search = Search::newest_first(filter, after, limit.clamp(1, LIMIT_MAX));
    summaries(connection, &search).map(|(listed, _)| listed)
}

/// Returns what a search finds, and how many events it read.
pub(super) fn summaries(
    connection: &Connection,
    search: &Search,
) -> Result<(EventPage, usize), SqliteError> {
    // One snapshot: an event may be purged between the search and the read of its entry.
    let snapshot = connection.unchecked_transaction()?;
    let SearchResult { events, next, scanned } = find(&snapshot, search)?;
    let lines = events.iter().map(|event| summary(&snapshot, event.cursor.number));
    Ok((EventPage { events: lines.collect::<rusqlite::Result<_>>()?, next }, scanned))
}

pub(super) fn find(connection: &Connection, search: &Search) -> rusqlite::Result<SearchResult> {
    let streams = streams(connection, &search.filter)?;
    let text = search.filter.text.as_ref().map(|text| text.to_lowercase());
    // One more than the page shows whether there is a next page.
    let size = if text.is_some() { CHUNK_EVENTS } else { search.limit + 1 };
    let (mut events, mut after, mut scanned) = (Vec::new(), search.after, 0);
    loop {
        let chunk = chunk(connection, &streams, &Search { after, limit: size, ..search.clone() })?;
        scanned += chunk.len();
        for candidate in &chunk {
            if events.len() == search.limit {
                return Ok(SearchResult { events, next: after, scanned });
            }
            if contains_text(connection, candidate, text.as_deref())? {
                events.push(*candidate);
            }
            after = Some(candidate.cursor);
        }
        if chunk.len() < size {
            return Ok(SearchResult { events, next: None, scanned });
        }
        let SearchBudget { scanned_max, until } = search.slice;
        if scanned >= scanned_max || until.is_some_and(|until| Instant::now() >= until) {
            return Ok(SearchResult { events, next: after, scanned });
        }
    }
}

/// Returns whether the text is part of the event's id, delivery id, type, reason or headline.
fn contains_text(
    connection: &Connection,
    event: &SearchHit,
    text: Option<&str>,
) -> rusqlite::Result<bool> {
    let Some(text) = text else { return Ok(true) };
    // Not by LIKE: it has wildcards, and ignores the case of ASCII letters only.
    let sql = "SELECT id, delivery_id, type, reason FROM events WHERE number = ?1";
    connection.prepare_cached(sql)?.query_row([event.cursor.number], |row| {
        let EventIdColumn(id) = row.get(0)?;
        let words = [text_column(row, 1)?, text_column(row, 2)?, text_column(row, 3)?];
        let matches = |word: &String| word.to_lowercase().contains(text);
        if id.to_string().contains(text) || words.iter().flatten().any(matches) {
            return Ok(true);
        }
        let Headline { summary, who, company } = headlines::read(connection, event.cursor.number)?;
        Ok([summary, who, company].iter().flatten().any(matches))
    })
}

pub(super) fn summary(connection: &Connection, number: i64) -> rusqlite::Result<EventSummary> {
    let sql = "SELECT id, events.source, type, delivery_id, state, reason, received_at, due_at, left_out,
                   (SELECT count(*) FROM attempts WHERE event = events.number), waits_for, digest, since
               FROM events LEFT JOIN mapping_versions AS version ON version.number = mapping
               WHERE events.number = ?1";
    connection.prepare_cached(sql)?.query_row([number], |row| {
        let (EventIdColumn(id), SourceColumn(source)) = (row.get(0)?, row.get(1)?);
        let (EnumColumn(state), TimeColumn(received_at)) = (row.get(4)?, row.get(6)?);
        let due_at: Option<TimeColumn> = row.get(7)?;
        // Invalid JSON must not hide the other events of a page; the event's own page notes it.
        let Headline { summary, who, company } = headlines::read(connection, number)?;
        let left_out = text_column(row, 8)?.and_then(|json| serde_json::from_str(&json).ok());
        Ok(EventSummary {
            seq: number.cast_unsigned(),
            id,
            source,
            event_type: text_column(row, 2)?,
            delivery_id: text_column(row, 3)?,
            state,
            reason: text_column(row, 5)?,
            summary,
            who,
            company,
            received_at,
            left_out: left_out.unwrap_or_default(),
            attempts: row.get(9)?,
            due_at: due_at.map(|TimeColumn(due_at)| due_at),
            waiting_for: None,
            waits_for: row.get(10)?,
            mapping: version_of(row, 11)?,
        })
    })
}

fn text_column(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    // Text that is not UTF-8, as after damage, would fail the whole page for one event.
    let text: Option<ShownColumn> = row.get(column)?;
    Ok(text.map(|ShownColumn(text)| text))
}

/// Counts the events that match a filter without a text.
pub(super) fn count_matching(
    connection: &Connection,
    filter: &EventFilter,
) -> Result<MatchCount, SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut matching = MatchCount::default();
    if filter.ids.is_empty() {
        for stream in streams(&snapshot, filter)? {
            matching.add(stream.state, count(&snapshot, &stream, filter)?);
        }
        return Ok(matching);
    }
    let search = Search::newest_first(filter.clone(), None, filter.ids.len());
    let found = find(&snapshot, &search)?;
    found.events.iter().for_each(|event| matching.add(event.state, 1));
    Ok(matching)
}

fn count(
    connection: &Connection,
    stream: &EventStream,
    filter: &EventFilter,
) -> rusqlite::Result<u64> {
    // Without conditions on single events the stored count answers. `?3 < ?4` is always true there;
    // it lets both statements take the same parameters.
    let sql = if filter.since.is_none() && filter.until.is_none() && filter.left_out.is_none() {
        "SELECT events FROM counts WHERE source = ?1 AND state = ?2 AND ?3 < ?4".to_owned()
    } else {
        let (index, condition) = index_and_condition(filter);
        format!(
            "SELECT count(*) FROM events INDEXED BY {index}
             WHERE source = ?1 AND state = ?2 AND received_at BETWEEN ?3 AND ?4 {condition}"
        )
    };
    let times = times(filter, None);
    connection.prepare_cached(&sql)?.query_row(
        params![stream.source.as_str(), stream.state.as_str(), times.start(), times.end()],
        |row| row.get(0),
    )
}

/// Returns the index in which events are looked up, and a further condition on them.
fn index_and_condition(filter: &EventFilter) -> (&'static str, &'static str) {
    match filter.left_out {
        None => ("events_listed", ""),
        Some(true) => ("events_left_out", "AND left_out <> '[]'"),
        Some(false) => ("events_listed", "AND left_out = '[]'"),
    }
}

/// The events of one source in one state, which an index has in order of receipt.
struct EventStream {
    source: SourceName,
    state: State,
}

fn streams(connection: &Connection, filter: &EventFilter) -> rusqlite::Result<Vec<EventStream>> {
    let sql = "SELECT source, state FROM counts WHERE events > 0";
    let mut query = connection.prepare_cached(sql)?;
    let streams = query.query_map([], |row| {
        let SourceColumn(source) = row.get(0)?;
        let EnumColumn(state) = row.get(1)?;
        Ok(EventStream { source, state })
    })?;
    let mut streams: Vec<EventStream> = streams.collect::<rusqlite::Result<_>>()?;
    streams.retain(|stream| {
        filter.sources.as_ref().is_none_or(|sources| sources.contains(&stream.source))
            && filter.state.is_none_or(|state| state == stream.state)
    });
    Ok(streams)
}

/// Returns the first events of all streams after the search's position, merged in order.
fn chunk(
    connection: &Connection,
    streams: &[EventStream],
    search: &Search,
) -> rusqlite::Result<Vec<SearchHit>> {
    if !search.filter.ids.is_empty() {
        return by_ids(connection, streams, search);
    }
    let mut first = Vec::new();
    let mut times = times(&search.filter, search.after.map(|after| (after, search.order)));
    for stream in streams {
        first.extend(stream_chunk(connection, stream, (search, &times))?);
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
    stream: &EventStream,
    (search, times): (&Search, &RangeInclusive<i64>),
) -> rusqlite::Result<Vec<SearchHit>> {
    let (beyond, direction) = match search.order {
        SortOrder::NewestFirst => ("<", "DESC"),
        SortOrder::OldestFirst => (">", "ASC"),
    };
    let (index, condition) = index_and_condition(&search.filter);
    // SQLite has no statistics of the tables, and would sort or scan them with another index. The
    // position is compared by `<>` and `OR`, which leaves the range of `received_at` to the index.
    let sql = format!(
        "SELECT received_at, number FROM events INDEXED BY {index}
         WHERE source = ?1 AND state = ?2 AND received_at BETWEEN ?3 AND ?4
             AND (received_at <> ?5 OR number {beyond} ?6) AND number <= ?8 {condition}
         ORDER BY received_at {direction}, number {direction} LIMIT ?7"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let after = search.after.map_or((i64::MIN, 0), |after| (micros(after), after.number));
    let found = query.query_map(
        params![
            stream.source.as_str(),
            stream.state.as_str(),
            times.start(),
            times.end(),
            after.0,
            after.1,
            search.limit,
            search.up_to,
        ],
        |row| Ok(SearchHit { cursor: cursor_from_row(row)?, state: stream.state }),
    )?;
    found.collect()
}

/// Returns the range of `received_at` in microseconds, both ends included.
fn times(filter: &EventFilter, after: Option<(Cursor, SortOrder)>) -> RangeInclusive<i64> {
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

fn by_ids(
    connection: &Connection,
    streams: &[EventStream],
    search: &Search,
) -> rusqlite::Result<Vec<SearchHit>> {
    let (_, condition) = index_and_condition(&search.filter);
    let sql =
        format!("SELECT received_at, number, source, state FROM events WHERE id = ?1 {condition}");
    let mut query = connection.prepare_cached(&sql)?;
    let times = times(&search.filter, None);
    let mut found = Vec::new();
    for id in &search.filter.ids {
        let event = query.query_row([EventIdColumn(*id)], |row| {
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
    found.dedup();
    let is_ahead = |event: &SearchHit| match (search.after, search.order) {
        (Some(after), SortOrder::NewestFirst) => event.cursor < after,
        (Some(after), SortOrder::OldestFirst) => event.cursor > after,
        (None, _) => true,
    };
    found.retain(|event| is_ahead(event) && event.cursor.number <= search.up_to);
    found.truncate(search.limit);
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
