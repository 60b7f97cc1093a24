//! The log of the times in which nothing could be sent to a destination.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::event::SourceName;
use crate::store::interruption::{
    DestinationWrite, INTERRUPTIONS_KEPT, INTERRUPTIONS_MAX, Interruption, InterruptionChange,
    LoggedInterruption,
};
use crate::store::sqlite::rows::columns::{EnumColumn, JsonColumn, TimeColumn};

/// Returns those that go on, or have ended since then; oldest first.
pub(crate) fn recent(
    connection: &Connection,
    destination: &str,
    ended_since: Timestamp,
) -> rusqlite::Result<Vec<Interruption>> {
    let sql = "SELECT kind, reason, began_at, ended_at, waiting
               FROM interruptions INDEXED BY interruptions_of
               WHERE destination = ?1 AND (ended_at IS NULL OR ended_at >= ?2) ORDER BY number";
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map(params![destination, TimeColumn(ended_since)], logged)?;
    rows.map(|row| row.map(|logged| logged.interruption)).collect()
}

/// Returns those that went on at this time or began later; newest first.
pub(crate) fn list(
    connection: &Connection,
    destination: &str,
    since: Timestamp,
) -> rusqlite::Result<Vec<LoggedInterruption>> {
    let sql = "SELECT kind, reason, began_at, ended_at, waiting
               FROM interruptions INDEXED BY interruptions_of
               WHERE destination = ?1 AND (ended_at IS NULL OR ended_at >= ?2)
               ORDER BY number DESC LIMIT ?3";
    let mut query = connection.prepare_cached(sql)?;
    query.query_map(params![destination, TimeColumn(since), INTERRUPTIONS_MAX], logged)?.collect()
}

fn logged(row: &Row<'_>) -> rusqlite::Result<LoggedInterruption> {
    let (EnumColumn(kind), TimeColumn(began_at)) = (row.get(0)?, row.get(2)?);
    let ended_at: Option<TimeColumn> = row.get(3)?;
    let ended_at = ended_at.map(|TimeColumn(at)| at);
    let interruption = Interruption { kind, reason: row.get(1)?, began_at, ended_at };
    Ok(LoggedInterruption { interruption, waiting: row.get(4)? })
}

pub(crate) fn write(connection: &Connection, write: &DestinationWrite) -> rusqlite::Result<()> {
    let destination = write.destination.as_str();
    let waiting = if write.changes.is_empty() { 0 } else { queued(connection, &write.sources)? };
    for change in &write.changes {
        match change {
            InterruptionChange::Began(it) => {
                let sql = "INSERT INTO interruptions
                               (destination, kind, reason, began_at, ended_at, waiting)
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                connection.prepare_cached(sql)?.execute(params![
                    destination,
                    it.kind.as_str(),
                    it.reason,
                    TimeColumn(it.began_at),
                    it.ended_at.map(TimeColumn),
                    waiting,
                ])?;
                make_room(connection, destination, write.now)?;
            }
            InterruptionChange::EndsAt(kind, at) => {
                let sql = "UPDATE interruptions SET ended_at = ?3, waiting = ?4
                           WHERE number = (SELECT max(number) FROM interruptions INDEXED BY interruptions_of
                               WHERE destination = ?1 AND kind = ?2)";
                let change = params![destination, kind.as_str(), TimeColumn(*at), waiting];
                connection.prepare_cached(sql)?.execute(change)?;
            }
        }
    }
    Ok(())
}

/// Deletes the oldest ones, but none that goes on.
fn make_room(connection: &Connection, destination: &str, now: Timestamp) -> rusqlite::Result<()> {
    let sql = "DELETE FROM interruptions
               WHERE destination = ?1 AND ended_at IS NOT NULL AND (ended_at < ?2 OR number <= (
                   SELECT number FROM interruptions INDEXED BY interruptions_of WHERE destination = ?1
                   ORDER BY number DESC LIMIT 1 OFFSET ?3))";
    let oldest = now.saturating_sub(INTERRUPTIONS_KEPT).unwrap_or(Timestamp::MIN);
    let limits = params![destination, TimeColumn(oldest), INTERRUPTIONS_MAX];
    connection.prepare_cached(sql)?.execute(limits)?;
    Ok(())
}

fn queued(connection: &Connection, sources: &[SourceName]) -> rusqlite::Result<u64> {
    let names: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
    let sql = "SELECT coalesce(sum(events), 0) FROM counts
               WHERE state = 'queued' AND events > 0 AND source IN (SELECT value FROM json_each(?1))";
    connection.prepare_cached(sql)?.query_row([JsonColumn(names)], |row| row.get(0))
}
