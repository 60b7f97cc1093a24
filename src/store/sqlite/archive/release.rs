//! Releases held events by a person's decision.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::event::State;
use crate::store::audit::AuditAction;
use crate::store::flows::Flow;
use crate::store::replay::{HoldDecision, ReleaseOutcome, ReleaseRequest};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::operations::audit;
use crate::store::sqlite::rows::columns::{EnumColumn, EventIdColumn, TimeColumn};
use crate::store::sqlite::rows::replay_results;

pub(super) fn release(
    transaction: &Transaction<'_>,
    request: &ReleaseRequest,
) -> Result<ReleaseOutcome, SqliteError> {
    let ReleaseRequest { id, decision, at: now, by } = request;
    let (id, decision, now) = (*id, *decision, *now);
    let sql = "SELECT number, state, source, received_at FROM events WHERE id = ?1";
    let mut query = transaction.prepare_cached(sql)?;
    let found = query.query_row([EventIdColumn(id)], |row| {
        let (EnumColumn(state), TimeColumn(received_at)) = (row.get(1)?, row.get(3)?);
        Ok((row.get(0)?, state, row.get(2)?, received_at))
    });
    let found: Option<(i64, State, String, Timestamp)> = found.optional()?;
    let Some((event, state, source, received_at)) = found else {
        return Ok(ReleaseOutcome::NotFound);
    };
    if state != State::Held {
        return Ok(ReleaseOutcome::NotHeld(state));
    }
    let is_last = apply_decision(transaction, event, decision)?;
    let (state, released) = match (decision, is_last) {
        (HoldDecision::AlreadyArrived, true) => {
            deliver(transaction, event, now)?;
            transaction.happened(&source, now, (Flow::Delivered, 1));
            (State::Delivered, ReleaseOutcome::Delivered)
        }
        (HoldDecision::AlreadyArrived, false) | (HoldDecision::SendAgain, _) => {
            queue(transaction, event, (decision, now))?;
            (State::Queued, ReleaseOutcome::Queued)
        }
    };
    transaction.entry_changed(event);
    transaction.count_moved(&source, received_at, (State::Held, state));
    replay_results::count(transaction, event, (Some(State::Held), state))?;
    if state != State::Queued {
        replay_results::end(transaction, event)?;
    }
    let detail = match decision {
        HoldDecision::AlreadyArrived => "it arrived",
        HoldDecision::SendAgain => "to be sent again",
    };
    let entry = by.did(AuditAction::Release, now).on(&format!("event {id}"));
    audit::insert(transaction, &entry.count(1).detail(detail))?;
    Ok(released)
}

/// Applies the decision to the held request. Returns whether no request is left to send.
fn apply_decision(
    connection: &Connection,
    event: i64,
    decision: HoldDecision,
) -> Result<bool, SqliteError> {
    let change = match decision {
        HoldDecision::AlreadyArrived => "state = 'done', may_repeat = 0",
        HoldDecision::SendAgain => "state = 'waiting', may_repeat = 1",
    };
    // The requests of an event are sent one after the other: the first that is not done is the held
    // one.
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

fn queue(
    connection: &Connection,
    event: i64,
    (decision, now): (HoldDecision, Timestamp),
) -> Result<(), SqliteError> {
    let reason = match decision {
        HoldDecision::AlreadyArrived => {
            "released by a person: the request without an answer arrived"
        }
        HoldDecision::SendAgain => "released by a person: to be sent again",
    };
    // `queued_at` and `tries` start again. Only attempts since `queued_at` count for giving up: the
    // time for which it was held must not make it dead at its next failure.
    let sql = "UPDATE events SET state = 'queued', reason = ?2, due_at = ?3, queued_at = ?3,
                   waits_since = ?3, tries = 0
               WHERE number = ?1";
    connection.prepare_cached(sql)?.execute(params![event, reason, TimeColumn(now)])?;
    Ok(())
}
