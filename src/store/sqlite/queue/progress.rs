//! Records one step of an event: the result of the last attempt, and the next step.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::leased_event::{self, LeasedEvent};
use super::{left_out, suspects};
use crate::event::{Outcome, RecordKey, Request, State};
use crate::store::flows::Flow;
use crate::store::headline::Headline;
use crate::store::planned_request::{PlannedRequest, RequestState};
use crate::store::queue::{Attempt, Claim, NextStep, Progress, ShortenedRequest, WaitsFor};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::mapping_versions;
use crate::store::sqlite::rows::columns::{JsonColumn, TimeColumn};
use crate::store::sqlite::rows::{causes, events, filled_blocks, previous_state, replay_results};

pub(crate) fn advance(
    transaction: &Transaction<'_>,
    claim: Claim,
    progress: &Progress,
) -> Result<(), SqliteError> {
    let event = leased_event::leased(transaction, claim)?;
    transaction.entry_changed(event.number);
    if let Some(requests) = &progress.planned {
        plan(transaction, &event, requests, progress)?;
    }
    if let Some(headline) = &progress.headline {
        let sql = "UPDATE events SET headline = ?2 WHERE number = ?1";
        transaction.prepare_cached(sql)?.execute(params![event.number, JsonColumn(headline)])?;
    }
    if let Some(text) = &progress.mapping {
        mapping_versions::record_use(transaction, &event, text)?;
    }
    // Mapped or settled, it cannot end the process by its mapping any more.
    let is_over = progress.planned.is_some() || matches!(progress.next, NextStep::Settle { .. });
    if is_over && event.is_suspect {
        suspects::clear(transaction, event.number)?;
    }
    if !progress.notes.is_empty() {
        append_notes(transaction, event.number, &progress.notes)?;
    }
    left_out::add(transaction, event.number, &progress.left_out)?;
    // The result before the next step: a request that was shortened is `refused` by its attempt
    // first, and waits again after that.
    if let Some(attempt) = &progress.attempt {
        record(transaction, event.number, attempt)?;
        set_request_state(transaction, event.number, attempt)?;
        count_tries(transaction, &event, attempt.outcome)?;
    }
    if let Some(shorter) = &progress.shortened {
        let ShortenedRequest { position, left_out: fields } = shorter;
        let changed = left_out::shorten(transaction, event.number, (*position, fields))?;
        expect_one_row(changed, *position)?;
    }
    apply_next_step(transaction, &event, progress)
}

