//! Replays: the request, its steps, its cancellation and its progress.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::replay_filter;
use super::search::{self, Search, SearchBudget, SearchHit, SortOrder};
use super::slow_search::SLICE;
use crate::event::State;
use crate::store::audit::{Actor, AuditAction};
use crate::store::filter::Cursor;
use crate::store::replay::{ReplayId, ReplayRequest};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::operations::audit;
use crate::store::sqlite::rows::columns::{EnumColumn, JsonColumn, TimeColumn};
use crate::store::sqlite::rows::previous_state;

/// Number of events that one step changes.
// One commit, for which webhooks wait.
const STEP_EVENTS: usize = 500;

pub(crate) fn start(
    connection: &Connection,
    order: &ReplayRequest,
    by: &Actor,
) -> Result<(), SqliteError> {
    let ReplayRequest { id, filter, interval, begun_at } = order;
    let entry = by.did(AuditAction::Replay, *begun_at).on(&filter.to_string()).count(0);
    let audited = audit::insert(connection, &entry.detail(&format!("replay {id}")))?;
    let interval = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX);
    let sql = "INSERT INTO replays (id, ids, state, sources, since, until, text, every, begun_at,
                   left_out, audit, filter, up_to)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
                   (SELECT coalesce(max(number), 0) FROM events))";
    let (filter, whole) = replay_filter::columns(filter);
    connection.prepare_cached(sql)?.execute(params![
        id.as_bytes(),
        JsonColumn(&filter.ids),
        filter.states.first().map(|state| state.as_str()),
        filter.sources.as_ref().map(JsonColumn),
        filter.since.map(TimeColumn),
        filter.until.map(TimeColumn),
        filter.text,
        interval,
        TimeColumn(*begun_at),
        filter.left_out,
        audited,
        whole.map(JsonColumn),
    ])?;
    Ok(())
}

/// The changes of one step, found by a reader and applied by the writer.
pub(crate) enum ReplayStep {
    Queue { replay: i64, after: Option<Cursor>, events: Vec<SearchHit>, next: Option<Cursor> },
    Restore { replay: i64, events: Vec<i64> },
}

/// Returns the next step; none if the replay has ended or does not exist.
pub(crate) fn next_step(
    connection: &Connection,
    id: ReplayId,
) -> Result<Option<ReplayStep>, SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let sql = "SELECT number, canceled_at IS NOT NULL, ids, state, sources, since, until, text,
                   after_received_at, after_number, up_to, left_out, filter
               FROM replays WHERE id = ?1 AND ended = 0";
    let mut query = snapshot.prepare_cached(sql)?;
    let open = query.query_row([id.as_bytes()], |row| {
        let (filter, order) = (replay_filter::from_row(row)?, SortOrder::OldestFirst);
        let search = Search {
            filter,
            order,
            after: cursor_from_row(row)?,
            up_to: row.get(10)?,
            limit: STEP_EVENTS,
            slice: SearchBudget::within(SLICE),
        };
        Ok((row.get(0)?, row.get(1)?, search))
    });
    let Some((replay, canceled, search)) = open.optional()? else { return Ok(None) };
    if canceled {
        return Ok(Some(ReplayStep::Restore { replay, events: not_started(&snapshot, replay)? }));
    }
    let found = search::find(&snapshot, &search)?;
    let (after, next) = (search.after, found.next);
    Ok(Some(ReplayStep::Queue { replay, after, events: found.events, next }))
}

fn cursor_from_row(row: &Row<'_>) -> rusqlite::Result<Option<Cursor>> {
    let received_at: Option<TimeColumn> = row.get(8)?;
    let Some(TimeColumn(received_at)) = received_at else { return Ok(None) };
    Ok(Some(Cursor { received_at, number: row.get(9)? }))
}

fn not_started(connection: &Connection, replay: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT event FROM replayed CROSS JOIN events ON events.number = event
               WHERE replayed.replay = ?1 AND unclaimed LIMIT ?2";
    let sql = sql.replace("unclaimed", UNCLAIMED);
    let mut query = connection.prepare_cached(&sql)?;
    let events = query.query_map(params![replay, STEP_EVENTS], |row| row.get(0))?;
    events.collect()
}

