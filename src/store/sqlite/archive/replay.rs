//! Replays: the order, its steps, and what it takes back when it is canceled.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::search::{self, Search, SearchBudget, SearchHit, SortOrder};
use crate::event::{SourceName, State};
use crate::store::filter::{Cursor, EventFilter};
use crate::store::replay::{ReplayId, ReplayProgress, ReplayRequest};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{EnumColumn, JsonColumn, TimeColumn};
use crate::store::sqlite::rows::previous_state;

/// How many events one step changes.
const STEP: usize = 500;

pub(crate) fn begin(connection: &Connection, order: &ReplayRequest) -> Result<(), SqliteError> {
    let ReplayRequest { id, filter, every, begun_at } = order;
    let every = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
    let sql = "INSERT INTO replays (id, ids, state, sources, since, until, text, every, begun_at,
                   left_out, up_to)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,
                   (SELECT coalesce(max(number), 0) FROM events))";
    connection.prepare_cached(sql)?.execute(params![
        id.as_bytes(),
        JsonColumn(&filter.ids),
        filter.state.map(State::as_str),
        filter.sources.as_ref().map(JsonColumn),
        filter.since.map(TimeColumn),
        filter.until.map(TimeColumn),
        filter.text,
        every,
        TimeColumn(*begun_at),
        filter.left_out,
    ])?;
    Ok(())
}

/// What a step is to change, as it was found apart from the writer.
pub(crate) enum ReplayStep {
    Queue { replay: i64, after: Option<Cursor>, events: Vec<SearchHit>, next: Option<Cursor> },
    GiveBack { replay: i64, events: Vec<i64> },
}

/// The next step; none if the replay has come to its end or is not there.
pub(crate) fn next(
    connection: &Connection,
    id: ReplayId,
) -> Result<Option<ReplayStep>, SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let sql = "SELECT number, canceled_at IS NOT NULL, ids, state, sources, since, until, text,
                   after_received_at, after_number, up_to, left_out
               FROM replays WHERE id = ?1 AND ended = 0";
    let mut query = snapshot.prepare_cached(sql)?;
    let open = query.query_row([id.as_bytes()], |row| {
        let (filter, order) = (filter_of(row)?, SortOrder::OldestFirst);
        let search = Search {
            filter,
            order,
            after: after_of(row)?,
            up_to: row.get(10)?,
            limit: STEP,
            slice: SearchBudget::PAGE,
        };
        Ok((row.get(0)?, row.get(1)?, search))
    });
    let Some((replay, canceled, search)) = open.optional()? else { return Ok(None) };
    if canceled {
        return Ok(Some(ReplayStep::GiveBack { replay, events: not_begun(&snapshot, replay)? }));
    }
    let found = search::find(&snapshot, &search)?;
    let (after, next) = (search.after, found.next);
    Ok(Some(ReplayStep::Queue { replay, after, events: found.events, next }))
}

fn filter_of(row: &Row<'_>) -> rusqlite::Result<EventFilter> {
    let JsonColumn(ids) = row.get(2)?;
    let state: Option<EnumColumn<State>> = row.get(3)?;
    let sources: Option<JsonColumn<Vec<SourceName>>> = row.get(4)?;
    let (since, until): (Option<TimeColumn>, Option<TimeColumn>) = (row.get(5)?, row.get(6)?);
    Ok(EventFilter {
        ids,
        state: state.map(|EnumColumn(state)| state),
        sources: sources.map(|JsonColumn(sources)| sources),
        since: since.map(|TimeColumn(since)| since),
        until: until.map(|TimeColumn(until)| until),
        text: row.get(7)?,
        left_out: row.get(11)?,
    })
}

fn after_of(row: &Row<'_>) -> rusqlite::Result<Option<Cursor>> {
    let received_at: Option<TimeColumn> = row.get(8)?;
    let Some(TimeColumn(received_at)) = received_at else { return Ok(None) };
    Ok(Some(Cursor { received_at, number: row.get(9)? }))
}

fn not_begun(connection: &Connection, replay: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT event FROM replayed JOIN events ON events.number = event
               WHERE replayed.replay = ?1 AND state_is_free LIMIT ?2";
    let sql = sql.replace("state_is_free", FREE);
    let mut query = connection.prepare_cached(&sql)?;
    let events = query.query_map(params![replay, STEP], |row| row.get(0))?;
    events.collect()
}

/// Nobody works on it.
const FREE: &str = "events.state = 'queued' AND lease_until IS NULL";

pub(crate) fn take(writing: &Transaction<'_>, step: &ReplayStep) -> Result<(), SqliteError> {
    match step {
        // Somebody else may have taken the same step, or canceled.
        ReplayStep::Queue { replay, after, .. } if !is_at(writing, *replay, *after)? => Ok(()),
        ReplayStep::Queue { replay, events, next, .. } => {
            queue(writing, *replay, events)?;
            match next {
                Some(next) => move_on(writing, *replay, *next),
                None => end(writing, *replay),
            }
        }
        ReplayStep::GiveBack { replay, events } => {
            for event in events {
                give_back(writing, *replay, *event)?;
            }
            if events.len() < STEP {
                end(writing, *replay)?;
            }
            Ok(())
        }
    }
}

fn is_at(connection: &Connection, replay: i64, after: Option<Cursor>) -> Result<bool, SqliteError> {
    let sql = "SELECT 1 FROM replays WHERE number = ?1 AND ended = 0
                   AND canceled_at IS NULL AND after_received_at IS ?2 AND after_number IS ?3";
    let (received_at, number) =
        (after.map(|it| TimeColumn(it.received_at)), after.map(|it| it.number));
    Ok(connection.prepare_cached(sql)?.exists(params![replay, received_at, number])?)
}

