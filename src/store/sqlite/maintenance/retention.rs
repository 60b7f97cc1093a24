//! Retention: what settled long ago leaves, a little at a time, and its space goes back to the disk.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::event::State;
use crate::store::maintenance::Purged;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{EnumColumn, TimeColumn};

/// One step forgets so many events at most, and stops after bodies of so many bytes.
const EVENTS: usize = 100;
const BYTES: usize = 4 * 1024 * 1024;

/// How many pages one step gives back to the disk.
const PAGES: i64 = 500;

/// Room for what comes next.
const PAGES_KEPT: i64 = 64;

pub(super) fn forget(writing: &Transaction<'_>, before: Timestamp) -> Result<Purged, SqliteError> {
    let (events, is_all) = forget_events(writing, before)?;
    forget_replays(writing, before)?;
    let given_back_all = give_back(writing)?;
    Ok(Purged { events, has_steps: !is_all || !given_back_all })
}

fn forget_events(
    writing: &Transaction<'_>,
    before: Timestamp,
) -> Result<(usize, bool), SqliteError> {
    let (mut events, mut bytes) = (0, 0);
    let oldest = oldest(writing, before)?;
    if !oldest.is_empty() {
        keep_highest_number(writing)?;
    }
    for old in oldest {
        if bytes > BYTES {
            return Ok((events, false));
        }
        writing.prepare_cached("DELETE FROM events WHERE number = ?1")?.execute([old.number])?;
        writing.went(&old.source, old.state);
        let sql = "DELETE FROM webhooks WHERE number = ?1
                       AND NOT EXISTS (SELECT 1 FROM events WHERE webhook = ?1)";
        bytes += writing.prepare_cached(sql)?.execute([old.webhook])? * old.body_bytes;
        events += 1;
    }
    Ok((events, events < EVENTS))
}

/// The newest event may go, and its number is not to come again.
fn keep_highest_number(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE forgotten
               SET number = max(number, (SELECT coalesce(max(number), 0) FROM events))";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

struct ExpiredEvent {
    number: i64,
    source: String,
    state: State,
    webhook: i64,
    body_bytes: usize,
}

fn oldest(connection: &Connection, before: Timestamp) -> rusqlite::Result<Vec<ExpiredEvent>> {
    let sql = "SELECT events.number, events.source, state, webhook, length(body)
               FROM events INDEXED BY events_settled JOIN webhooks ON webhooks.number = webhook
               WHERE settled_at IS NOT NULL AND settled_at < ?1 ORDER BY settled_at LIMIT ?2";
    let mut query = connection.prepare_cached(sql)?;
    let old = query.query_map(params![TimeColumn(before), EVENTS], |row| {
        let EnumColumn(state) = row.get(2)?;
        Ok(ExpiredEvent {
            number: row.get(0)?,
            source: row.get(1)?,
            state,
            webhook: row.get(3)?,
            body_bytes: row.get(4)?,
        })
    })?;
    old.collect()
}

/// Replays that were begun long ago and are over.
fn forget_replays(connection: &Connection, before: Timestamp) -> Result<(), SqliteError> {
    let sql = "DELETE FROM replays WHERE number IN
                   (SELECT number FROM replays WHERE ended AND begun_at < ?1 AND waiting = 0 LIMIT ?2)";
    connection.prepare_cached(sql)?.execute(params![TimeColumn(before), EVENTS])?;
    Ok(())
}

/// Whether nothing more can be given back.
fn give_back(connection: &Connection) -> Result<bool, SqliteError> {
    let free = free_pages(connection)?;
    let pages = (free - PAGES_KEPT).clamp(0, PAGES);
    if pages == 0 {
        return Ok(true);
    }
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    let left = free_pages(connection)?;
    Ok(left <= PAGES_KEPT || left == free)
}

fn free_pages(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "freelist_count", |row| row.get(0))
}
