//! A commit in progress, with the changes of the event counts, which are written once at its end.

mod counted;

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Deref;

use jiff::Timestamp;
use rusqlite::Connection;

use super::change_log::CommitChanges;
use crate::event::State;
use crate::store::flows::Flow;
use crate::store::half_hour::HalfHour;
use counted::SourceChanges;

/// A commit in progress, and the changes of the counts by it.
// A batch of 256 webhooks of one source changes one row of `counts` and one of `half_hours` instead
// of changing each 256 times.
#[derive(Debug)]
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    changes: RefCell<Changes>,
    /// None while nobody follows what changes.
    followed: Option<RefCell<CommitChanges>>,
}

/// Changes by source.
type Changes = HashMap<String, SourceChanges>;

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Transaction<'_> {
    pub(crate) fn on(connection: &Connection) -> Transaction<'_> {
        Transaction { connection, changes: RefCell::default(), followed: None }
    }

    /// Also notes what changes, for whoever follows that.
    pub(super) fn followed(connection: &Connection, is_followed: bool) -> Transaction<'_> {
        let followed = is_followed.then(RefCell::default);
        Transaction { followed, ..Transaction::on(connection) }
    }

    /// Notes that the entry of an event in a list has changed, or is new.
    // Not by triggers or SQLite's own hook, which would run for each row: most changes of a row are
    // leases, which no entry shows.
    pub(crate) fn entry_changed(&self, event: i64) {
        if let Some(followed) = &self.followed {
            followed.borrow_mut().events.push(event);
        }
    }

    /// Returns what was noted. Call it once, after the commit.
    pub(super) fn into_changes(self) -> Option<CommitChanges> {
        self.followed.map(RefCell::into_inner)
    }

    /// Counts that events happened to a source, in the half hour of this time: the one that is stored with
    /// the event, if one is. What a person takes back happened all the same.
    pub(crate) fn happened(&self, source: &str, at: Timestamp, (flow, times): (Flow, i64)) {
        self.change(source, |changes| *changes.half_hour(HalfHour::of(at)).flow(flow) += times);
    }

    /// Counts an event of this time of receipt that is now stored.
    pub(crate) fn count_added(&self, source: &str, received_at: Timestamp, state: State) {
        self.change(source, |changes| changes.count((received_at, state), 1));
    }

    /// Counts an event that is no longer stored.
    pub(crate) fn count_removed(&self, source: &str, received_at: Timestamp, state: State) {
        self.change(source, |changes| changes.count((received_at, state), -1));
    }

    /// Counts that an event has another state. Whether that happened to it, or was taken back, is said by
    /// [`Transaction::happened`].
    pub(crate) fn count_moved(
        &self,
        source: &str,
        received_at: Timestamp,
        (from, to): (State, State),
    ) {
        self.change(source, |changes| {
            changes.count((received_at, from), -1);
            changes.count((received_at, to), 1);
        });
    }

    /// Corrects the number of events in a state.
    pub(crate) fn correct_count(&self, source: &str, state: State, by: i64) {
        self.change(source, |changes| *changes.state(state) += by);
    }

    /// Corrects the number of events of a half hour in a state.
    pub(crate) fn correct_half_hour(&self, source: &str, at: HalfHour, (state, by): (State, i64)) {
        self.change(source, |changes| *changes.half_hour(at).present(state) += by);
    }

    fn change(&self, source: &str, apply: impl FnOnce(&mut SourceChanges)) {
        let mut changes = self.changes.borrow_mut();
        match changes.get_mut(source) {
            Some(changes) => apply(changes),
            None => apply(changes.entry(source.to_owned()).or_default()),
        }
    }

    /// Returns the changes so far, for [`Transaction::restore_counts`].
    pub(crate) fn count_snapshot(&self) -> CountSnapshot {
        CountSnapshot(self.changes.borrow().clone())
    }

    /// Discards the changes since the snapshot.
    pub(crate) fn restore_counts(&self, counted: CountSnapshot) {
        self.changes.replace(counted.0);
    }

    /// Writes the changes. Call it once, before the commit.
    pub(crate) fn write_counts(&self) -> rusqlite::Result<()> {
        for (source, changes) in self.changes.take() {
            if let Some(followed) = &self.followed {
                let rejected = changes.rejected();
                *followed.borrow_mut().sources.entry(source.clone()).or_default() += rejected;
            }
            changes.write(self.connection, &source)?;
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct CountSnapshot(Changes);