fn queue(writing: &Transaction<'_>, replay: i64, events: &[SearchHit]) -> Result<(), SqliteError> {
    let sql = "SELECT begun_at, every, replayed FROM replays WHERE number = ?1";
    let (begun_at, every, mut replayed): (i64, i64, i64) = writing
        .prepare_cached(sql)?
        .query_row([replay], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let before = replayed;
    for event in events.iter().filter(|event| event.state != State::Queued) {
        let due_at = begun_at.saturating_add(every.saturating_mul(replayed)).min(LATEST);
        if queue_one(writing, replay, (event, begun_at, due_at))? {
            replayed += 1;
        }
    }
    let sql = "UPDATE replays SET matched = matched + ?2, replayed = ?3, waiting = waiting + ?4
               WHERE number = ?1";
    let changes = params![replay, events.len(), replayed, replayed - before];
    writing.prepare_cached(sql)?.execute(changes)?;
    Ok(())
}

/// The end of the year 9998, in microseconds: later would be no time.
const LATEST: i64 = 253_370_764_799_000_000;

/// Whether the event was still what it was found as.
fn queue_one(
    writing: &Transaction<'_>,
    replay: i64,
    (event, begun_at, due_at): (&SearchHit, i64, i64),
) -> rusqlite::Result<bool> {
    let number = event.place.number;
    let sql = "INSERT INTO replayed
                   (event, replay, state, reason, queued_at, tries, settled_at, replayed)
               SELECT number, ?2, state, reason, queued_at, tries, settled_at, replay
               FROM events WHERE number = ?1 AND state = ?3";
    let state = event.state.as_str();
    if writing.prepare_cached(sql)?.execute(params![number, replay, state])? == 0 {
        return Ok(false);
    }
    let sql = "UPDATE events SET state = 'queued', reason = ?2, settled_at = NULL, due_at = ?3,
                   queued_at = ?3, waits_since = ?4, tries = 0, replay = 1
               WHERE number = ?1
               RETURNING source";
    let reason = format!("replayed by a person; it was {state}");
    let mut update = writing.prepare_cached(sql)?;
    let values = params![number, reason, due_at, begun_at];
    let source: String = update.query_row(values, |row| row.get(0))?;
    writing.went(&source, event.state);
    writing.came(&source, State::Queued);
    Ok(true)
}

fn move_on(connection: &Connection, replay: i64, next: Cursor) -> Result<(), SqliteError> {
    let sql = "UPDATE replays SET after_received_at = ?2, after_number = ?3 WHERE number = ?1";
    let place = params![replay, TimeColumn(next.received_at), next.number];
    connection.prepare_cached(sql)?.execute(place)?;
    Ok(())
}

fn end(connection: &Connection, replay: i64) -> Result<(), SqliteError> {
    let sql = "UPDATE replays SET ended = 1 WHERE number = ?1";
    connection.prepare_cached(sql)?.execute([replay])?;
    Ok(())
}

fn give_back(writing: &Transaction<'_>, replay: i64, event: i64) -> Result<(), SqliteError> {
    let sql = format!(
        "UPDATE events SET (state, reason, queued_at, tries, settled_at, replay, due_at)
             = (past.state, past.reason, past.queued_at, past.tries, past.settled_at,
                past.replayed, NULL)
         FROM replayed AS past
         WHERE number = ?1 AND past.event = ?1 AND past.replay = ?2 AND {FREE}
         RETURNING source, state"
    );
    let mut update = writing.prepare_cached(&sql)?;
    let given_back = update.query_row(params![event, replay], |row| Ok((row.get(0)?, row.get(1)?)));
    let given_back: Option<(String, EnumColumn<State>)> = given_back.optional()?;
    if let Some((source, EnumColumn(state))) = given_back {
        writing.went(&source, State::Queued);
        writing.came(&source, state);
        previous_state::begun(writing, event)?;
        let sql = "UPDATE replays SET given_back = given_back + 1 WHERE number = ?1";
        writing.prepare_cached(sql)?.execute([replay])?;
    }
    Ok(())
}

/// Steps from now on give back. One that had ended has steps again.
pub(crate) fn cancel(
    connection: &Connection,
    id: ReplayId,
    now: Timestamp,
) -> Result<(), SqliteError> {
    let sql = "UPDATE replays SET canceled_at = ?2, ended = 0
               WHERE id = ?1 AND canceled_at IS NULL";
    connection.prepare_cached(sql)?.execute(params![id.as_bytes(), TimeColumn(now)])?;
    Ok(())
}

pub(crate) fn look(
    connection: &Connection,
    id: ReplayId,
) -> Result<Option<ReplayProgress>, SqliteError> {
    let sql = "SELECT begun_at, matched, replayed, waiting, given_back, canceled_at,
                   ended = 0
               FROM replays WHERE id = ?1";
    let mut query = connection.prepare_cached(sql)?;
    let replay = query.query_row([id.as_bytes()], |row| {
        let TimeColumn(begun_at) = row.get(0)?;
        let canceled_at: Option<TimeColumn> = row.get(5)?;
        Ok(ReplayProgress {
            id,
            begun_at,
            matched: row.get(1)?,
            replayed: row.get(2)?,
            waiting: row.get(3)?,
            given_back: row.get(4)?,
            canceled_at: canceled_at.map(|TimeColumn(canceled_at)| canceled_at),
            has_steps: row.get(6)?,
        })
    });
    Ok(replay.optional()?)
}

pub(crate) fn open(connection: &Connection) -> Result<Vec<ReplayId>, SqliteError> {
    let sql = "SELECT id FROM replays INDEXED BY replays_open
               WHERE ended = 0 ORDER BY number";
    let mut query = connection.prepare_cached(sql)?;
    let ids = query.query_map([], |row| row.get(0).map(ReplayId::from_bytes))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}
