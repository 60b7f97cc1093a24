//! Leases on queued events: who works on what, and until when.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::suspects;
use crate::store::queue::{Claim, ClaimRequest, Renewal, WaitsFor};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{
    EventIdColumn, Priority, SourceColumn, TimeColumn, token,
};

/// A claim whose event is not read yet.
pub(super) struct Lease {
    pub(super) claim: Claim,
    pub(super) number: i64,
}

/// An event that may be claimed; sorts by when it was due, then by receipt.
type DueEvent = (Timestamp, i64);

// Both read the ends of an index, however long the queue is. `INDEXED BY`, since SQLite has no statistics of the tables
// and guesses: with another index it would sort or search all of the queue. Where the named one cannot be used,
// preparing the statement fails.
const DUE: &str = "
    SELECT due_at, number FROM events INDEXED BY events_due
    WHERE source = ?1 AND rank = ?2 AND state = 'queued' AND lease_until IS NULL AND due_at <= ?3
    ORDER BY due_at, number LIMIT ?4";
const ENDED: &str = "
    SELECT due_at, number, source, rank FROM events INDEXED BY events_leased
    WHERE lease_until IS NOT NULL AND lease_until <= ?1";

pub(super) fn lease(
    connection: &Connection,
    wanted: &ClaimRequest,
) -> Result<Vec<Lease>, SqliteError> {
    let until = wanted.now.saturating_add(wanted.lease).unwrap_or(Timestamp::MAX);
    // `RETURNING` would say as much, by a table of its own for each event.
    let sql = "UPDATE events SET token = token + 1, lease_until = ?2, waits_since = ?3
               WHERE number = ?1";
    let mut update = connection.prepare_cached(sql)?;
    // The length of a plan stands before its text: the text is not read for it.
    let sql = "SELECT id, token, payload_end - payload_start + coalesce(
                   (SELECT octet_length(requests) FROM plans WHERE plans.event = number), 0)
               FROM events WHERE number = ?1";
    let mut query = connection.prepare_cached(sql)?;
    let mut leases = Vec::new();
    let mut left = wanted.bytes_max;
    let ended = ended(connection, wanted)?;
    for (_, (_, number)) in &ended {
        suspects::suspect(connection, *number)?;
    }
    for (_, number) in first(connection, wanted, &ended)? {
        if left == 0 {
            break;
        }
        update.execute(params![number, TimeColumn(until), TimeColumn(wanted.now)])?;
        let (claim, bytes): (_, usize) =
            query.query_row([number], |row| Ok((claim(row)?, row.get(2)?)))?;
        left = left.saturating_sub(bytes);
        leases.push(Lease { claim, number });
    }
    Ok(leases)
}

/// As many as are wanted, of the first rank that has any: events that are claimed together are sent in whichever order
/// they are mapped.
fn first(
    connection: &Connection,
    wanted: &ClaimRequest,
    known: &[(Priority, DueEvent)],
) -> rusqlite::Result<BTreeSet<DueEvent>> {
    for priority in Priority::ALL {
        let known =
            known.iter().filter(|(its, _)| *its == priority).map(|(_, candidate)| *candidate);
        let first = oldest(connection, wanted, (priority, wanted.slots, known.collect()))?;
        if !first.is_empty() {
            return Ok(first);
        }
    }
    Ok(BTreeSet::new())
}

/// The oldest of a rank together with those that are known already.
fn oldest(
    connection: &Connection,
    wanted: &ClaimRequest,
    (priority, slots, known): (Priority, usize, BTreeSet<DueEvent>),
) -> rusqlite::Result<BTreeSet<DueEvent>> {
    // Merged here and not by `source IN (...) ORDER BY`, for which SQLite would sort all that is due: each of these
    // queries reads at most as many entries at the end of its part of the index as there are slots.
    let mut oldest = known;
    let limit = i64::try_from(slots).unwrap_or(i64::MAX);
    let mut query = connection.prepare_cached(DUE)?;
    for source in &wanted.sources {
        // Nothing younger than what is found already.
        let latest = if oldest.len() < slots { None } else { oldest.last() };
        let latest = latest.map_or(wanted.now, |(due_at, _)| wanted.now.min(*due_at));
        let place = params![source.as_str(), priority, TimeColumn(latest), limit];
        for candidate in query.query_map(place, candidate)? {
            oldest.insert(candidate?);
        }
        while oldest.len() > slots {
            oldest.pop_last();
        }
    }
    Ok(oldest)
}

/// What was claimed by one who did not come back, each with its rank, in which it stays.
fn ended(
    connection: &Connection,
    wanted: &ClaimRequest,
) -> rusqlite::Result<Vec<(Priority, DueEvent)>> {
    let mut ended = Vec::new();
    let mut query = connection.prepare_cached(ENDED)?;
    let mut rows = query.query([TimeColumn(wanted.now)])?;
    while let Some(row) = rows.next()? {
        let SourceColumn(source) = row.get(2)?;
        if wanted.sources.contains(&source) {
            ended.push((row.get(3)?, candidate(row)?));
        }
    }
    Ok(ended)
}

fn candidate(row: &Row<'_>) -> rusqlite::Result<DueEvent> {
    let TimeColumn(due_at) = row.get(0)?;
    Ok((due_at, row.get(1)?))
}

fn claim(row: &Row<'_>) -> rusqlite::Result<Claim> {
    let EventIdColumn(event) = row.get(0)?;
    let token: i64 = row.get(1)?;
    Ok(Claim { event, token: token.cast_unsigned() })
}

pub(super) fn renew(
    connection: &Connection,
    renewals: &[Renewal],
    until: Timestamp,
) -> Result<Vec<Claim>, SqliteError> {
    let mut renewed = Vec::with_capacity(renewals.len());
    for Renewal { claim, waits_for } in renewals {
        if set_lease(connection, *claim, Some(until))? {
            renewed.push(*claim);
            if let Some(WaitsFor { event, reason }) = waits_for {
                let sql = "UPDATE events SET reason = ?2, waits_for = ?3 WHERE id = ?1";
                let mut update = connection.prepare_cached(sql)?;
                update.execute(params![EventIdColumn(claim.event), reason, event])?;
            }
        }
    }
    Ok(renewed)
}

/// Gives claims back: the events can be claimed at once.
pub(super) fn end(connection: &Connection, claims: &[Claim]) -> Result<(), SqliteError> {
    for claim in claims {
        set_lease(connection, *claim, None)?;
    }
    Ok(())
}

/// Whether the claim was still the event's.
fn set_lease(
    connection: &Connection,
    claim: Claim,
    until: Option<Timestamp>,
) -> rusqlite::Result<bool> {
    // All leases are equally long: one that ends later began as much later.
    let sql = "UPDATE events SET lease_until = ?3,
                   waits_since = waits_since + coalesce(?3 - lease_until, 0)
               WHERE id = ?1 AND token = ?2 AND lease_until IS NOT NULL";
    let until = until.map(TimeColumn);
    let changed = connection.prepare_cached(sql)?.execute(params![
        EventIdColumn(claim.event),
        token(claim.token),
        until
    ])?;
    Ok(changed == 1)
}
