//! Finds events by a filter: in order of receipt, and never more at once than a page.

use std::cmp::Reverse;
use std::ops::RangeInclusive;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::event::{SourceName, State};
use crate::store::filter::{Cursor, EventFilter, EventPage, EventSummary, MatchCount, PageRequest};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{
    EnumColumn, EventIdColumn, ShownColumn, SourceColumn, TimeColumn,
};

pub(super) const LIMIT_MAX: usize = 500;

/// A search for a text reads so many events at a time, and so many for one page.
pub(super) const CHUNK: usize = 1000;
pub(super) const LOOKED_MAX: usize = 20_000;

/// What is looked for from a place on.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) filter: EventFilter,
    pub(super) order: SortOrder,
    pub(super) after: Option<Cursor>,
    /// The number of the last event that may be meant.
    pub(super) up_to: i64,
    pub(super) limit: usize,
    pub(super) slice: SearchBudget,
}

/// How far a search for a text goes before it ends with a place to go on from: a thousand events at least.
#[derive(Debug, Clone, Copy)]
pub(super) struct SearchBudget {
    /// How many events are looked at.
    pub(super) looked_max: usize,
    pub(super) until: Option<Instant>,
}

impl SearchBudget {
    pub(super) const PAGE: SearchBudget = SearchBudget { looked_max: LOOKED_MAX, until: None };
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
    /// How many events were looked at.
    pub(super) looked: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SearchHit {
    pub(super) place: Cursor,
    pub(super) state: State,
}

pub(super) fn list(
    connection: &Connection,
    filter: EventFilter,
    page: PageRequest,
) -> Result<EventPage, SqliteError> {
    let PageRequest { limit, after } = page;
    let search = Search::newest_first(filter, after, limit.clamp(1, LIMIT_MAX));
    lines(connection, &search).map(|(listed, _)| listed)
}

/// What a search finds, and how many events it looked at.
pub(super) fn lines(
    connection: &Connection,
    search: &Search,
) -> Result<(EventPage, usize), SqliteError> {
    // All of it as it was at one moment.
    let snapshot = connection.unchecked_transaction()?;
    let SearchResult { events, next, looked } = find(&snapshot, search)?;
    let lines = events.iter().map(|event| line(&snapshot, event.place.number));
    Ok((EventPage { events: lines.collect::<rusqlite::Result<_>>()?, next }, looked))
}

pub(super) fn find(connection: &Connection, search: &Search) -> rusqlite::Result<SearchResult> {
    let streams = streams(connection, &search.filter)?;
    let text = search.filter.text.as_ref().map(|text| text.to_lowercase());
    let size = if text.is_some() { CHUNK } else { search.limit + 1 };
    let (mut events, mut after, mut looked) = (Vec::new(), search.after, 0);
    loop {
        let chunk = chunk(connection, &streams, &Search { after, limit: size, ..search.clone() })?;
        looked += chunk.len();
        for candidate in &chunk {
            if events.len() == search.limit {
                return Ok(SearchResult { events, next: after, looked });
            }
            if says(connection, candidate, text.as_deref())? {
                events.push(*candidate);
            }
            after = Some(candidate.place);
        }
        if chunk.len() < size {
            return Ok(SearchResult { events, next: None, looked });
        }
        let SearchBudget { looked_max, until } = search.slice;
        if looked >= looked_max || until.is_some_and(|until| Instant::now() >= until) {
            return Ok(SearchResult { events, next: after, looked });
        }
    }
}

/// Whether the text is in what a person may know of an event.
fn says(connection: &Connection, event: &SearchHit, text: Option<&str>) -> rusqlite::Result<bool> {
    let Some(text) = text else { return Ok(true) };
    let sql = "SELECT id, delivery_id, type, reason FROM events WHERE number = ?1";
    connection.prepare_cached(sql)?.query_row([event.place.number], |row| {
        let EventIdColumn(id) = row.get(0)?;
        let words = [shown(row, 1)?, shown(row, 2)?, shown(row, 3)?];
        let says = |word: &String| word.to_lowercase().contains(text);
        Ok(id.to_string().contains(text) || words.iter().flatten().any(says))
    })
}

fn line(connection: &Connection, number: i64) -> rusqlite::Result<EventSummary> {
    let sql = "SELECT id, source, type, delivery_id, state, reason, received_at, due_at, left_out,
                   (SELECT count(*) FROM attempts WHERE event = events.number)
               FROM events WHERE number = ?1";
    connection.prepare_cached(sql)?.query_row([number], |row| {
        let (EventIdColumn(id), SourceColumn(source)) = (row.get(0)?, row.get(1)?);
        let (EnumColumn(state), TimeColumn(received_at)) = (row.get(4)?, row.get(6)?);
        let due_at: Option<TimeColumn> = row.get(7)?;
        // That it is no JSON is noted where the event alone is shown.
        let left_out = shown(row, 8)?.and_then(|json| serde_json::from_str(&json).ok());
        Ok(EventSummary {
            seq: number.cast_unsigned(),
            id,
            source,
            event_type: shown(row, 2)?,
            delivery_id: shown(row, 3)?,
            state,
            reason: shown(row, 5)?,
            received_at,
            left_out: left_out.unwrap_or_default(),
            attempts: row.get(9)?,
            due_at: due_at.map(|TimeColumn(due_at)| due_at),
        })
    })
}

/// One event that holds what is no UTF-8 keeps no other from being listed.
fn shown(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    let text: Option<ShownColumn> = row.get(column)?;
    Ok(text.map(|ShownColumn(text)| text))
}

/// Of a filter without a text, which would have to be searched for.
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
    let sql = if filter.since.is_none() && filter.until.is_none() && filter.left_out.is_none() {
        "SELECT events FROM counts WHERE source = ?1 AND state = ?2 AND ?3 < ?4".to_owned()
    } else {
        let (index, also) = by_left_out(filter);
        format!(
            "SELECT count(*) FROM events INDEXED BY {index}
             WHERE source = ?1 AND state = ?2 AND received_at BETWEEN ?3 AND ?4 {also}"
        )
    };
    let times = times(filter, None);
    connection.prepare_cached(&sql)?.query_row(
        params![stream.source.as_str(), stream.state.as_str(), times.start(), times.end()],
        |row| row.get(0),
    )
}

