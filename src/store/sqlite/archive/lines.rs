//! Reads the entries of a list.

use rusqlite::{Connection, OptionalExtension as _};

use super::search::{self, LIMIT_MAX, Search, SearchResult};
use crate::store::filter::{EventFilter, EventPage, EventSummary, PageRequest};
use crate::store::headline::Headline;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::mapping_versions::version_of;
use crate::store::sqlite::rows::columns::{
    EnumColumn, EventIdColumn, SourceColumn, TimeColumn, text_column, time_of,
};
use crate::store::sqlite::rows::expressions::{MAY_REPEAT, SENDING, STAGE};
use crate::store::sqlite::rows::headlines;

pub(super) fn list(
    connection: &Connection,
    filter: EventFilter,
    page: PageRequest,
) -> Result<EventPage, SqliteError> {
    let PageRequest { limit, after } = page;
    let search = Search::newest_first(filter, after, limit.clamp(1, LIMIT_MAX));
    found(connection, &search).map(|(listed, _)| listed)
}

/// Returns what a search finds, and how many events it read.
pub(super) fn found(
    connection: &Connection,
    search: &Search,
) -> Result<(EventPage, usize), SqliteError> {
    // One snapshot: an event may be purged between the search and the read of its entry.
    let snapshot = connection.unchecked_transaction()?;
    let sql = "SELECT coalesce(max(number), 0) FROM events";
    let newest = snapshot.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let SearchResult { events, next, scanned } = search::find(&snapshot, search)?;
    let lines = events.iter().map(|event| summary(&snapshot, event.number()));
    let events = lines.collect::<rusqlite::Result<_>>()?;
    Ok((EventPage { events, next, newest }, scanned))
}

/// Returns the entries of these events, in this order, without those that are gone.
pub(super) fn entries(
    connection: &Connection,
    seqs: &[u64],
) -> Result<Vec<EventSummary>, SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let mut entries = Vec::with_capacity(seqs.len());
    for seq in seqs {
        entries.extend(summary(&snapshot, seq.cast_signed()).optional()?);
    }
    Ok(entries)
}

pub(super) fn summary(connection: &Connection, number: i64) -> rusqlite::Result<EventSummary> {
    let sql = format!(
        "SELECT id, events.source, type, delivery_id, state, reason, received_at, due_at, left_out,
             (SELECT count(*) FROM attempts WHERE event = events.number), waits_for,
             {STAGE}, {MAY_REPEAT}, {SENDING}, digest, since, erased_at, copy_of
         FROM events LEFT JOIN mapping_versions AS version ON version.number = mapping
         WHERE events.number = ?1"
    );
    connection.prepare_cached(&sql)?.query_row([number], |row| {
        let (EventIdColumn(id), SourceColumn(source)) = (row.get(0)?, row.get(1)?);
        let (EnumColumn(state), TimeColumn(received_at)) = (row.get(4)?, row.get(6)?);
        let (due_at, stopped_at): (Option<TimeColumn>, Option<EnumColumn<_>>) =
            (row.get(7)?, row.get(11)?);
        let Headline { summary, who, company } = headlines::read(connection, number)?;
        // Invalid JSON must not hide the other events of a page; the event's own page notes it.
        let left_out = text_column(row, 8)?.and_then(|json| serde_json::from_str(&json).ok());
        Ok(EventSummary {
            seq: number.cast_unsigned(),
            id,
            source,
            event_type: text_column(row, 2)?,
            delivery_id: text_column(row, 3)?,
            state,
            stage: stopped_at.map(|EnumColumn(stopped_at)| stopped_at),
            reason: text_column(row, 5)?,
            summary,
            who,
            company,
            received_at,
            left_out: left_out.unwrap_or_default(),
            attempts: row.get(9)?,
            may_repeat: row.get(12)?,
            sending: row.get(13)?,
            due_at: due_at.map(|TimeColumn(due_at)| due_at),
            waiting_for: None,
            waits_for: row.get(10)?,
            mapping: version_of(row, 14)?,
            erased_at: time_of(row, 16)?,
            copy_of: row.get::<_, Option<EventIdColumn>>(17)?.map(|EventIdColumn(id)| id),
        })
    })
}
