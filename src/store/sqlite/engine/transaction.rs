//! A commit in progress, with the changes of the event counts, which are written once at its end.

use std::cell::RefCell;
use std::ops::Deref;

use rusqlite::{Connection, params};

use crate::event::State;

/// A commit in progress, and the changes of the counts by it.
// A batch of 256 webhooks of one source changes one row of `counts` instead of changing it 256
// times.
#[derive(Debug)]
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    changes: RefCell<Vec<CountChange>>,
}

#[derive(Debug, Clone)]
struct CountChange {
    source: String,
    state: State,
    events: i64,
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Transaction<'_> {
    pub(crate) fn on(connection: &Connection) -> Transaction<'_> {
        Transaction { connection, changes: RefCell::default() }
    }

    pub(crate) fn count_added(&self, source: &str, state: State) {
        self.change(source, state, 1);
    }

    pub(crate) fn count_removed(&self, source: &str, state: State) {
        self.change(source, state, -1);
    }

    pub(crate) fn change(&self, source: &str, state: State, by: i64) {
        let mut changes = self.changes.borrow_mut();
        match changes.iter_mut().find(|it| it.state == state && it.source == source) {
            Some(change) => change.events += by,
            None => changes.push(CountChange { source: source.to_owned(), state, events: by }),
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
        let sql = "INSERT INTO counts (source, state, events) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET events = events + excluded.events";
        for CountChange { source, state, events } in self.changes.take() {
            if events != 0 {
                let change = params![source, state.as_str(), events];
                self.connection.prepare_cached(sql)?.execute(change)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct CountSnapshot(Vec<CountChange>);
