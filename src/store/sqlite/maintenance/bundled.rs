//! Remembers which bundled sources the programs on this store have had.

use std::collections::BTreeSet;

use rusqlite::Connection;

use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;

/// Bundled sources that no program on this store had before.
pub(super) struct UnknownSources {
    pub(super) names: Vec<String>,
    /// Whether an earlier program has used the store.
    pub(super) is_upgrade: bool,
}

pub(super) fn unknown(
    connection: &Connection,
    mut names: Vec<String>,
) -> Result<UnknownSources, SqliteError> {
    let mut statement = connection.prepare_cached("SELECT name FROM bundled_sources")?;
    let known: BTreeSet<String> =
        statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    names.retain(|name| !known.contains(name));
    // Programs from before this table have left events.
    let has_events = "SELECT EXISTS (SELECT 1 FROM events)";
    let has_events: bool = connection.query_row(has_events, [], |row| row.get(0))?;
    Ok(UnknownSources { names, is_upgrade: has_events || !known.is_empty() })
}

pub(super) fn remember(transaction: &Transaction<'_>, names: &[String]) -> Result<(), SqliteError> {
    let mut insert =
        transaction.prepare_cached("INSERT OR IGNORE INTO bundled_sources (name) VALUES (?1)")?;
    for name in names {
        insert.execute([name])?;
    }
    Ok(())
}
