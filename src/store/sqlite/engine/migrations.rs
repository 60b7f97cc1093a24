//! Migrates a database to the latest version; refuses one of another program or a newer version.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::open_error::OpenError;

/// The n-th migrates a database to version n.
const MIGRATIONS: [&str; 15] = [
    include_str!("../../../../migrations/sqlite/0001_events.sql"),
    include_str!("../../../../migrations/sqlite/0002_gates.sql"),
    include_str!("../../../../migrations/sqlite/0003_replays.sql"),
    include_str!("../../../../migrations/sqlite/0004_sources.sql"),
    include_str!("../../../../migrations/sqlite/0005_upserts.sql"),
    include_str!("../../../../migrations/sqlite/0006_imports.sql"),
    include_str!("../../../../migrations/sqlite/0007_counted_per_commit.sql"),
    include_str!("../../../../migrations/sqlite/0008_suspects.sql"),
    include_str!("../../../../migrations/sqlite/0009_waits.sql"),
    include_str!("../../../../migrations/sqlite/0010_numbers.sql"),
    include_str!("../../../../migrations/sqlite/0011_decoding_notes.sql"),
    include_str!("../../../../migrations/sqlite/0012_left_out.sql"),
    include_str!("../../../../migrations/sqlite/0013_waits_for.sql"),
    include_str!("../../../../migrations/sqlite/0014_bundled.sql"),
    include_str!("../../../../migrations/sqlite/0015_may_repeat.sql"),
];

/// SQLite's `application_id` of our databases: "SavR". The first migration sets it.
const APPLICATION_ID: i64 = 0x5361_7652;

/// The latest version.
pub(super) const LATEST: usize = MIGRATIONS.len();

/// Refuses a file that is not ours. Call it before anything in the file is changed.
pub(super) fn check_identity(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get(0));
    let refused = |error| OpenError::Database { path: path.to_owned(), error };
    let application: i64 = number("PRAGMA application_id").map_err(refused)?;
    let tables: i64 = number("SELECT count(*) FROM sqlite_schema").map_err(refused)?;
    // A file without tables is new, or one in whose first migration the process ended.
    if tables > 0 && application != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = version(connection).map_err(refused)?;
    let known = LATEST;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    // Without the write lock, for which commands that only read would otherwise wait.
    if version(connection)? == LATEST {
        return Ok(());
    }
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // The version is read and written in the transaction of its migration: a process that ends
        // in between leaves all of it or nothing.
        if version(&transaction)? == index {
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", index + 1)?;
        }
        transaction.commit()?;
    }
    Ok(())
}
