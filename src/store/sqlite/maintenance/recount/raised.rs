//! Raises what happened in half hours to at least what the events show. Nothing is lowered: events that were
//! purged, or changed their state since, happened all the same.

use rusqlite::{Connection, params};

use crate::event::State;
use crate::store::half_hour::HalfHour;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{EnumColumn, TimeColumn};

/// What the events show of what was received in a half hour.
#[derive(Debug)]
pub(super) struct Received {
    at: HalfHour,
    events: i64,
    /// Webhooks that their sender sent.
    webhooks: i64,
}

pub(super) fn received(
    connection: &Connection,
    source: &str,
    half_hours: &[HalfHour],
) -> Result<Vec<Received>, SqliteError> {
    // A range of the index for each state. Tests have delivery ids of their own.
    let sql = "SELECT count(*), count(DISTINCT CASE WHEN rank = 0 AND copy_of IS NULL
                   AND coalesce(delivery_id, '') NOT GLOB 'test:*' THEN webhook END)
               FROM events INDEXED BY events_listed
               WHERE source = ?1 AND state IN ('queued', 'delivered', 'ignored', 'held', 'dead')
                   AND received_at >= ?2 AND received_at < ?3";
    let mut query = connection.prepare_cached(sql)?;
    let one = |at: &HalfHour| {
        let (begin, end) = (TimeColumn(at.begins_at()), TimeColumn(at.plus(1).begins_at()));
        query.query_row(params![source, begin, end], |row| {
            Ok(Received { at: *at, events: row.get(0)?, webhooks: row.get(1)? })
        })
    };
    Ok(half_hours.iter().map(one).collect::<rusqlite::Result<_>>()?)
}

pub(super) fn raise_received(
    transaction: &Transaction<'_>,
    source: &str,
    received: &[Received],
) -> Result<(), SqliteError> {
    // Where all events were counted, so were the webhooks, and more exactly.
    let sql = "INSERT INTO half_hours (at, source, accepted, webhooks) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET
                   webhooks = CASE WHEN accepted < excluded.accepted
                       THEN max(webhooks, excluded.webhooks) ELSE webhooks END,
                   accepted = max(accepted, excluded.accepted)";
    let mut raise = transaction.prepare_cached(sql)?;
    for Received { at, events, webhooks } in received {
        raise.execute(params![TimeColumn(at.begins_at()), source, events, webhooks])?;
    }
    Ok(())
}

/// Numbers of events that were settled in a half hour.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) at: HalfHour,
    events: Vec<(String, State, i64)>,
}

/// Reads the first half hour after another one in which events were settled.
pub(super) fn settled(
    connection: &Connection,
    after: Option<HalfHour>,
) -> Result<Option<Settled>, SqliteError> {
    let sql = "SELECT min(settled_at) FROM events INDEXED BY events_settled
               WHERE settled_at IS NOT NULL AND settled_at >= ?1";
    let from = after.map_or(i64::MIN, |after| after.plus(1).begins_at().as_microsecond());
    let mut query = connection.prepare_cached(sql)?;
    let first: Option<TimeColumn> = query.query_row([from], |row| row.get(0))?;
    let Some(TimeColumn(first)) = first else { return Ok(None) };
    let at = HalfHour::of(first);
    let sql = "SELECT source, state, count(*) FROM events INDEXED BY events_settled
               WHERE settled_at IS NOT NULL AND settled_at >= ?1 AND settled_at < ?2
               GROUP BY source, state";
    let mut query = connection.prepare_cached(sql)?;
    let times = params![TimeColumn(at.begins_at()), TimeColumn(at.plus(1).begins_at())];
    let events = query.query_map(times, |row| {
        let EnumColumn(state) = row.get(1)?;
        Ok((row.get(0)?, state, row.get(2)?))
    })?;
    Ok(Some(Settled { at, events: events.collect::<rusqlite::Result<_>>()? }))
}

pub(super) fn raise_settled(
    transaction: &Transaction<'_>,
    Settled { at, events }: &Settled,
) -> Result<(), SqliteError> {
    for (source, state, count) in events {
        let column = match state {
            State::Delivered => "delivered",
            State::Ignored => "ignored",
            State::Dead => "dead",
            // They have not settled.
            State::Queued | State::Held => continue,
        };
        let sql = format!(
            "INSERT INTO half_hours (at, source, {column}) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET {column} = max({column}, excluded.{column})"
        );
        let mut raise = transaction.prepare_cached(&sql)?;
        raise.execute(params![TimeColumn(at.begins_at()), source, count])?;
    }
    Ok(())
}
