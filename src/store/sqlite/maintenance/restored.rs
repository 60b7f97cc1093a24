//! A restored backup at its first start: what was undelivered in it may have been sent since, and
//! is marked as such.

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use crate::event::State;
use crate::store::sqlite::engine::backup_mark;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::queue::leased_event::{self, LeasedEvent};
use crate::store::sqlite::queue::{progress, suspects};
use crate::store::sqlite::rows::columns::TimeColumn;
use crate::store::sqlite::settings::RestoredEvents;

/// What was found in a restored backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    pub made_at: Timestamp,
    /// Events that were queued, those that were being sent included.
    pub queued: usize,
    /// Events that were held already.
    pub held: usize,
    /// Replays that had not ended, and are canceled.
    pub replays: usize,
    pub events: RestoredEvents,
}

const REASON: &str = "restored from a backup: it may have been sent since";

/// Marks the queued and held events of a backup that is served for the first time. Returns none for
/// any other store.
pub(crate) fn mark_events(
    connection: &Connection,
    events: RestoredEvents,
    now: Timestamp,
) -> rusqlite::Result<Option<Restored>> {
    let Some(mark) = backup_mark::find(connection)? else { return Ok(None) };
    let sqlite_transaction =
        rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let transaction = Transaction::on(&sqlite_transaction);
    // The leases are of the relay beside which the backup was made. It did not crash, so no event is
    // a suspect.
    suspects::release_all(&transaction)?;
    let replays = cancel_replays(&transaction, now)?;
    let (queued, held) = mark_undelivered(&transaction)?;
    if events == RestoredEvents::Hold {
        for event in queued_events(&transaction)? {
            progress::settle(&transaction, &event, (State::Held, Some(REASON), now))?;
        }
    }
    backup_mark::remove(&transaction)?;
    transaction.write_counts()?;
    drop(transaction);
    sqlite_transaction.commit()?;
    Ok(Some(Restored { made_at: mark.made_at, queued, held, replays, events }))
}

/// Cancels the replays that were under way.
// They may have ended since, and would send once more what is marked as delivered here.
fn cancel_replays(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    let sql = "UPDATE replays SET canceled_at = ?1 WHERE ended = 0 AND canceled_at IS NULL";
    connection.execute(sql, params![TimeColumn(now)])
}

/// Marks all undelivered events and their requests. Returns the numbers of queued and held events.
fn mark_undelivered(connection: &Connection) -> rusqlite::Result<(usize, usize)> {
    let sql = "UPDATE requests SET may_repeat = 1 WHERE state <> 'done'
                   AND event IN (SELECT number FROM events WHERE state IN ('queued', 'held'))";
    connection.execute(sql, [])?;
    // The reason of an event that waits for another one names that one.
    let sql = "UPDATE events SET may_repeat = 1,
                   reason = CASE WHEN waits_for IS NULL THEN ?1 ELSE reason END
               WHERE state = 'queued'";
    let queued = connection.execute(sql, [REASON])?;
    let held = connection.execute("UPDATE events SET may_repeat = 1 WHERE state = 'held'", [])?;
    Ok((queued, held))
}

fn queued_events(connection: &Connection) -> rusqlite::Result<Vec<LeasedEvent>> {
    let sql = "SELECT number, source, tries, replay,
                   EXISTS (SELECT 1 FROM suspects WHERE suspects.event = number),
                   waits_for IS NOT NULL, received_at
               FROM events WHERE state = 'queued'";
    let mut query = connection.prepare(sql)?;
    let events = query.query_map([], leased_event::from_row)?;
    events.collect()
}
