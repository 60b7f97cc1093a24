//! Writes one step of an event: what came of the last send, and what is next.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::leased_event::{self, LeasedEvent};
use super::{left_out, suspects};
use crate::event::{Outcome, RecordKey, Request, State};
use crate::store::planned_request::{PlannedRequest, RequestState};
use crate::store::queue::{Attempt, Claim, NextStep, Progress, Shorter, WaitsFor};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{JsonColumn, TimeColumn};
use crate::store::sqlite::rows::{events, previous_state};

pub(crate) fn advance(
    writing: &Transaction<'_>,
    claim: Claim,
    progress: &Progress,
) -> Result<(), SqliteError> {
    let event = leased_event::in_hand(writing, claim)?;
    if let Some(requests) = &progress.planned {
        plan(writing, &event, requests)?;
    }
    let is_over = progress.planned.is_some() || matches!(progress.next, NextStep::Settle { .. });
    if is_over && event.is_suspect {
        suspects::clear(writing, event.number)?;
    }
    if !progress.notes.is_empty() {
        note(writing, event.number, &progress.notes)?;
    }
    left_out::add(writing, event.number, &progress.left_out)?;
    if let Some(attempt) = &progress.attempt {
        record(writing, event.number, attempt)?;
        judge(writing, event.number, attempt)?;
        count_tries(writing, &event, attempt.outcome)?;
    }
    if let Some(shorter) = &progress.shorter {
        let Shorter { position, left_out: fields } = shorter;
        let changed = left_out::shorten(writing, event.number, (*position, fields))?;
        there_is(changed, *position)?;
    }
    go_on(writing, &event, progress)
}

fn plan(
    connection: &Connection,
    event: &LeasedEvent,
    requests: &[Request],
) -> Result<(), SqliteError> {
    let before = before(connection, event)?;
    let event = event.number;
    let planned = match before {
        Some(before) => {
            let earlier = events::earlier(connection, event, before)?;
            forget_plan(connection, event)?;
            previous_state::begun(connection, event)?;
            PlannedRequest::replan(requests, earlier)
        }
        None => PlannedRequest::replan(requests, Vec::new()),
    };
    let sql = "INSERT INTO plans (event, requests) VALUES (?1, ?2)";
    let requests: Vec<&Request> = planned.iter().map(|planned| &planned.request).collect();
    connection.prepare_cached(sql)?.execute(params![event, JsonColumn(requests)])?;
    let sql =
        "INSERT INTO requests (event, position, state, savio_id, may_repeat, upsert, left_out)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut insert = connection.prepare_cached(sql)?;
    for (position, planned) in planned.iter().enumerate() {
        let PlannedRequest { request, state, savio_id, may_repeat, left_out } = planned;
        let (savio_id, upsert) = (savio_id.as_ref().map(JsonColumn), request.upsert());
        let upsert = upsert.as_ref().map(RecordKey::as_bytes);
        let refused = (!left_out.is_empty()).then_some(JsonColumn(left_out));
        let state = state.as_str();
        insert.execute(params![event, position, state, savio_id, may_repeat, upsert, refused])?;
        left_out::add(connection, event, left_out)?;
    }
    Ok(())
}

/// What the mapping made of it before, and said.
fn forget_plan(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM plans WHERE event = ?1")?.execute([event])?;
    let sql = "UPDATE events SET notes = '[]', left_out = '[]' WHERE number = ?1";
    connection.prepare_cached(sql)?.execute([event])?;
    Ok(())
}

/// What an event was before it was replayed, if it was.
fn before(connection: &Connection, event: &LeasedEvent) -> rusqlite::Result<Option<State>> {
    if event.was_replayed { previous_state::before(connection, event.number) } else { Ok(None) }
}

