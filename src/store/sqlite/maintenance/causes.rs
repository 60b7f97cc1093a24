//! Gives the dead events of earlier programs their causes, and deletes causes that no event has.

use rusqlite::{Connection, params};

use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::causes::{self, HAS_CAUSE, WITHOUT_CAUSE};

/// Number of events of one step: one commit, for which webhooks wait.
const STEP_EVENTS: usize = 200;

/// Returns some dead events without a cause.
pub(super) fn without_cause(connection: &Connection) -> Result<Vec<i64>, SqliteError> {
    let sql = format!(
        "SELECT number FROM events INDEXED BY events_without_cause WHERE {WITHOUT_CAUSE} LIMIT ?1"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let events = query.query_map([STEP_EVENTS], |row| row.get(0))?;
    Ok(events.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn assign(connection: &Connection, events: &[i64]) -> Result<(), SqliteError> {
    for event in events {
        causes::assign(connection, *event)?;
    }
    Ok(())
}

/// Returns the causes that no event has. One that waits for its replay has its cause yet: it dies of it again if
/// the replay is canceled.
pub(super) fn unused(connection: &Connection) -> Result<Vec<i64>, SqliteError> {
    let mut query = connection.prepare_cached(&unused_sql())?;
    let causes = query.query_map([], |row| row.get(0))?;
    Ok(causes.collect::<rusqlite::Result<_>>()?)
}

fn unused_sql() -> String {
    format!(
        "SELECT number FROM causes
         WHERE NOT EXISTS (SELECT 1 FROM events INDEXED BY events_dead
                 WHERE {HAS_CAUSE} AND events.cause = causes.number)
             AND number NOT IN (SELECT coalesce(events.cause, 0)
                 FROM replayed INDEXED BY replayed_dead
                 CROSS JOIN events ON events.number = replayed.event
                 WHERE replayed.state = 'dead')"
    )
}

/// Deletes these causes, unless an event has died of one meanwhile.
pub(super) fn remove(connection: &Connection, causes: &[i64]) -> Result<(), SqliteError> {
    let sql = format!("DELETE FROM causes WHERE number = ?1 AND number IN ({})", unused_sql());
    let mut delete = connection.prepare_cached(&sql)?;
    for cause in causes {
        delete.execute(params![cause])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn unused_causes_are_found_in_indexes() {
        let steps = query_plan(&unused_sql());

        let looks = "SEARCH events USING COVERING INDEX events_dead (cause=?)";
        assert!(steps.iter().any(|step| step == looks), "{steps:?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN events")), "{steps:?}");
    }
}
