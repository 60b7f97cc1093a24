//! Retention: what settled long ago leaves, a little at a time, and its space goes back to the disk.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::failure::Failure;
use super::row::Time;
use crate::store::Forgotten;

/// One step forgets so many events at most, and stops after bodies of so many bytes.
const EVENTS: usize = 100;
const BYTES: usize = 4 * 1024 * 1024;

/// How many pages one step gives back to the disk.
const PAGES: i64 = 500;

/// Room for what comes next.
const PAGES_KEPT: i64 = 64;

pub(super) fn forget(connection: &Connection, before: Timestamp) -> Result<Forgotten, Failure> {
    let (events, is_all) = forget_events(connection, before)?;
    forget_replays(connection, before)?;
    let given_back_all = give_back(connection)?;
    Ok(Forgotten { events, has_steps: !is_all || !given_back_all })
}

fn forget_events(connection: &Connection, before: Timestamp) -> Result<(usize, bool), Failure> {
    let sql = "SELECT events.number, webhook, length(body) FROM events INDEXED BY events_settled
                   JOIN webhooks ON webhooks.number = webhook
               WHERE settled_at IS NOT NULL AND settled_at < ?1 ORDER BY settled_at LIMIT ?2";
    let mut query = connection.prepare_cached(sql)?;
    let old = query.query_map(params![Time(before), EVENTS], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let old: Vec<(i64, i64, usize)> = old.collect::<rusqlite::Result<_>>()?;

    let (mut events, mut bytes) = (0, 0);
    for (event, webhook, body) in &old {
        if bytes > BYTES {
            return Ok((events, false));
        }
        connection.prepare_cached("DELETE FROM events WHERE number = ?1")?.execute([event])?;
        let sql = "DELETE FROM webhooks WHERE number = ?1
                       AND NOT EXISTS (SELECT 1 FROM events WHERE webhook = ?1)";
        bytes += connection.prepare_cached(sql)?.execute([webhook])? * body;
        events += 1;
    }
    Ok((events, events < EVENTS))
}

/// Replays that were begun long ago and are over.
fn forget_replays(connection: &Connection, before: Timestamp) -> Result<(), Failure> {
    let sql = "DELETE FROM replays WHERE number IN
                   (SELECT number FROM replays WHERE ended AND begun_at < ?1 AND waiting = 0 LIMIT ?2)";
    connection.prepare_cached(sql)?.execute(params![Time(before), EVENTS])?;
    Ok(())
}

/// Whether nothing more can be given back.
fn give_back(connection: &Connection) -> Result<bool, Failure> {
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
