//! At a start: ends the leases of a process that did not stop cleanly, and suspects what it had not mapped yet.

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tracing::warn;

use crate::event::{EventId, State};
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::queue::leased_event::{self, LeasedEvent};
use crate::store::sqlite::queue::progress;
use crate::store::sqlite::queue::suspects::{self, SUSPECT, UNMAPPED};
use crate::store::sqlite::rows::columns::EventIdColumn;

/// One death may be chance, such as a kill at that very moment; three are none.
const DEATHS_MAX: u32 = 3;

const REASON: &str = "the relay's process ended three times while it mapped this event alone, so it is not \
    tried again; replay it after a change, such as more memory or another mapping";

/// Ends all leases of a process that did not stop cleanly. Whatever it had in hand and not mapped may be the
/// reason; an event that was the reason too often is not tried again.
pub(crate) fn end_leases(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let transaction =
        rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let writing = Transaction::on(&transaction);
    let sql = format!("{SUSPECT} WHERE lease_until IS NOT NULL AND {UNMAPPED}");
    let suspects = writing.execute(&sql, [])?;
    // A mark counts only under a lease: without one nobody was mapping the event.
    let sql = "UPDATE suspects SET deaths = deaths + 1 WHERE marked = 1
                   AND (SELECT lease_until FROM events WHERE number = event) IS NOT NULL";
    writing.execute(sql, [])?;
    suspects::give_back(&writing)?;
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

fn poisonous(connection: &Connection) -> rusqlite::Result<Vec<(LeasedEvent, EventId)>> {
    let sql = "SELECT number, source, tries, replay, 1, waits_for IS NOT NULL, id
               FROM suspects JOIN events ON number = event
               WHERE deaths >= ?1 AND state = 'queued'";
    let mut query = connection.prepare(sql)?;
    let events = query.query_map([DEATHS_MAX], |row| {
        let EventIdColumn(id) = row.get(6)?;
        Ok((leased_event::in_hand_of(row)?, id))
    })?;
    events.collect()
}
