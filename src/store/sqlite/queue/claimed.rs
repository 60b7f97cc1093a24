//! Reads claimed events, and settles those that are unreadable as dead.

use jiff::Timestamp;
use rusqlite::Connection;
use tracing::{error, warn};

use super::leased_event::{self, LeasedEvent};
use super::leases::Lease;
use super::progress;
use crate::event::State;
use crate::store::queue::{Claim, ClaimedEvent, NextStep, Progress};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::events;

/// Claimed events that were read, and those that cannot be.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) claimed: Vec<ClaimedEvent>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// An event whose row is invalid, so that reading it again is in vain.
#[derive(Debug, Clone)]
pub(super) struct Unreadable {
    claim: Claim,
    reason: String,
}

/// Reads the leased events. One that cannot be read at present is left out, so that it does not
/// affect the others; its lease ends by itself.
pub(super) fn load(connection: &Connection, leases: &[Lease]) -> Result<Loaded, SqliteError> {
    let mut loaded = Loaded::default();
    let snapshot = connection.unchecked_transaction()?;
    for lease in leases {
        match load_into(&mut loaded, &snapshot, lease) {
            // No other event could be read either.
            Err(failure) if failure.is_disk_failure() || failure.damage().is_some() => {
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

pub(super) fn load_one(connection: &Connection, claim: Claim) -> Result<Loaded, SqliteError> {
    let mut loaded = Loaded::default();
    // One snapshot, in which the claim holds for all that is read.
    let snapshot = connection.unchecked_transaction()?;
    match leased_event::leased(&snapshot, claim) {
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
    match events::claimed(connection, *claim, *number).map_err(SqliteError::from) {
        Ok(claimed) => loaded.claimed.push(claimed),
        Err(failure) if failure.is_unreadable_row() => {
            let reason = format!("it cannot be read from the store: {failure}");
            loaded.unreadable.push(Unreadable { claim: *claim, reason });
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// Settles unreadable events as dead; else they would be claimed again and again. Those whose claim
/// was lost meanwhile are left.
pub(super) fn settle_as_dead(
    transaction: &Transaction<'_>,
    unreadable: &[Unreadable],
    now: Timestamp,
) -> Result<(), SqliteError> {
    for Unreadable { claim, reason } in unreadable {
        let dead = NextStep::Settle { state: State::Dead, reason: Some(reason.clone()), at: now };
        match progress::advance(transaction, *claim, &Progress::to(dead)) {
            Ok(()) | Err(SqliteError::ClaimLost) => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

impl Unreadable {
    /// Logs that the event is dead. Call it once that is on disk.
    pub(super) fn log(&self) {
        let (id, state, reason) = (self.claim.event, State::Dead.as_str(), &self.reason);
        warn!(event.id = %id, state, reason, "event {id} is {state}");
    }
}