/// Condition for a queued event that is not claimed.
// What is claimed may be in flight, so a cancellation leaves it.
const UNCLAIMED: &str = "events.state = 'queued' AND lease_until IS NULL";

pub(crate) fn apply_step(
    transaction: &Transaction<'_>,
    step: &ReplayStep,
) -> Result<(), SqliteError> {
    match step {
        // Since the step was found, another runner may have applied it, or a person canceled the
        // replay.
        ReplayStep::Queue { replay, after, .. } if !is_current(transaction, *replay, *after)? => {
            Ok(())
        }
        ReplayStep::Queue { replay, events, next, .. } => {
            queue(transaction, *replay, events)?;
            match next {
                Some(next) => save_cursor(transaction, *replay, *next),
                None => finish(transaction, *replay),
            }
        }
        ReplayStep::Restore { replay, events } => {
            for event in events {
                restore(transaction, *replay, *event)?;
            }
            // Fewer than asked for: these were the last.
            if events.len() < STEP_EVENTS {
                finish(transaction, *replay)?;
            }
            Ok(())
        }
    }
}

fn is_current(
    connection: &Connection,
    replay: i64,
    after: Option<Cursor>,
) -> Result<bool, SqliteError> {
    let sql = "SELECT 1 FROM replays WHERE number = ?1 AND ended = 0
                   AND canceled_at IS NULL AND after_received_at IS ?2 AND after_number IS ?3";
    let (received_at, number) =
        (after.map(|it| TimeColumn(it.received_at)), after.map(|it| it.number));
    Ok(connection.prepare_cached(sql)?.exists(params![replay, received_at, number])?)
}

