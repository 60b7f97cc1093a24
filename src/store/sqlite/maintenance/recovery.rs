//! Recovery at a start: ends the leases of a process that crashed, and marks its unmapped events as
//! suspects.

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tracing::warn;

use crate::event::{EventId, State};
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::queue::leased_event::{self, LeasedEvent};
use crate::store::sqlite::queue::progress;
use crate::store::sqlite::queue::suspects::{self, SUSPECT, UNMAPPED};
use crate::store::sqlite::rows::columns::EventIdColumn;

/// Number of crashes while an event was mapped alone, after which it is dead.
// One may be chance, such as a kill at that moment; three in a row are not.
const DEATHS_MAX: u32 = 3;

const REASON: &str = "the relay's process ended three times while it mapped this event alone, so it is not \
    tried again; replay it after a change, such as more memory or another mapping";

/// Ends all leases of a process that crashed. Its claimed and unmapped events become suspects; one
/// that was being mapped alone at too many crashes is settled as dead.
pub(crate) fn end_leases(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let sqlite_transaction =
        rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let transaction = Transaction::on(&sqlite_transaction);
    let sql = format!("{SUSPECT} WHERE lease_until IS NOT NULL AND {UNMAPPED}");
    let suspects = transaction.execute(&sql, [])?;
    // A mark counts only under a lease: without one nobody was mapping the event.
    let sql = "UPDATE suspects SET deaths = deaths + 1 WHERE marked = 1
                   AND (SELECT lease_until FROM events WHERE number = event) IS NOT NULL";
    transaction.execute(sql, [])?;
    // Only now: both statements above find their events by the leases and marks that this ends.
    suspects::release_all(&transaction)?;
    let crashing = crashing(&transaction)?;
    for (event, _) in &crashing {
        progress::settle(&transaction, event, (State::Dead, Some(REASON), now))?;
        // The event stays a suspect, so a replay maps it alone from the start. If nothing has
        // changed, it takes three crashes again, and not one more.
        let sql = "UPDATE suspects SET deaths = 0 WHERE event = ?1";
        transaction.execute(sql, [event.number])?;
    }
    transaction.write_counts()?;
    drop(transaction);
    sqlite_transaction.commit()?;
    report(suspects, &crashing);
    Ok(())
}

fn report(suspects: usize, crashing: &[(LeasedEvent, EventId)]) {
    if suspects > 0 {
        warn!(
            suspects,
            "the process did not stop cleanly: the events that it had claimed are mapped one at a time"
        );
    }
    for (_, id) in crashing {
        let state = State::Dead.as_str();
        warn!(event.id = %id, state, reason = REASON, "event {id} is {state}");
    }
}

// `CROSS JOIN`, which SQLite does not reorder: it would read all events and look each up in
// `suspects`, which is almost always empty. With 1,000,000 events a start took 0.2 s longer.
const CRASHING: &str = "
    SELECT number, source, tries, replay, 1, waits_for IS NOT NULL, received_at, id
    FROM suspects CROSS JOIN events ON number = event
    WHERE deaths >= ?1 AND state = 'queued'";

fn crashing(connection: &Connection) -> rusqlite::Result<Vec<(LeasedEvent, EventId)>> {
    let mut query = connection.prepare(CRASHING)?;
    let events = query.query_map([DEATHS_MAX], |row| {
        let EventIdColumn(id) = row.get(7)?;
        Ok((leased_event::from_row(row)?, id))
    })?;
    events.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn start_reads_no_event_but_the_suspects() {
        let plan = query_plan(CRASHING);

        assert_eq!(plan.first().map(String::as_str), Some("SCAN suspects"), "{plan:?}");
        let others: Vec<_> = plan[1..].iter().filter(|step| step.starts_with("SCAN")).collect();
        assert!(others.is_empty(), "{plan:?}");
    }
}
