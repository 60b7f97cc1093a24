//! Leases on queued events: claims, renewals and releases.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::suspects;
use crate::store::queue::{Claim, ClaimRequest, Renewal, WaitsFor};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{
    EventIdColumn, Priority, SourceColumn, TimeColumn, token_column,
};

/// A claim whose event is not read yet.
pub(super) struct Lease {
    pub(super) claim: Claim,
    pub(super) number: i64,
}

/// An event that may be claimed; sorts by its due time, then by receipt.
type DueEvent = (Timestamp, i64);

// Both read the ends of an index, however long the queue is. `INDEXED BY`, since SQLite has no
// statistics of the tables and guesses: with another index it would sort or search all of the
// queue. Where the named one cannot be used, preparing the statement fails.
const DUE: &str = "
    SELECT due_at, number FROM events INDEXED BY events_due
    WHERE source = ?1 AND rank = ?2 AND state = 'queued' AND lease_until IS NULL AND due_at <= ?3
    ORDER BY due_at, number LIMIT ?4";
const EXPIRED: &str = "
    SELECT due_at, number, source, rank FROM events INDEXED BY events_leased
    WHERE lease_until IS NOT NULL AND lease_until <= ?1";

pub(super) fn lease(
    connection: &Connection,
    request: &ClaimRequest,
) -> Result<Vec<Lease>, SqliteError> {
    let until = request.now.saturating_add(request.lease).unwrap_or(Timestamp::MAX);
    // `RETURNING` would give the same, but builds a temporary table for each event.
    let sql = "UPDATE events SET token = token + 1, lease_until = ?2, waits_since = ?3
               WHERE number = ?1";
    let mut update = connection.prepare_cached(sql)?;
    // A row begins with the lengths of its columns, so `octet_length` reads no text of a plan.
    let sql = "SELECT id, token, payload_end - payload_start + coalesce(
                   (SELECT octet_length(requests) FROM plans WHERE plans.event = number), 0)
               FROM events WHERE number = ?1";
    let mut query = connection.prepare_cached(sql)?;
    let mut leases = Vec::new();
    let mut bytes_left = request.bytes_max;
    let expired = expired(connection, request)?;
    // Also those that this claim does not take: their process may have died of one of them.
    for (_, (_, number)) in &expired {
        suspects::suspect(connection, *number)?;
    }
    for (_, number) in next_batch(connection, request, &expired)? {
        // Before the subtraction: the event that exceeds the limit is still claimed, so that one
        // which is larger than the limit is claimed at all.
        if bytes_left == 0 {
            break;
        }
        update.execute(params![number, TimeColumn(until), TimeColumn(request.now)])?;
        let (claim, bytes): (_, usize) =
            query.query_row([number], |row| Ok((claim(row)?, row.get(2)?)))?;
        bytes_left = bytes_left.saturating_sub(bytes);
        leases.push(Lease { claim, number });
    }
    Ok(leases)
}

/// Returns as many due events as there are slots, of the first priority that has any.
// Never of two priorities: events that are claimed together are sent in the order in which they are
// mapped, so an imported one could go before a live one.
fn next_batch(
    connection: &Connection,
    request: &ClaimRequest,
    expired: &[(Priority, DueEvent)],
) -> rusqlite::Result<BTreeSet<DueEvent>> {
    for priority in Priority::ALL {
        let expired =
            expired.iter().filter(|(of, _)| *of == priority).map(|(_, due_event)| *due_event);
        let next_batch = oldest(connection, request, (priority, request.slots, expired.collect()))?;
        if !next_batch.is_empty() {
            return Ok(next_batch);
        }
    }
    Ok(BTreeSet::new())
}