fn queue(
    transaction: &Transaction<'_>,
    replay: i64,
    events: &[SearchHit],
) -> Result<(), SqliteError> {
    let sql = "SELECT begun_at, every, replayed FROM replays WHERE number = ?1";
    let (begun_at, interval, mut replayed): (i64, i64, i64) = transaction
        .prepare_cached(sql)?
        .query_row([replay], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (before, mut erased) = (replayed, 0);
    for event in events.iter().filter(|event| event.state != State::Queued) {
        let due_at = begun_at.saturating_add(interval.saturating_mul(replayed)).min(DUE_AT_MAX);
        if queue_event(transaction, replay, (event, begun_at, due_at))? {
            replayed += 1;
        } else if is_erased(transaction, event.cursor.number)? {
            erased += 1;
        }
    }
    let sql = "UPDATE replays SET matched = matched + ?2, replayed = ?3, waiting = waiting + ?4,
                   followed = followed + ?4
               WHERE number = ?1";
    let changes = params![replay, events.len() - erased, replayed, replayed - before];
    transaction.prepare_cached(sql)?.execute(changes)?;
    let sql = "UPDATE audit SET count = ?2
               WHERE number = (SELECT audit FROM replays WHERE number = ?1)";
    transaction.prepare_cached(sql)?.execute(params![replay, replayed])?;
    Ok(())
}

fn is_erased(connection: &Connection, event: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM events WHERE number = ?1 AND erased_at IS NOT NULL";
    connection.prepare_cached(sql)?.exists([event])
}

/// The end of the year 9998 in microseconds. `Timestamp` ends with the year 9999.
const DUE_AT_MAX: i64 = 253_370_764_799_000_000;

/// Queues the event again, and returns whether it could: it still had the state in which it was found,
/// and is not erased.
fn queue_event(
    transaction: &Transaction<'_>,
    replay: i64,
    (event, begun_at, due_at): (&SearchHit, i64, i64),
) -> rusqlite::Result<bool> {
    let number = event.cursor.number;
    let sql = "INSERT INTO replayed
                   (event, replay, state, reason, queued_at, tries, settled_at, replayed)
               SELECT number, ?2, state, reason, queued_at, tries, settled_at, replay
               FROM events WHERE number = ?1 AND state = ?3 AND erased_at IS NULL";
    let state = event.state.as_str();
    if transaction.prepare_cached(sql)?.execute(params![number, replay, state])? == 0 {
        return Ok(false);
    }
    // The wait counts from the start of the replay, not from now: if the clock is set back, all
    // events move by the same time and keep their intervals.
    let sql = "UPDATE events SET state = 'queued', reason = ?2, settled_at = NULL, due_at = ?3,
                   queued_at = ?3, waits_since = ?4, tries = 0, replay = 1,
                   replay_of = (SELECT id FROM replays WHERE number = ?5)
               WHERE number = ?1
               RETURNING source, received_at";
    let reason = format!("replayed by a person; it was {state}");
    let mut update = transaction.prepare_cached(sql)?;
    let values = params![number, reason, due_at, begun_at, replay];
    let queued = update.query_row(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (source, TimeColumn(received_at)): (String, TimeColumn) = queued;
    transaction.entry_changed(number);
    transaction.count_moved(&source, received_at, (event.state, State::Queued));
    Ok(true)
}

fn save_cursor(connection: &Connection, replay: i64, next: Cursor) -> Result<(), SqliteError> {
    let sql = "UPDATE replays SET after_received_at = ?2, after_number = ?3 WHERE number = ?1";
    let place = params![replay, TimeColumn(next.received_at), next.number];
    connection.prepare_cached(sql)?.execute(place)?;
    Ok(())
}

/// Ends the replay. What it searched for is forgotten: it may be a person's address, and the person may
/// have been erased meanwhile.
fn finish(connection: &Connection, replay: i64) -> Result<(), SqliteError> {
    let sql = "UPDATE replays SET ended = 1, text = NULL, filter = NULL WHERE number = ?1";
    connection.prepare_cached(sql)?.execute([replay])?;
    Ok(())
}

fn restore(transaction: &Transaction<'_>, replay: i64, event: i64) -> Result<(), SqliteError> {
    let sql = format!(
        "UPDATE events SET (state, reason, queued_at, tries, settled_at, replay, due_at)
             = (past.state, past.reason, past.queued_at, past.tries, past.settled_at,
                past.replayed, NULL),
             replay_of = NULL
         FROM replayed AS past
         WHERE number = ?1 AND past.event = ?1 AND past.replay = ?2 AND {UNCLAIMED}
         RETURNING source, state, received_at"
    );
    let mut update = transaction.prepare_cached(&sql)?;
    let given_back = update.query_row(params![event, replay], |row| {
        let (EnumColumn(state), TimeColumn(received_at)) = (row.get(1)?, row.get(2)?);
        Ok((row.get(0)?, state, received_at))
    });
    let given_back: Option<(String, State, Timestamp)> = given_back.optional()?;
    if let Some((source, state, received_at)) = given_back {
        // Only moved: that it is delivered, dead or ignored was counted when it happened.
        transaction.entry_changed(event);
        transaction.count_moved(&source, received_at, (State::Queued, state));
        previous_state::delete(transaction, event)?;
        let sql = "UPDATE replays SET given_back = given_back + 1 WHERE number = ?1";
        transaction.prepare_cached(sql)?.execute([replay])?;
    }
    Ok(())
}

/// Cancels a replay: its next steps restore events. One that had ended has steps again.
pub(crate) fn cancel(
    connection: &Connection,
    id: ReplayId,
    now: Timestamp,
    by: &Actor,
) -> Result<(), SqliteError> {
    let sql = "UPDATE replays SET canceled_at = ?2, ended = 0
               WHERE id = ?1 AND canceled_at IS NULL RETURNING waiting";
    let mut update = connection.prepare_cached(sql)?;
    let canceled = update.query_row(params![id.as_bytes(), TimeColumn(now)], |row| row.get(0));
    let waiting: Option<u64> = canceled.optional()?;
    // One that does not exist or was canceled before is left as it is.
    if let Some(waiting) = waiting {
        let entry = by.did(AuditAction::CancelReplay, now).on(&format!("replay {id}"));
        audit::insert(connection, &entry.count(waiting))?;
    }
    Ok(())
}

pub(crate) fn unfinished(connection: &Connection) -> Result<Vec<ReplayId>, SqliteError> {
    let sql = "SELECT id FROM replays INDEXED BY replays_open
               WHERE ended = 0 ORDER BY number";
    let mut query = connection.prepare_cached(sql)?;
    let ids = query.query_map([], |row| row.get(0).map(ReplayId::from_bytes))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}
