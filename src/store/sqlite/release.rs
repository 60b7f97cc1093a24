//! Ends what is held, by a person's word.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::count::Writing;
use super::failure::Failure;
use super::row::{self, Id, Time};
use crate::event::{EventId, State};
use crate::store::{Released, Word};

pub(super) fn release(
    writing: &Writing<'_>,
    id: EventId,
    (word, now): (Word, Timestamp),
) -> Result<Released, Failure> {
    let sql = "SELECT number, state, source FROM events WHERE id = ?1";
    let mut query = writing.prepare_cached(sql)?;
    let found = query.query_row([Id(id)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let found: Option<(i64, row::Word<State>, String)> = found.optional()?;
    let Some((event, row::Word(state), source)) = found else { return Ok(Released::NotFound) };
    if state != State::Held {
        return Ok(Released::NotHeld(state));
    }
    let is_last = obey(writing, event, word)?;
    let (state, released) = match (word, is_last) {
        (Word::Arrived, true) => {
            deliver(writing, event, now)?;
            (State::Delivered, Released::Delivered)
        }
        (Word::Arrived, false) | (Word::Again, _) => {
            queue(writing, event, (word, now))?;
            (State::Queued, Released::Queued)
        }
    };
    writing.went(&source, State::Held);
    writing.came(&source, state);
    Ok(released)
}

/// Marks the request that is held. Tells whether no request is left then.
fn obey(connection: &Connection, event: i64, word: Word) -> Result<bool, Failure> {
    let change = match word {
        Word::Arrived => "state = 'done', may_repeat = 0",
        Word::Again => "state = 'waiting', may_repeat = 1",
    };
    let sql = format!(
        "UPDATE requests SET {change} WHERE event = ?1 AND position
             = (SELECT min(position) FROM requests WHERE event = ?1 AND state <> 'done')"
    );
    connection.prepare_cached(&sql)?.execute([event])?;
    let sql = "SELECT 1 FROM requests WHERE event = ?1 AND state <> 'done'";
    Ok(!connection.prepare_cached(sql)?.exists([event])?)
}

fn deliver(connection: &Connection, event: i64, now: Timestamp) -> Result<(), Failure> {
    let sql = "UPDATE events SET state = 'delivered', settled_at = ?2,
                   reason = 'a person said that it arrived'
               WHERE number = ?1";
    connection.prepare_cached(sql)?.execute(params![event, Time(now)])?;
    Ok(())
}

/// The tries begin anew: it is not to die of the time that it was held.
fn queue(
    connection: &Connection,
    event: i64,
    (word, now): (Word, Timestamp),
) -> Result<(), Failure> {
    let reason = match word {
        Word::Arrived => "a person said that the request without an answer arrived",
        Word::Again => "a person said to send it again",
    };
    let sql = "UPDATE events SET state = 'queued', reason = ?2, due_at = ?3, queued_at = ?3,
                   waits_since = ?3, tries = 0
               WHERE number = ?1";
    connection.prepare_cached(sql)?.execute(params![event, reason, Time(now)])?;
    Ok(())
}
