//! Reads events that were claimed. One that nobody can read is dead.

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

/// What was read of events that were claimed.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) claimed: Vec<ClaimedEvent>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// An event whose row cannot be understood, now or later.
#[derive(Debug, Clone)]
pub(super) struct Unreadable {
    claim: Claim,
    reason: String,
}

/// Reads what was claimed. One that cannot be read at present is left out, so that it harms no other; its
/// lease ends by itself.
pub(super) fn load(connection: &Connection, leases: &[Lease]) -> Result<Loaded, SqliteError> {
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

pub(super) fn load_one(connection: &Connection, claim: Claim) -> Result<Loaded, SqliteError> {
    let mut loaded = Loaded::default();
    // All of it as it was at one moment.
    let snapshot = connection.unchecked_transaction()?;
    match leased_event::in_hand(&snapshot, claim) {
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
        Err(failure) if failure.is_of_the_row() => {
            let reason = format!("it cannot be read from the store: {failure}");
            loaded.unreadable.push(Unreadable { claim: *claim, reason });
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

/// Ends events that nobody can read: they would be claimed for ever. Those that were lost meanwhile are left.
pub(super) fn bury(
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
    pub(super) fn tell(&self) {
        let (id, state, reason) = (self.claim.event, State::Dead.as_str(), &self.reason);
        warn!(event.id = %id, state, reason, "event {id} is {state}");
    }
}
