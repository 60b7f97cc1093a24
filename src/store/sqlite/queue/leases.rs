//! Leases on queued events: who works on what, and until when.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tracing::{error, warn};

use super::{progress, schedule, suspects};
use crate::event::State;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{EventIdColumn, SourceColumn, TimeColumn, token};
use crate::store::{Claim, ClaimRequest, ClaimedEvent, NextStep, Progress, Renewal, WaitsFor};

/// A claim whose event is not read yet.
pub(crate) struct Lease {
    pub(crate) claim: Claim,
    number: i64,
}

/// An event that may be claimed; sorts by when it was due, then by receipt.
type DueEvent = (Timestamp, i64);

/// Ranks of events: those of the first go before all of the next.
pub(crate) type QueueRank = i64;
pub(crate) const SENT: QueueRank = 0;
pub(crate) const IMPORTED: QueueRank = 1;
pub(crate) const RANKS: [QueueRank; 2] = [SENT, IMPORTED];

// Both read the ends of an index, however long the queue is.
const DUE: &str = "
    SELECT due_at, number FROM events INDEXED BY events_due
    WHERE source = ?1 AND rank = ?2 AND state = 'queued' AND lease_until IS NULL AND due_at <= ?3
    ORDER BY due_at, number LIMIT ?4";
const ENDED: &str = "
    SELECT due_at, number, source, rank FROM events INDEXED BY events_leased
    WHERE lease_until IS NOT NULL AND lease_until <= ?1";

pub(crate) fn lease(
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
    known: &[(QueueRank, DueEvent)],
) -> rusqlite::Result<BTreeSet<DueEvent>> {
    for rank in RANKS {
        let known = known.iter().filter(|(its, _)| *its == rank).map(|(_, candidate)| *candidate);
        let first = oldest(connection, wanted, (rank, wanted.slots, known.collect()))?;
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
    (rank, slots, known): (QueueRank, usize, BTreeSet<DueEvent>),
) -> rusqlite::Result<BTreeSet<DueEvent>> {
    let mut oldest = known;
    let limit = i64::try_from(slots).unwrap_or(i64::MAX);
    let mut query = connection.prepare_cached(DUE)?;
    for source in &wanted.sources {
        // Nothing younger than what is found already.
        let latest = if oldest.len() < slots { None } else { oldest.last() };
        let latest = latest.map_or(wanted.now, |(due_at, _)| wanted.now.min(*due_at));
        let place = params![source.as_str(), rank, TimeColumn(latest), limit];
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
) -> rusqlite::Result<Vec<(QueueRank, DueEvent)>> {
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

/// An event under a claim that still holds, as the next step finds it.
pub(crate) struct LeasedEvent {
    pub(crate) number: i64,
    pub(crate) source: String,
    pub(crate) tries: i64,
    /// Only then there may be something in `replayed`.
    pub(crate) was_replayed: bool,
    /// Only then there is something in `suspects`.
    pub(crate) is_suspect: bool,
    /// Whether it was noted that it waits for another event.
    pub(crate) waits: bool,
}

/// What was read of events that were claimed.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) claimed: Vec<ClaimedEvent>,
    pub(crate) unreadable: Vec<Unreadable>,
}

/// An event whose row cannot be understood, now or later.
#[derive(Debug, Clone)]
pub(crate) struct Unreadable {
    claim: Claim,
    reason: String,
}

/// Reads what was claimed. One that cannot be read at present is left out, so that it harms no other; its
/// lease ends by itself.
pub(crate) fn load(connection: &Connection, leases: &[Lease]) -> Result<Loaded, SqliteError> {
    let mut loaded = Loaded::default();
    let snapshot = connection.unchecked_transaction()?;
    for lease in leases {
        match load_into(&mut loaded, &snapshot, lease) {
            Err(failure) if failure.is_of_the_disk() || failure.damage().is_some() => {
                return Err(failure);
            }
            Err(failure) => {
                let id = lease.claim.event;
                error!(event.id = %id, %failure, "event {id} cannot be read from the store");
            }
            Ok(()) => {}
        }
    }
    Ok(loaded)
}

pub(crate) fn load_one(connection: &Connection, claim: Claim) -> Result<Loaded, SqliteError> {
    let mut loaded = Loaded::default();
    // All of it as it was at one moment.
    let snapshot = connection.unchecked_transaction()?;
    match in_hand(&snapshot, claim) {
        Ok(LeasedEvent { number, .. }) => {
            load_into(&mut loaded, &snapshot, &Lease { claim, number })?;
            Ok(loaded)
        }
        Err(SqliteError::ClaimLost) => Ok(loaded),
        Err(failure) => Err(failure),
    }
}

fn load_into(
    loaded: &mut Loaded,
    connection: &Connection,
    Lease { claim, number }: &Lease,
) -> Result<(), SqliteError> {
    match schedule::claimed(connection, *claim, *number).map_err(SqliteError::from) {
        Ok(claimed) => loaded.claimed.push(claimed),
        Err(failure) if failure.is_of_the_row() => {
            let reason = format!("it cannot be read from the store: {failure}");
            loaded.unreadable.push(Unreadable { claim: *claim, reason });
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// Ends events that nobody can read: they would be claimed for ever. Those that were lost meanwhile are left.
pub(crate) fn bury(
    writing: &Transaction<'_>,
    unreadable: &[Unreadable],
    now: Timestamp,
) -> Result<(), SqliteError> {
    for Unreadable { claim, reason } in unreadable {
        let dead = NextStep::Settle { state: State::Dead, reason: Some(reason.clone()), at: now };
        match progress::advance(writing, *claim, &Progress::to(dead)) {
            Ok(()) | Err(SqliteError::ClaimLost) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

impl Unreadable {
    /// In the log, once it is on disk.
    pub(crate) fn tell(&self) {
        let (id, state, reason) = (self.claim.event, State::Dead.as_str(), &self.reason);
        warn!(event.id = %id, state, reason, "event {id} is {state}");
    }
}

pub(crate) fn renew(
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
pub(crate) fn end(connection: &Connection, claims: &[Claim]) -> Result<(), SqliteError> {
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

/// The claim's event, if it is still the claim's.
pub(crate) fn in_hand(connection: &Connection, claim: Claim) -> Result<LeasedEvent, SqliteError> {
    // Where nobody is suspect, the table is one empty page.
    let sql = "SELECT number, source, tries, replay,
                   EXISTS (SELECT 1 FROM suspects WHERE suspects.event = number),
                   waits_for IS NOT NULL
               FROM events WHERE id = ?1 AND token = ?2 AND lease_until IS NOT NULL";
    let mut query = connection.prepare_cached(sql)?;
    let event =
        query.query_row(params![EventIdColumn(claim.event), token(claim.token)], in_hand_of);
    event.optional()?.ok_or(SqliteError::ClaimLost)
}

/// Of a row's first six columns.
pub(crate) fn in_hand_of(row: &Row<'_>) -> rusqlite::Result<LeasedEvent> {
    Ok(LeasedEvent {
        number: row.get(0)?,
        source: row.get(1)?,
        tries: row.get(2)?,
        was_replayed: row.get(3)?,
        is_suspect: row.get(4)?,
        waits: row.get(5)?,
    })
}