/// An event that was replayed, and settles without a plan of its own. What it was keeps the past
/// that a later replay counts.
fn end_replay(connection: &Connection, event: &LeasedEvent) -> rusqlite::Result<()> {
    if let Some(before) = before(connection, event)? {
        if !previous_state::past_counts(before) {
            forget_plan(connection, event.number)?;
        }
        previous_state::begun(connection, event.number)?;
    }
    Ok(())
}

/// Nobody waits for what is not sent any more.
fn upsert_no_more(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE requests SET upsert = NULL WHERE event = ?1 AND upsert IS NOT NULL";
    connection.prepare_cached(sql)?.execute([event])?;
    Ok(())
}

fn note(connection: &Connection, event: i64, notes: &[String]) -> rusqlite::Result<()> {
    let sql = "UPDATE events SET notes = json_insert(notes, '$[#]', ?2) WHERE number = ?1";
    let mut append = connection.prepare_cached(sql)?;
    for note in notes {
        append.execute(params![event, note])?;
    }
    Ok(())
}

fn record(connection: &Connection, event: i64, attempt: &Attempt) -> rusqlite::Result<()> {
    let sql = "INSERT INTO attempts (event, number, position, at, outcome, status, ms, detail,
                   savio_id, may_repeat, replay)
               SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
               FROM attempts WHERE event = ?1";
    connection.prepare_cached(sql)?.execute(params![
        event,
        attempt.position,
        TimeColumn(attempt.at),
        attempt.outcome.as_str(),
        attempt.status,
        attempt.ms,
        attempt.detail,
        attempt.savio_id.as_ref().map(JsonColumn),
        attempt.may_repeat,
        attempt.replay,
    ])?;
    Ok(())
}

/// What the attempt's outcome makes of its request.
fn judge(connection: &Connection, event: i64, attempt: &Attempt) -> Result<(), SqliteError> {
    let (state, may_repeat) = match attempt.outcome {
        Outcome::Done => (RequestState::Done, false),
        Outcome::Refused => (RequestState::Refused, false),
        Outcome::Retry | Outcome::Unreachable | Outcome::Paused => (RequestState::Waiting, false),
        Outcome::Unanswered | Outcome::Interrupted => (RequestState::Waiting, true),
    };
    let sql = "UPDATE requests SET state = ?3, savio_id = coalesce(?4, savio_id),
                   may_repeat = may_repeat OR ?5
               WHERE event = ?1 AND position = ?2";
    let savio_id = attempt.savio_id.as_ref().map(JsonColumn);
    let changed = connection.prepare_cached(sql)?.execute(params![
        event,
        attempt.position,
        state.as_str(),
        savio_id,
        may_repeat
    ])?;
    there_is(changed, attempt.position)
}

/// Keeps how many attempts failed in a row.
fn count_tries(
    connection: &Connection,
    event: &LeasedEvent,
    outcome: Outcome,
) -> rusqlite::Result<()> {
    let tries = match outcome {
        Outcome::Done => 0,
        // It was the destination that failed.
        Outcome::Paused => event.tries,
        Outcome::Refused
        | Outcome::Retry
        | Outcome::Unreachable
        | Outcome::Unanswered
        | Outcome::Interrupted => event.tries + 1,
    };
    if tries != event.tries {
        let sql = "UPDATE events SET tries = ?2 WHERE number = ?1";
        connection.prepare_cached(sql)?.execute([event.number, tries])?;
    }
    Ok(())
}

