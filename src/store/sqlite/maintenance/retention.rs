//! Retention: purges expired events in small steps, and returns their space to the disk.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::event::State;
use crate::store::maintenance::Purged;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::free_pages;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{EnumColumn, TimeColumn};

/// Limits of one step: events, and bytes of webhooks and planned requests after which it stops.
// A step is one commit, for which webhooks wait; its pages go through the write-ahead log.
const EVENTS_MAX: usize = 100;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Number of free pages that stay in the file.
// The next webhooks use them. Returned, they would have to be allocated again.
const PAGES_KEPT: i64 = 64;

pub(super) fn purge(
    transaction: &Transaction<'_>,
    before: Timestamp,
) -> Result<Purged, SqliteError> {
    // What is purged cannot be erased later. Overwriting its pages would write as much as storing it did.
    transaction.pragma_update(None, "secure_delete", "FAST")?;
    let purged = purge_events(transaction, before);
    transaction.pragma_update(None, "secure_delete", "ON")?;
    let (events, is_all) = purged?;
    purge_replays(transaction, before)?;
    let given_back_all = free_pages::give_back(transaction, PAGES_KEPT)?;
    Ok(Purged { events, has_more: !is_all || !given_back_all })
}

fn purge_events(
    transaction: &Transaction<'_>,
    before: Timestamp,
) -> Result<(usize, bool), SqliteError> {
    let (mut events, mut bytes) = (0, 0);
    let expired_events = expired_events(transaction, before)?;
    if !expired_events.is_empty() {
        // Before the newest event may be deleted.
        save_highest_number(transaction)?;
    }
    for expired in expired_events {
        if bytes > BYTES_MAX {
            return Ok((events, false));
        }
        transaction
            .prepare_cached("DELETE FROM events WHERE number = ?1")?
            .execute([expired.number])?;
        transaction.count_removed(&expired.source, expired.received_at, expired.state);
        bytes += expired.plan_bytes;
        // The webhook goes with the last of its events.
        let sql = "DELETE FROM webhooks WHERE number = ?1
                       AND NOT EXISTS (SELECT 1 FROM events WHERE webhook = ?1)";
        let webhooks = transaction.prepare_cached(sql)?.execute([expired.webhook])?;
        bytes += webhooks * expired.webhook_bytes;
        events += 1;
    }
    Ok((events, events < EVENTS_MAX))
}

/// Records the highest number so far, so that it is not used again after the newest event is
/// purged.
fn save_highest_number(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE forgotten
               SET number = max(number, (SELECT coalesce(max(number), 0) FROM events))";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}

struct ExpiredEvent {
    number: i64,
    source: String,
    received_at: Timestamp,
    state: State,
    webhook: i64,
    webhook_bytes: usize,
    plan_bytes: usize,
}

fn expired_events(
    connection: &Connection,
    before: Timestamp,
) -> rusqlite::Result<Vec<ExpiredEvent>> {
    // A row begins with the lengths of its columns, so `octet_length` reads no text.
    let sql = "SELECT events.number, events.source, state, webhook,
                   octet_length(body) + coalesce(octet_length(decoded), 0) + octet_length(headers),
                   coalesce((SELECT octet_length(requests) FROM plans WHERE plans.event = events.number), 0),
                   events.received_at
               FROM events INDEXED BY events_settled JOIN webhooks ON webhooks.number = webhook
               WHERE settled_at IS NOT NULL AND settled_at < ?1 ORDER BY settled_at LIMIT ?2";
    let mut query = connection.prepare_cached(sql)?;
    let expired = query.query_map(params![TimeColumn(before), EVENTS_MAX], |row| {
        let (EnumColumn(state), TimeColumn(received_at)) = (row.get(2)?, row.get(6)?);
        Ok(ExpiredEvent {
            number: row.get(0)?,
            source: row.get(1)?,
            received_at,
            state,
            webhook: row.get(3)?,
            webhook_bytes: row.get(4)?,
            plan_bytes: row.get(5)?,
        })
    })?;
    expired.collect()
}

/// Number of rows that one step deletes.
const HALF_HOURS_MAX: usize = 500;

/// Condition for a half hour from before a time of whose events none is stored.
const EXPIRED: &str = "at < ?1 AND now_queued = 0 AND now_delivered = 0 AND now_ignored = 0
    AND now_held = 0 AND now_dead = 0";

pub(super) fn has_expired_half_hours(
    connection: &Connection,
    before: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = format!("SELECT 1 FROM half_hours WHERE {EXPIRED}");
    connection.prepare_cached(&sql)?.exists([TimeColumn(before)])
}

/// Deletes some half hours from before a time, and returns whether there are more.
pub(super) fn purge_half_hours(
    connection: &Connection,
    before: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = format!(
        "DELETE FROM half_hours WHERE (at, source) IN
             (SELECT at, source FROM half_hours WHERE {EXPIRED} LIMIT ?2)"
    );
    let mut delete = connection.prepare_cached(&sql)?;
    Ok(delete.execute(params![TimeColumn(before), HALF_HOURS_MAX])? == HALF_HOURS_MAX)
}

/// Deletes replays that started before this time, have ended, and have no event waiting.
fn purge_replays(connection: &Connection, before: Timestamp) -> Result<(), SqliteError> {
    let sql = "DELETE FROM replays WHERE number IN
                   (SELECT number FROM replays WHERE ended AND begun_at < ?1 AND waiting = 0 LIMIT ?2)";
    connection.prepare_cached(sql)?.execute(params![TimeColumn(before), EVENTS_MAX])?;
    Ok(())
}
