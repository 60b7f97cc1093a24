//! The state of a replayed event before its replay, kept until it is mapped again, so that a
//! canceled replay can restore it.

use rusqlite::{Connection, OptionalExtension};

use super::columns::EnumColumn;
use crate::event::State;

/// Returns the state before the replay; none once the event is mapped again.
pub(crate) fn read(connection: &Connection, event: i64) -> rusqlite::Result<Option<State>> {
    let sql = "SELECT state FROM replayed WHERE event = ?1";
    let state = connection.prepare_cached(sql)?.query_row([event], |row| row.get(0)).optional()?;
    Ok(state.map(|EnumColumn(state)| state))
}

/// Returns whether requests that were done before the replay stay done.
pub(crate) fn keeps_done_requests(before: State) -> bool {
    match before {
        // A replay of what was delivered is meant to send it all again.
        State::Dead | State::Held => true,
        State::Delivered | State::Ignored | State::Queued => false,
    }
}

/// Deletes the earlier state: a cancellation no longer restores the event.
pub(crate) fn delete(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM replayed WHERE event = ?1 RETURNING replay";
    let mut delete = connection.prepare_cached(sql)?;
    let replay: Option<i64> = delete.query_row([event], |row| row.get(0)).optional()?;
    if let Some(replay) = replay {
        let sql = "UPDATE replays SET waiting = waiting - 1 WHERE number = ?1";
        connection.prepare_cached(sql)?.execute([replay])?;
    }
    Ok(())
}
