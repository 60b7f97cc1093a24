//! What became of the events of a replay: counted in the commit in which it happens, so that the counts are
//! right after a kill, and a finished replay costs nothing.

use rusqlite::{Connection, params};

use crate::event::State;

/// Counts that an event of a replay has this state after that one; queued ones are those that are left. An event
/// that is of no replay, or whose replay is no longer stored, changes nothing.
pub(crate) fn count(
    connection: &Connection,
    event: i64,
    (before, now): (Option<State>, State),
) -> rusqlite::Result<()> {
    let sql = "UPDATE replays SET
                   delivered = delivered + (?2 = 'delivered'),
                   dead = dead + (?2 = 'dead'),
                   ignored = ignored + (?2 = 'ignored'),
                   held = held + (?2 = 'held') - (?3 IS 'held')
               WHERE id = (SELECT replay_of FROM events WHERE number = ?1)";
    let before = before.map(State::as_str);
    connection.prepare_cached(sql)?.execute(params![event, now.as_str(), before])?;
    Ok(())
}

/// Ends that the event is one of a replay.
pub(crate) fn end(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE events SET replay_of = NULL WHERE number = ?1 AND replay_of IS NOT NULL";
    connection.prepare_cached(sql)?.execute([event])?;
    Ok(())
}
