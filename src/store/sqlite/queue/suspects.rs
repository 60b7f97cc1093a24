//! Suspects: events that were claimed and not mapped yet when the process crashed. Mapping one of
//! them may have been the cause, by its memory or its stack. They are mapped one at a time, each
//! under a mark on disk, so that a further crash names its event.

use rusqlite::Connection;

use super::leased_event;
use crate::store::queue::Claim;
use crate::store::sqlite::engine::error::SqliteError;

/// Ends all leases and marks without making suspects.
pub(crate) fn release_all(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE events SET lease_until = NULL WHERE lease_until IS NOT NULL", [])?;
    connection.execute("UPDATE suspects SET marked = 0 WHERE marked = 1", [])?;
    Ok(())
}

pub(crate) const SUSPECT: &str = "INSERT OR IGNORE INTO suspects (event) SELECT number FROM events";

/// Condition for an event that is not mapped: it has no plan, or has one from before its replay.
pub(crate) const UNMAPPED: &str = "
    (NOT EXISTS (SELECT 1 FROM plans WHERE plans.event = number)
        OR EXISTS (SELECT 1 FROM replayed WHERE replayed.event = number))";

/// Makes an event whose lease ended a suspect if it was not mapped yet.
pub(crate) fn suspect(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    let sql = format!("{SUSPECT} WHERE number = ?1 AND {UNMAPPED}");
    connection.prepare_cached(&sql)?.execute([number])?;
    Ok(())
}

/// Marks the event: if the process ends now, that counts as a crash of this event.
pub(crate) fn mark(connection: &Connection, claim: Claim) -> Result<(), SqliteError> {
    let event = leased_event::leased(connection, claim)?;
    let sql = "INSERT INTO suspects (event, marked) VALUES (?1, 1)
               ON CONFLICT DO UPDATE SET marked = 1";
    connection.prepare_cached(sql)?.execute([event.number])?;
    Ok(())
}

/// Removes the mark and the crashes: mapping the event has ended, so it was not the cause of a
/// crash.
pub(crate) fn unmark(connection: &Connection, claim: Claim) -> Result<(), SqliteError> {
    let event = leased_event::leased(connection, claim)?;
    let sql = "UPDATE suspects SET marked = 0, deaths = 0 WHERE event = ?1";
    connection.prepare_cached(sql)?.execute([event.number])?;
    Ok(())
}

/// Removes a suspect that is mapped or settled.
pub(crate) fn clear(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM suspects WHERE event = ?1")?.execute([event])?;
    Ok(())
}