fn go_on(
    writing: &Transaction<'_>,
    event: &LeasedEvent,
    progress: &Progress,
) -> Result<(), SqliteError> {
    let number = &event.number;
    match &progress.next {
        NextStep::Send { position, at } => {
            let sql = "UPDATE requests SET state = 'sending', sent_at = ?3
                       WHERE event = ?1 AND position = ?2";
            let mut update = writing.prepare_cached(sql)?;
            there_is(update.execute(params![number, position, TimeColumn(*at)])?, *position)?;
            if event.waits {
                let sql = "UPDATE events SET reason = NULL, waits_for = NULL WHERE number = ?1";
                writing.prepare_cached(sql)?.execute([number])?;
            }
            Ok(())
        }
        NextStep::Park { waits_for } => {
            if let Some(WaitsFor { event, reason }) = waits_for {
                let sql = "UPDATE events SET reason = ?2, waits_for = ?3 WHERE number = ?1";
                writing.prepare_cached(sql)?.execute(params![number, reason, event])?;
            }
            Ok(())
        }
        NextStep::Wait { until, reason } => {
            wait(writing, event, (*until, reason, None), progress.attempt.as_ref())
        }
        NextStep::WaitBehind { waits_for: WaitsFor { event: earlier, reason }, upsert, at } => {
            let until = due_with(writing, *earlier, *upsert)?.unwrap_or(*at);
            wait(writing, event, (until, reason, Some(*earlier)), progress.attempt.as_ref())
        }
        NextStep::Settle { state, reason, at } => {
            settle(writing, event, (*state, reason.as_deref(), *at))?;
            Ok(())
        }
    }
}

/// The claim ends, and the event waits: until a time, for a reason, and for another event if that is the reason.
fn wait(
    writing: &Transaction<'_>,
    event: &LeasedEvent,
    (until, reason, waits_for): (Timestamp, &str, Option<u64>),
    attempt: Option<&Attempt>,
) -> Result<(), SqliteError> {
    // Without an attempt the wait began about when the lease did.
    let sql = "UPDATE events SET due_at = ?2, reason = ?3, waits_for = ?4, lease_until = NULL,
                   waits_since = coalesce(?5, waits_since)
               WHERE number = ?1";
    let since = attempt.map(|attempt| TimeColumn(ended_at(attempt)));
    let mut update = writing.prepare_cached(sql)?;
    update.execute(params![event.number, TimeColumn(until), reason, waits_for, since])?;
    Ok(())
}

/// When an event is due that has the upsert still to make; none: it has not, or somebody has just claimed it.
fn due_with(
    connection: &Connection,
    event: u64,
    upsert: RecordKey,
) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT due_at FROM events WHERE number = ?1 AND state = 'queued'
                   AND lease_until IS NULL
                   AND EXISTS (SELECT 1 FROM requests WHERE requests.event = number
                       AND upsert = ?2 AND requests.state IN ('waiting', 'sending'))";
    let mut query = connection.prepare_cached(sql)?;
    let due = query.query_row(params![event, upsert.as_bytes()], |row| row.get(0)).optional()?;
    Ok(due.map(|TimeColumn(due)| due))
}

/// The event has come to its end.
pub(crate) fn settle(
    writing: &Transaction<'_>,
    event: &LeasedEvent,
    (state, reason, at): (State, Option<&str>, Timestamp),
) -> rusqlite::Result<()> {
    end_replay(writing, event)?;
    if state == State::Dead {
        upsert_no_more(writing, event.number)?;
    }
    // What is held waits for a person: it has not settled.
    let settled_at = (state != State::Held).then_some(TimeColumn(at));
    let sql = "UPDATE events SET state = ?2, reason = ?3, settled_at = ?4, due_at = NULL,
                   lease_until = NULL, waits_for = NULL
               WHERE number = ?1";
    let mut update = writing.prepare_cached(sql)?;
    update.execute(params![event.number, state.as_str(), reason, settled_at])?;
    writing.went(&event.source, State::Queued);
    writing.came(&event.source, state);
    Ok(())
}

fn ended_at(attempt: &Attempt) -> Timestamp {
    attempt.at.saturating_add(Duration::from_millis(attempt.ms)).unwrap_or(attempt.at)
}

fn there_is(changed: usize, position: usize) -> Result<(), SqliteError> {
    match changed {
        1 => Ok(()),
        _ => {
            Err(SqliteError::Impossible(format!("the event has no request at position {position}")))
        }
    }
}
