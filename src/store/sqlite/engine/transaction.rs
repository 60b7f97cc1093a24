//! How many events each source has in each state: a commit's changes, added up and written once.

use std::cell::RefCell;
use std::ops::Deref;

use rusqlite::{Connection, params};

use super::error::SqliteError;
use crate::event::State;
use crate::store::sqlite::rows::columns::EnumColumn;

/// A commit in the making: what is written, and how the counts change by it.
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

    /// Puts right what was found to be wrong; the counts may have changed meanwhile, and rightly.
    pub(crate) fn mend(&self, wrong: &[CountDrift]) {
        for CountDrift(change) in wrong {
            self.change(&change.source, change.state, change.events);
        }
    }

    pub(crate) fn came(&self, source: &str, state: State) {
        self.change(source, state, 1);
    }

    pub(crate) fn went(&self, source: &str, state: State) {
        self.change(source, state, -1);
    }

    fn change(&self, source: &str, state: State, by: i64) {
        let mut changes = self.changes.borrow_mut();
        match changes.iter_mut().find(|it| it.state == state && it.source == source) {
            Some(change) => change.events += by,
            None => changes.push(CountChange { source: source.to_owned(), state, events: by }),
        }
    }

    /// Where the counts are now; to come back to with `uncount_to`.
    pub(crate) fn counted(&self) -> CountSnapshot {
        CountSnapshot(self.changes.borrow().clone())
    }

    /// What was counted since is rolled back.
    pub(crate) fn uncount_to(&self, counted: CountSnapshot) {
        self.changes.replace(counted.0);
    }

    /// To be called once, before the commit.
    pub(crate) fn write_counts(&self) -> rusqlite::Result<()> {
        let sql = "INSERT INTO counts VALUES (?1, ?2, ?3)
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

/// A count that is not the number of its events, and by how much.
#[derive(Debug)]
pub(crate) struct CountDrift(CountChange);

/// Counts all events, which takes a while if there are many.
pub(crate) fn wrong(connection: &Connection) -> Result<Vec<CountDrift>, SqliteError> {
    let sql = "SELECT source, state, sum(events) FROM (
                   SELECT source, state, count(*) AS events FROM events GROUP BY source, state
                   UNION ALL SELECT source, state, -events FROM counts)
               GROUP BY source, state HAVING sum(events) <> 0";
    let mut query = connection.prepare_cached(sql)?;
    let wrong = query.query_map([], |row| {
        let EnumColumn(state) = row.get(1)?;
        Ok(CountDrift(CountChange { source: row.get(0)?, state, events: row.get(2)? }))
    })?;
    Ok(wrong.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::Sqlite;
    use crate::store::{StateCount, Store};

    #[tokio::test]
    async fn a_count_that_went_wrong_is_put_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.db");
        let store = Sqlite::open(&crate::store::sqlite::Settings::new(&path)).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute("INSERT INTO counts VALUES ('form', 'dead', 3)", []).unwrap();
        assert_eq!(store.counts().await.unwrap()[0].events, 3);

        assert_eq!(store.recount().await, Ok(1));

        assert_eq!(store.counts().await, Ok(Vec::<StateCount>::new()));
        assert_eq!(store.recount().await, Ok(0));
    }
}