/// The index in which events are looked up, and what else is asked of them.
fn by_left_out(filter: &EventFilter) -> (&'static str, &'static str) {
    match filter.left_out {
        None => ("events_listed", ""),
        Some(true) => ("events_left_out", "AND left_out <> '[]'"),
        Some(false) => ("events_listed", "AND left_out = '[]'"),
    }
}

/// The events of one source in one state: an index has them in order.
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

/// The first of all streams, in order.
fn chunk(
    connection: &Connection,
    streams: &[EventStream],
    search: &Search,
) -> rusqlite::Result<Vec<SearchHit>> {
    if !search.filter.ids.is_empty() {
        return named(connection, streams, search);
    }
    let mut first = Vec::new();
    let mut times = times(&search.filter, search.after.map(|after| (after, search.order)));
    for stream in streams {
        first.extend(ahead(connection, stream, (search, &times))?);
        sort(&mut first, search.order);
        first.truncate(search.limit);
        // Nothing that comes later than what is found already.
        if let Some(last) = first.last().filter(|_| first.len() == search.limit) {
            let last = last.place.received_at.as_microsecond();
            times = match search.order {
                SortOrder::NewestFirst => *times.start().max(&last)..=*times.end(),
                SortOrder::OldestFirst => *times.start()..=*times.end().min(&last),
            };
        }
    }
    Ok(first)
}

fn ahead(
    connection: &Connection,
    stream: &EventStream,
    (search, times): (&Search, &RangeInclusive<i64>),
) -> rusqlite::Result<Vec<SearchHit>> {
    let (beyond, direction) = match search.order {
        SortOrder::NewestFirst => ("<", "DESC"),
        SortOrder::OldestFirst => (">", "ASC"),
    };
    let (index, also) = by_left_out(&search.filter);
    let sql = format!(
        "SELECT received_at, number FROM events INDEXED BY {index}
         WHERE source = ?1 AND state = ?2 AND received_at BETWEEN ?3 AND ?4
             AND (received_at <> ?5 OR number {beyond} ?6) AND number <= ?8 {also}
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
        |row| Ok(SearchHit { place: place(row)?, state: stream.state }),
    )?;
    found.collect()
}

/// The microseconds that are meant, both ends included.
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

fn named(
    connection: &Connection,
    streams: &[EventStream],
    search: &Search,
) -> rusqlite::Result<Vec<SearchHit>> {
    let (_, also) = by_left_out(&search.filter);
    let sql = format!("SELECT received_at, number, source, state FROM events WHERE id = ?1 {also}");
    let mut query = connection.prepare_cached(&sql)?;
    let times = times(&search.filter, None);
    let mut found = Vec::new();
    for id in &search.filter.ids {
        let event = query.query_row([EventIdColumn(*id)], |row| {
            let SourceColumn(source) = row.get(2)?;
            let EnumColumn(state) = row.get(3)?;
            Ok((source, SearchHit { place: place(row)?, state }))
        });
        let Some((source, event)) = event.optional()? else { continue };
        let is_meant =
            |stream: &EventStream| stream.source == source && stream.state == event.state;
        if times.contains(&micros(event.place)) && streams.iter().any(is_meant) {
            found.push(event);
        }
    }
    sort(&mut found, search.order);
    found.dedup();
    let is_ahead = |event: &SearchHit| match (search.after, search.order) {
        (Some(after), SortOrder::NewestFirst) => event.place < after,
        (Some(after), SortOrder::OldestFirst) => event.place > after,
        (None, _) => true,
    };
    found.retain(|event| is_ahead(event) && event.place.number <= search.up_to);
    found.truncate(search.limit);
    Ok(found)
}

fn sort(events: &mut [SearchHit], order: SortOrder) {
    match order {
        SortOrder::NewestFirst => events.sort_unstable_by_key(|event| Reverse(event.place)),
        SortOrder::OldestFirst => events.sort_unstable_by_key(|event| event.place),
    }
}

fn place(row: &Row<'_>) -> rusqlite::Result<Cursor> {
    let TimeColumn(received_at) = row.get(0)?;
    Ok(Cursor { received_at, number: row.get(1)? })
}

fn micros(place: Cursor) -> i64 {
    place.received_at.as_microsecond()
}
