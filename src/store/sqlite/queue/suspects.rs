//! Suspects: events that were claimed and not mapped yet when the process ended. Mapping one of them may
//! have ended it, by its memory or its stack; which one is known by a mark on disk while it is mapped alone.

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tracing::warn;

use super::leases::{self, LeasedEvent};
use super::progress;
use crate::event::{EventId, State};
use crate::store::Claim;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::EventIdColumn;

/// One death may be chance, such as a kill at that very moment; three are none.
const DEATHS_MAX: u32 = 3;

const REASON: &str = "the relay's process ended three times while it mapped this event alone, so it is not \
    tried again; replay it after a change, such as more memory or another mapping";

/// Ends all leases of a process that did not stop cleanly. Whatever it had in hand and not mapped may be the
/// reason; an event that was the reason too often is not tried again.
pub(crate) fn end_all(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let transaction =
        rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let writing = Transaction::on(&transaction);
    let sql = format!("{SUSPECT} WHERE lease_until IS NOT NULL AND {UNMAPPED}");
    let suspects = writing.execute(&sql, [])?;
    // A mark counts only under a lease: without one nobody was mapping the event.
    let sql = "UPDATE suspects SET deaths = deaths + 1 WHERE marked = 1
                   AND (SELECT lease_until FROM events WHERE number = event) IS NOT NULL";
    writing.execute(sql, [])?;
    give_back(&writing)?;
    let poisonous = poisonous(&writing)?;
    for (event, _) in &poisonous {
        progress::settle(&writing, event, (State::Dead, Some(REASON), now))?;
        // A replay begins as a suspect's: if nothing has changed, it costs no more restarts than this.
        let sql = "UPDATE suspects SET deaths = 0 WHERE event = ?1";
        writing.execute(sql, [event.number])?;
    }
    writing.write_counts()?;
    drop(writing);
    transaction.commit()?;
    report(suspects, &poisonous);
    Ok(())
}

fn report(suspects: usize, poisonous: &[(LeasedEvent, EventId)]) {
    if suspects > 0 {
        warn!(
            suspects,
            "the process did not stop cleanly: the events that it had in hand are mapped one at a time"
        );
    }
    for (_, id) in poisonous {
        let state = State::Dead.as_str();
        warn!(event.id = %id, state, reason = REASON, "event {id} is {state}");
    }
}

/// Ends all leases and marks, without a suspicion.
pub(crate) fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE events SET lease_until = NULL WHERE lease_until IS NOT NULL", [])?;
    connection.execute("UPDATE suspects SET marked = 0 WHERE marked = 1", [])?;
    Ok(())
}

const SUSPECT: &str = "INSERT OR IGNORE INTO suspects (event) SELECT number FROM events";

/// It has no plan, or had one before a replay.
const UNMAPPED: &str = "
    (NOT EXISTS (SELECT 1 FROM plans WHERE plans.event = number)
        OR EXISTS (SELECT 1 FROM replayed WHERE replayed.event = number))";

/// Of an event whose lease ended, if it was not mapped yet.
pub(crate) fn suspect(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    let sql = format!("{SUSPECT} WHERE number = ?1 AND {UNMAPPED}");
    connection.prepare_cached(&sql)?.execute([number])?;
    Ok(())
}

fn poisonous(connection: &Connection) -> rusqlite::Result<Vec<(LeasedEvent, EventId)>> {
    let sql = "SELECT number, source, tries, replay, 1, waits_for IS NOT NULL, id
               FROM suspects JOIN events ON number = event
               WHERE deaths >= ?1 AND state = 'queued'";
    let mut query = connection.prepare(sql)?;
    let events = query.query_map([DEATHS_MAX], |row| {
        let EventIdColumn(id) = row.get(6)?;
        Ok((leases::in_hand_of(row)?, id))
    })?;
    events.collect()
}

/// From here on the end of the process is held against this event.
pub(crate) fn mark(connection: &Connection, claim: Claim) -> Result<(), SqliteError> {
    let event = leases::in_hand(connection, claim)?;
    let sql = "INSERT INTO suspects (event, marked) VALUES (?1, 1)
               ON CONFLICT DO UPDATE SET marked = 1";
    connection.prepare_cached(sql)?.execute([event.number])?;
    Ok(())
}

/// Its mapping came to an end, so it was not what ended the process before.
pub(crate) fn unmark(connection: &Connection, claim: Claim) -> Result<(), SqliteError> {
    let event = leases::in_hand(connection, claim)?;
    let sql = "UPDATE suspects SET marked = 0, deaths = 0 WHERE event = ?1";
    connection.prepare_cached(sql)?.execute([event.number])?;
    Ok(())
}

/// It is mapped, or settled.
pub(crate) fn clear(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM suspects WHERE event = ?1")?.execute([event])?;
    Ok(())
}