/// Returns the oldest due events of a priority, including those that are known already.
fn oldest(
    connection: &Connection,
    request: &ClaimRequest,
    (priority, slots, expired): (Priority, usize, BTreeSet<DueEvent>),
) -> rusqlite::Result<BTreeSet<DueEvent>> {
    // Merged here and not by `source IN (...) ORDER BY`, for which SQLite would sort all that is
    // due: each of these queries reads at most as many entries of its part of the index as there
    // are slots.
    let mut oldest = expired;
    let limit = i64::try_from(slots).unwrap_or(i64::MAX);
    let mut query = connection.prepare_cached(DUE)?;
    for source in &request.sources {
        // Once there are enough, only events that are older than the last of them can replace it.
        let latest = if oldest.len() < slots { None } else { oldest.last() };
        let latest = latest.map_or(request.now, |(due_at, _)| request.now.min(*due_at));
        let parameters = params![source.as_str(), priority, TimeColumn(latest), limit];
        for due_event in query.query_map(parameters, due_event)? {
            oldest.insert(due_event?);
        }
        while oldest.len() > slots {
            oldest.pop_last();
        }
    }
    Ok(oldest)
}

/// Returns the events whose lease has ended, with their priorities.
fn expired(
    connection: &Connection,
    request: &ClaimRequest,
) -> rusqlite::Result<Vec<(Priority, DueEvent)>> {
    let mut expired = Vec::new();
    let mut query = connection.prepare_cached(EXPIRED)?;
    let mut rows = query.query([TimeColumn(request.now)])?;
    while let Some(row) = rows.next()? {
        let SourceColumn(source) = row.get(2)?;
        if request.sources.contains(&source) {
            expired.push((row.get(3)?, due_event(row)?));
        }
    }
    Ok(expired)
}

fn due_event(row: &Row<'_>) -> rusqlite::Result<DueEvent> {
    let TimeColumn(due_at) = row.get(0)?;
    Ok((due_at, row.get(1)?))
}

fn claim(row: &Row<'_>) -> rusqlite::Result<Claim> {
    let EventIdColumn(event) = row.get(0)?;
    let token: i64 = row.get(1)?;
    Ok(Claim { event, token: token.cast_unsigned() })
}

pub(super) fn renew(
    transaction: &Transaction<'_>,
    renewals: &[Renewal],
    until: Timestamp,
) -> Result<Vec<Claim>, SqliteError> {
    let mut renewed = Vec::with_capacity(renewals.len());
    for Renewal { claim, waits_for } in renewals {
        if set_lease(transaction, *claim, Some(until))? {
            renewed.push(*claim);
            if let Some(WaitsFor { event, reason }) = waits_for {
                let sql = "UPDATE events SET reason = ?2, waits_for = ?3 WHERE id = ?1
                           RETURNING number";
                let mut update = transaction.prepare_cached(sql)?;
                let waiting = params![EventIdColumn(claim.event), reason, event];
                transaction.entry_changed(update.query_row(waiting, |row| row.get(0))?);
            }
        }
    }
    Ok(renewed)
}

/// Releases claims: the events can be claimed at once.
pub(super) fn release(connection: &Connection, claims: &[Claim]) -> Result<(), SqliteError> {
    for claim in claims {
        set_lease(connection, *claim, None)?;
    }
    Ok(())
}

/// Sets or ends the lease, and returns whether the claim still held.
fn set_lease(
    connection: &Connection,
    claim: Claim,
    until: Option<Timestamp>,
) -> rusqlite::Result<bool> {
    // All leases have the same length: one that ends later began as much later. `waits_since`
    // follows, so that a clock that is set back shortens the lease by the right time.
    let sql = "UPDATE events SET lease_until = ?3,
                   waits_since = waits_since + coalesce(?3 - lease_until, 0)
               WHERE id = ?1 AND token = ?2 AND lease_until IS NOT NULL";
    let until = until.map(TimeColumn);
    let changed = connection.prepare_cached(sql)?.execute(params![
        EventIdColumn(claim.event),
        token_column(claim.token),
        until
    ])?;
    Ok(changed == 1)
}
