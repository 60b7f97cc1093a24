//! Finds and corrects wrong event counts.

use rusqlite::Connection;

use crate::event::State;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::EnumColumn;

/// A count that differs from the number of its events, and by how much.
#[derive(Debug)]
pub(super) struct CountDrift {
    source: String,
    state: State,
    events: i64,
}

/// Counts all events and returns the counts that differ.
pub(super) fn drifts(connection: &Connection) -> Result<Vec<CountDrift>, SqliteError> {
    // One statement, so that counts and events are of one snapshot.
    let sql = "SELECT source, state, sum(events) FROM (
                   SELECT source, state, count(*) AS events FROM events GROUP BY source, state
                   UNION ALL SELECT source, state, -events FROM counts)
               GROUP BY source, state HAVING sum(events) <> 0";
    let mut query = connection.prepare_cached(sql)?;
    let drifts = query.query_map([], |row| {
        let EnumColumn(state) = row.get(1)?;
        Ok(CountDrift { source: row.get(0)?, state, events: row.get(2)? })
    })?;
    Ok(drifts.collect::<rusqlite::Result<_>>()?)
}

/// Adds the differences to the counts, which may have changed since.
pub(super) fn correct(transaction: &Transaction<'_>, drifts: &[CountDrift]) {
    for CountDrift { source, state, events } in drifts {
        transaction.correct_count(source, *state, *events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::database::Sqlite;
    use crate::store::sqlite::settings::Settings;
    use crate::store::{Archive, Maintenance, StateCount};

    #[tokio::test]
    async fn wrong_count_is_corrected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.db");
        let store = Sqlite::open(&Settings::new(&path)).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute("INSERT INTO counts VALUES ('form', 'dead', 3)", []).unwrap();
        assert_eq!(store.counts().await.unwrap()[0].events, 3);

        assert_eq!(store.recount().await, Ok(1));

        assert_eq!(store.counts().await, Ok(Vec::<StateCount>::new()));
        assert_eq!(store.recount().await, Ok(0));
    }
}
