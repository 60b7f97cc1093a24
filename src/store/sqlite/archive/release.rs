//! Ends what is held, by a person's word.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::event::{EventId, State};
use crate::store::replay::{HoldDecision, ReleaseOutcome};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{self, EventIdColumn, TimeColumn};

pub(super) fn release(
    writing: &Transaction<'_>,
    id: EventId,
    (word, now): (HoldDecision, Timestamp),
) -> Result<ReleaseOutcome, SqliteError> {
    let sql = "SELECT number, state, source FROM events WHERE id = ?1";
    let mut query = writing.prepare_cached(sql)?;
    let found =
        query.query_row([EventIdColumn(id)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let found: Option<(i64, columns::EnumColumn<State>, String)> = found.optional()?;
    let Some((event, columns::EnumColumn(state), source)) = found else {
        return Ok(ReleaseOutcome::NotFound);
    };
    if state != State::Held {
        return Ok(ReleaseOutcome::NotHeld(state));
    }
    let is_last = obey(writing, event, word)?;
    let (state, released) = match (word, is_last) {
        (HoldDecision::AlreadyArrived, true) => {
            deliver(writing, event, now)?;
            (State::Delivered, ReleaseOutcome::Delivered)
        }
        (HoldDecision::AlreadyArrived, false) | (HoldDecision::SendAgain, _) => {
            queue(writing, event, (word, now))?;
            (State::Queued, ReleaseOutcome::Queued)
        }
    };
    writing.went(&source, State::Held);
    writing.came(&source, state);
    Ok(released)
}

/// Marks the request that is held. Tells whether no request is left then.
fn obey(connection: &Connection, event: i64, word: HoldDecision) -> Result<bool, SqliteError> {
    let change = match word {
        HoldDecision::AlreadyArrived => "state = 'done', may_repeat = 0",
        HoldDecision::SendAgain => "state = 'waiting', may_repeat = 1",
    };
    let sql = format!(
        "UPDATE requests SET {change} WHERE event = ?1 AND position
             = (SELECT min(position) FROM requests WHERE event = ?1 AND state <> 'done')"
    );
    connection.prepare_cached(&sql)?.execute([event])?;
    let sql = "SELECT 1 FROM requests WHERE event = ?1 AND state <> 'done'";
    Ok(!connection.prepare_cached(sql)?.exists([event])?)
}

fn deliver(connection: &Connection, event: i64, now: Timestamp) -> Result<(), SqliteError> {
    let sql = "UPDATE events SET state = 'delivered', settled_at = ?2,
                   reason = 'a person said that it arrived'
               WHERE number = ?1";
    connection.prepare_cached(sql)?.execute(params![event, TimeColumn(now)])?;
    Ok(())
}

/// The tries begin anew: it is not to die of the time that it was held.
fn queue(
    connection: &Connection,
    event: i64,
    (word, now): (HoldDecision, Timestamp),
) -> Result<(), SqliteError> {
    let reason = match word {
        HoldDecision::AlreadyArrived => "a person said that the request without an answer arrived",
        HoldDecision::SendAgain => "a person said to send it again",
    };
    let sql = "UPDATE events SET state = 'queued', reason = ?2, due_at = ?3, queued_at = ?3,
                   waits_since = ?3, tries = 0
               WHERE number = ?1";
    connection.prepare_cached(sql)?.execute(params![event, reason, TimeColumn(now)])?;
    Ok(())
}
