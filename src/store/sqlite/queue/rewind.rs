//! Moves due times: back with a clock that was set back, and to now if there is nothing to wait
//! for.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::event::SourceName;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{Priority, TimeColumn};

/// Number of events that one read returns, which bounds their memory.
pub(super) const FOUND_MAX: usize = 10_000;

/// Number of events that one commit changes.
// Webhooks wait for the commit.
pub(super) const CHANGED_MAX: usize = 500;

/// Events and replays whose wait began in the future, by the clock as it is now.
#[derive(Debug, Default)]
pub(super) struct FutureWaits {
    pub(super) events: Vec<i64>,
    /// Whether there may be more events than these.
    pub(super) has_more: bool,
    /// Replays that started in the future, by which the next events would be due too late.
    pub(super) replays: Vec<i64>,
}

// Reads only the entries of the index that are due later: a million take 0.25 s, on a reader.
const WAITING: &str = "
    SELECT number FROM events INDEXED BY events_due
    WHERE source = ?1 AND rank = ?2 AND state = 'queued' AND lease_until IS NULL AND due_at > ?3
        AND waits_since > ?3
    LIMIT ?4";
const LEASED: &str = "
    SELECT number FROM events INDEXED BY events_leased
    WHERE lease_until IS NOT NULL AND lease_until > ?1 AND waits_since > ?1 LIMIT ?2";
// `tries` counts failed attempts: an event that waits for its turn in a replay has none.
const RETRYING: &str = "
    SELECT number FROM events INDEXED BY events_due
    WHERE source = ?1 AND rank = ?2 AND state = 'queued' AND lease_until IS NULL AND due_at > ?3
        AND (tries > 0 OR waits_for IS NOT NULL)
    LIMIT ?4";
const REPLAYS: &str = "
    SELECT number FROM replays INDEXED BY replays_open WHERE ended = 0 AND begun_at > ?1";

pub(super) fn find_future_waits(
    connection: &Connection,
    sources: &[SourceName],
    now: Timestamp,
) -> Result<FutureWaits, SqliteError> {
    let mut events = numbers(connection, LEASED, params![TimeColumn(now), FOUND_MAX])?;
    for source in sources {
        for priority in Priority::ALL {
            let left = FOUND_MAX.saturating_sub(events.len());
            let parameters = params![source.as_str(), priority, TimeColumn(now), left];
            events.extend(numbers(connection, WAITING, parameters)?);
        }
    }
    let replays = numbers(connection, REPLAYS, params![TimeColumn(now)])?;
    Ok(FutureWaits { has_more: events.len() >= FOUND_MAX, events, replays })
}

fn numbers(
    connection: &Connection,
    sql: &str,
    parameters: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<Vec<i64>> {
    let mut query = connection.prepare_cached(sql)?;
    let numbers = query.query_map(parameters, |row| row.get(0))?;
    numbers.collect()
}

/// Lets each event's wait and lease begin now, with their lengths.
pub(super) fn move_waits(
    transaction: &Transaction<'_>,
    numbers: &[i64],
    now: Timestamp,
) -> Result<(), SqliteError> {
    // The conditions once more, since the events were found: another step may have changed them.
    let sql = "UPDATE events SET due_at = due_at - (waits_since - ?2),
                   lease_until = lease_until - (waits_since - ?2), waits_since = ?2
               WHERE number = ?1 AND state = 'queued' AND waits_since > ?2";
    let mut update = transaction.prepare_cached(sql)?;
    for number in numbers {
        update.execute(params![number, TimeColumn(now)])?;
        transaction.entry_changed(*number);
    }
    Ok(())
}

/// Makes up to `CHANGED_MAX` events due that wait behind an earlier one, and returns how many.
pub(super) fn end_waits_behind(
    transaction: &Transaction<'_>,
    now: Timestamp,
) -> Result<usize, SqliteError> {
    let sql = "UPDATE events SET due_at = ?1 WHERE number IN (
                   SELECT number FROM events INDEXED BY events_waiting
                   WHERE waits_for IS NOT NULL AND lease_until IS NULL AND due_at > ?1 LIMIT ?2)
               RETURNING number";
    let mut update = transaction.prepare_cached(sql)?;
    let mut rows = update.query(params![TimeColumn(now), CHANGED_MAX])?;
    let mut changed = 0;
    while let Some(row) = rows.next()? {
        transaction.entry_changed(row.get(0)?);
        changed += 1;
    }
    Ok(changed)
}

/// Returns up to `FOUND_MAX` events of these sources that wait for their next try, or behind another one.
pub(super) fn find_retry_waits(
    connection: &Connection,
    sources: &[SourceName],
    now: Timestamp,
) -> Result<Vec<i64>, SqliteError> {
    let mut events = Vec::new();
    for source in sources {
        for priority in Priority::ALL {
            let left = FOUND_MAX.saturating_sub(events.len());
            let parameters = params![source.as_str(), priority, TimeColumn(now), left];
            events.extend(numbers(connection, RETRYING, parameters)?);
        }
    }
    Ok(events)
}

/// Makes these events due, unless another step has changed them meanwhile.
pub(super) fn end_retry_waits(
    connection: &Connection,
    numbers: &[i64],
    now: Timestamp,
) -> Result<(), SqliteError> {
    let sql = "UPDATE events SET due_at = ?2
               WHERE number = ?1 AND state = 'queued' AND lease_until IS NULL AND due_at > ?2";
    let mut update = connection.prepare_cached(sql)?;
    for number in numbers {
        update.execute(params![number, TimeColumn(now)])?;
    }
    Ok(())
}

pub(super) fn move_replays(
    connection: &Connection,
    numbers: &[i64],
    now: Timestamp,
) -> Result<(), SqliteError> {
    let sql = "UPDATE replays SET begun_at = ?2 WHERE number = ?1 AND begun_at > ?2";
    let mut update = connection.prepare_cached(sql)?;
    for number in numbers {
        update.execute(params![number, TimeColumn(now)])?;
    }
    Ok(())
}