fn plan(
    connection: &Connection,
    event: &LeasedEvent,
    requests: &[Request],
    Progress { said, filled, .. }: &Progress,
) -> Result<(), SqliteError> {
    let before = state_before_replay(connection, event)?;
    let event = event.number;
    let planned = match before {
        Some(before) => {
            // Read before the plan is deleted, and with it the requests.
            let earlier = events::earlier_requests(connection, event, before)?;
            delete_plan(connection, event)?;
            previous_state::delete(connection, event)?;
            PlannedRequest::replan(requests, earlier)
        }
        None => PlannedRequest::replan(requests, Vec::new()),
    };
    let sql = "INSERT INTO plans (event, requests, headline, made_by) VALUES (?1, ?2, ?3, ?4)";
    let requests: Vec<&Request> = planned.iter().map(|planned| &planned.request).collect();
    let headline = Headline::of(requests.iter().copied()).saying(said.as_deref());
    let made_by = filled_blocks::column(filled);
    let plan = params![event, JsonColumn(requests), JsonColumn(headline), made_by];
    connection.prepare_cached(sql)?.execute(plan)?;
    let sql =
        "INSERT INTO requests (event, position, state, savio_id, may_repeat, upsert, left_out)
               VALUES (?1, ?2, ?3, ?4,
                   ?5 OR (?3 <> 'done' AND (SELECT may_repeat FROM events WHERE number = ?1)),
                   ?6, ?7)";
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

/// Deletes the plan of an earlier mapping, with its requests and notes.
fn delete_plan(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM plans WHERE event = ?1")?.execute([event])?;
    let sql = "UPDATE events SET notes = '[]', left_out = '[]' WHERE number = ?1";
    connection.prepare_cached(sql)?.execute([event])?;
    Ok(())
}

/// Returns the state of a replayed event before its replay.
fn state_before_replay(
    connection: &Connection,
    event: &LeasedEvent,
) -> rusqlite::Result<Option<State>> {
    if event.was_replayed { previous_state::read(connection, event.number) } else { Ok(None) }
}

/// Ends the replay of an event that settles without being mapped again.
fn finish_replay(connection: &Connection, event: &LeasedEvent) -> rusqlite::Result<()> {
    // A dead or held event keeps its requests, which a later replay continues. Those of a delivered
    // one would make its next replay skip what this one was to send again.
    if let Some(before) = state_before_replay(connection, event)? {
        if !previous_state::keeps_done_requests(before) {
            delete_plan(connection, event.number)?;
        }
        previous_state::delete(connection, event.number)?;
    }
    Ok(())
}

/// Removes the upserts of an event that is dead, so that no later event waits for them.
fn remove_upserts(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE requests SET upsert = NULL WHERE event = ?1 AND upsert IS NOT NULL";
    connection.prepare_cached(sql)?.execute([event])?;
    Ok(())
}

fn append_notes(connection: &Connection, event: i64, notes: &[String]) -> rusqlite::Result<()> {
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

/// Sets the state of the request by the attempt's outcome.
fn set_request_state(
    connection: &Connection,
    event: i64,
    attempt: &Attempt,
) -> Result<(), SqliteError> {
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
    expect_one_row(changed, attempt.position)
}

/// Updates the number of consecutive failed attempts.
fn count_tries(
    connection: &Connection,
    event: &LeasedEvent,
    outcome: Outcome,
) -> rusqlite::Result<()> {
    let tries = match outcome {
        Outcome::Done => 0,
        // The destination failed, and not the event.
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

fn apply_next_step(
    transaction: &Transaction<'_>,
    event: &LeasedEvent,
    progress: &Progress,
) -> Result<(), SqliteError> {
    let number = &event.number;
    match &progress.next {
        NextStep::Send { position, at } => {
            let sql = "UPDATE requests SET state = 'sending', sent_at = ?3
                       WHERE event = ?1 AND position = ?2";
            let mut update = transaction.prepare_cached(sql)?;
            expect_one_row(update.execute(params![number, position, TimeColumn(*at)])?, *position)?;
            if event.waits {
                let sql = "UPDATE events SET reason = NULL, waits_for = NULL WHERE number = ?1";
                transaction.prepare_cached(sql)?.execute([number])?;
            }
            Ok(())
        }
        NextStep::Park { waits_for } => {
            if let Some(WaitsFor { event, reason }) = waits_for {
                let sql = "UPDATE events SET reason = ?2, waits_for = ?3 WHERE number = ?1";
                transaction.prepare_cached(sql)?.execute(params![number, reason, event])?;
            }
            Ok(())
        }
        NextStep::Wait { until, reason } => {
            wait(transaction, event, (*until, reason, None), progress.attempt.as_ref())
        }
        NextStep::WaitBehind { waits_for: WaitsFor { event: earlier, reason }, upsert, at } => {
            // Read in the transaction that writes the wait: between two of them the earlier event
            // could finish, and nothing would wake this one.
            let until = due_time_of_upsert(transaction, *earlier, *upsert)?.unwrap_or(*at);
            wait(transaction, event, (until, reason, Some(*earlier)), progress.attempt.as_ref())
        }
        NextStep::Settle { state, reason, at } => {
            settle(transaction, event, (*state, reason.as_deref(), *at))?;
            Ok(())
        }
    }
}

/// Ends the claim; the event waits until a time, for a reason, and possibly for another event.
fn wait(
    transaction: &Transaction<'_>,
    event: &LeasedEvent,
    (until, reason, waits_for): (Timestamp, &str, Option<u64>),
    attempt: Option<&Attempt>,
) -> Result<(), SqliteError> {
    // Without an attempt the wait began at about the start of the lease.
    let sql = "UPDATE events SET due_at = ?2, reason = ?3, waits_for = ?4, lease_until = NULL,
                   waits_since = coalesce(?5, waits_since)
               WHERE number = ?1";
    let since = attempt.map(|attempt| TimeColumn(ended_at(attempt)));
    let mut update = transaction.prepare_cached(sql)?;
    update.execute(params![event.number, TimeColumn(until), reason, waits_for, since])?;
    Ok(())
}

/// Returns when an event is due that still has to send the upsert; none if it has not, or is
/// claimed.
fn due_time_of_upsert(
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

/// Settles or holds the event, and ends its claim.
pub(crate) fn settle(
    transaction: &Transaction<'_>,
    event: &LeasedEvent,
    (state, reason, at): (State, Option<&str>, Timestamp),
) -> rusqlite::Result<()> {
    finish_replay(transaction, event)?;
    if event.was_replayed {
        replay_results::count(transaction, event.number, (None, state))?;
    }
    // All requests of a delivered event are done, and a held one may still send its own after a
    // release.
    if state == State::Dead {
        remove_upserts(transaction, event.number)?;
    }
    // A held event has not settled, so retention does not purge it before a person has decided.
    let settled_at = (state != State::Held).then_some(TimeColumn(at));
    let sql = "UPDATE events SET state = ?2, reason = ?3, settled_at = ?4, due_at = NULL,
                   lease_until = NULL, waits_for = NULL,
                   replay_of = CASE WHEN ?2 = 'held' THEN replay_of END,
                   may_repeat = may_repeat AND ?2 NOT IN ('delivered', 'ignored')
               WHERE number = ?1";
    let mut update = transaction.prepare_cached(sql)?;
    update.execute(params![event.number, state.as_str(), reason, settled_at])?;
    if state == State::Dead {
        causes::assign(transaction, event.number)?;
    }
    let LeasedEvent { source, received_at, .. } = event;
    transaction.count_moved(source, *received_at, (State::Queued, state));
    if let Some(flow) = Flow::into(state) {
        transaction.happened(source, at, (flow, 1));
    }
    Ok(())
}

fn ended_at(attempt: &Attempt) -> Timestamp {
    attempt.at.saturating_add(Duration::from_millis(attempt.ms)).unwrap_or(attempt.at)
}

fn expect_one_row(changed: usize, position: usize) -> Result<(), SqliteError> {
    match changed {
        1 => Ok(()),
        _ => {
            Err(SqliteError::Impossible(format!("the event has no request at position {position}")))
        }
    }
}
