//! Counts that are not the number of their events.

use rusqlite::Connection;

use crate::event::State;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::EnumColumn;

/// A count that is not the number of its events, and by how much.
#[derive(Debug)]
pub(super) struct CountDrift {
    source: String,
    state: State,
    events: i64,
}

/// Counts all events, which takes a while if there are many.
pub(super) fn drifts(connection: &Connection) -> Result<Vec<CountDrift>, SqliteError> {
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

/// Puts right what was found to be wrong; the counts may have changed meanwhile, and rightly.
pub(super) fn mend(writing: &Transaction<'_>, drifts: &[CountDrift]) {
    for CountDrift { source, state, events } in drifts {
        writing.change(source, *state, *events);
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
