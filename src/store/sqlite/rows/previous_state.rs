//! What a replayed event was before: it can be given back until it is mapped anew.

use rusqlite::{Connection, OptionalExtension};

use super::columns::EnumColumn;
use crate::event::State;

/// What a replayed event was before, until it is mapped anew.
pub(crate) fn before(connection: &Connection, event: i64) -> rusqlite::Result<Option<State>> {
    let sql = "SELECT state FROM replayed WHERE event = ?1";
    let state = connection.prepare_cached(sql)?.query_row([event], |row| row.get(0)).optional()?;
    Ok(state.map(|EnumColumn(state)| state))
}

/// Whether what was done then stays done. What had been delivered is all sent again.
pub(crate) fn past_counts(before: State) -> bool {
    match before {
        State::Dead | State::Held => true,
        State::Delivered | State::Ignored | State::Queued => false,
    }
}

/// From here it cannot be given back.
pub(crate) fn begun(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    let sql = "DELETE FROM replayed WHERE event = ?1 RETURNING replay";
    let mut delete = connection.prepare_cached(sql)?;
    let replay: Option<i64> = delete.query_row([event], |row| row.get(0)).optional()?;
    if let Some(replay) = replay {
        let sql = "UPDATE replays SET waiting = waiting - 1 WHERE number = ?1";
        connection.prepare_cached(sql)?.execute([replay])?;
    }
    Ok(())
}
