//! Migrates a database to the latest version; refuses one of another program, or of a newer one that
//! this program cannot use.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::open_error::OpenError;

struct Migration {
    sql: &'static str,
    /// The oldest version whose programs can use the database afterwards; none for its own.
    readable_from: Option<usize>,
}

/// After it, older programs refuse the database.
const fn breaking(sql: &'static str) -> Migration {
    Migration { sql, readable_from: None }
}

/// It only adds, and programs from that version on go on working with the database: what it adds has
/// a default that is right for what they write, and what belongs to an event is deleted with it
/// (`ON DELETE CASCADE`).
const fn adding(readable_from: usize, sql: &'static str) -> Migration {
    Migration { sql, readable_from: Some(readable_from) }
}

/// The n-th migrates a database to version n. From the 16th on they only add, so that one release
/// of downgrade works.
const MIGRATIONS: [Migration; 34] = [
    breaking(include_str!("../../../../migrations/sqlite/0001_events.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0002_gates.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0003_replays.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0004_sources.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0005_upserts.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0006_imports.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0007_counted_per_commit.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0008_suspects.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0009_waits.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0010_numbers.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0011_decoding_notes.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0012_left_out.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0013_waits_for.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0014_bundled.sql")),
    breaking(include_str!("../../../../migrations/sqlite/0015_may_repeat.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0016_schema_version.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0017_headlines.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0018_audit.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0019_mapping_versions.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0020_sessions.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0021_filters.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0022_arrivals.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0023_erased_and_copied.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0024_issues.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0025_half_hours.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0026_repeated_attempts.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0027_checks_of_states.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0028_interruptions.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0029_headlines_of_dead.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0030_made_by.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0031_rejections.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0032_causes.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0033_alerts.sql")),
    adding(15, include_str!("../../../../migrations/sqlite/0034_replay_results.sql")),
];

/// SQLite's `application_id` of our databases: "SavR". The first migration sets it.
const APPLICATION_ID: i64 = 0x5361_7652;

/// The latest version.
pub(super) const LATEST: usize = MIGRATIONS.len();

/// Versions of the tables in a store that a newer program has written and this one can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it was written by a newer savio-relay (its tables have version {found}, this program knows {known}): all \
     of it works, but for what only the newer program does"
)]
pub struct NewerSchema {
    found: usize,
    known: usize,
}

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
    let readable_from = readable_from(connection).map_err(refused)?;
    if readable_from > LATEST {
        let found = version(connection).map_err(refused)?;
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            readable_from,
            known: LATEST,
        });
    }
    Ok(())
}

/// Returns the version of the tables, which may be newer than [`LATEST`].
pub(super) fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let readable_from = readable_from(connection)?;
    // Until the migration that made the table, `user_version` had it.
    if !connection.table_exists(None, "schema_version")? {
        return Ok(readable_from);
    }
    let sql = "SELECT CASE WHEN count(*) = 1 THEN max(version) END FROM schema_version";
    let version: Option<i64> = connection.query_row(sql, [], |row| row.get(0))?;
    let version = version.and_then(|it| usize::try_from(it).ok());
    version.filter(|it| *it >= readable_from).ok_or_else(|| damaged("schema_version"))
}

fn readable_from(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    usize::try_from(version).map_err(|_| damaged("user_version"))
}

fn damaged(place: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(format!("its {place} cannot be right")))
}

/// Returns the versions if the tables are newer than this program.
pub(crate) fn newer(connection: &Connection) -> rusqlite::Result<Option<NewerSchema>> {
    let (found, known) = (version(connection)?, LATEST);
    Ok((found > known).then_some(NewerSchema { found, known }))
}

/// Writes to the disk without changing anything.
pub(crate) fn touch(connection: &Connection) -> rusqlite::Result<()> {
    // Not `LATEST`: a newer program may have written this database.
    connection.pragma_update(None, "user_version", readable_from(connection)?)
}

pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    // Without the write lock, for which commands that only read would otherwise wait.
    if version(connection)? >= LATEST {
        return Ok(());
    }
    for (number, migration) in (1..).zip(&MIGRATIONS) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // The version is read and written in the transaction of its migration: a process that ends
        // in between leaves all of it or nothing.
        if version(&transaction)? + 1 == number {
            transaction.execute_batch(migration.sql)?;
            if transaction.table_exists(None, "schema_version")? {
                transaction.execute("UPDATE schema_version SET version = ?1", [number])?;
            }
            let readable_from = migration.readable_from.unwrap_or(number);
            transaction.pragma_update(None, "user_version", readable_from)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn migrations_since_the_sixteenth_leave_the_store_to_the_release_before() {
        let mut oldest = 15;
        for (number, migration) in (1..).zip(&MIGRATIONS).skip(15) {
            // The programs of version 15 write all columns of `counts` without their names.
            if migration.sql.contains("ALTER TABLE counts") {
                oldest = oldest.max(16);
            }
            let readable_from = migration.readable_from.expect("it only adds");
            assert!((oldest..number).contains(&readable_from), "migration {number}");
        }
    }

    fn migrated() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection
    }

    fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut explain = connection.prepare(&format!("EXPLAIN {sql}")).unwrap();
        let steps = explain.query_map([], |row| row.get("opcode")).unwrap();
        steps.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn conditions_in_other_words_change_nothing_else() {
        let reworded = MIGRATIONS.iter().position(|it| it.sql.contains("writable_schema")).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        for migration in &MIGRATIONS[..reworded] {
            connection.execute_batch(migration.sql).unwrap();
        }
        let before = schema(&connection);
        let transaction = connection.unchecked_transaction().unwrap();
        transaction.execute_batch(MIGRATIONS[reworded].sql).unwrap();
        transaction.commit().unwrap();
        let after = schema(&connection);

        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        let changed: Vec<_> = before.iter().filter(|(name, sql)| after[*name] != **sql).collect();
        assert_eq!(
            changed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["events", "requests"]
        );
        for (name, sql) in changed {
            let words =
                |sql: &str| sql.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
            let (old, new) = (words(sql), words(&after[name]));
            assert_eq!(old.len(), new.len(), "{name}");
            for (old, new) in old.iter().zip(&new).filter(|(old, new)| old != new) {
                let begin = |line: &str| line.split("CHECK").next().unwrap_or_default().to_owned();
                assert!(old.contains(" IN (") && !new.contains(" IN ("), "{old} {new}");
                assert_eq!(begin(old), begin(new));
            }
        }
    }

    /// What each table and index was made by.
    fn schema(connection: &Connection) -> BTreeMap<String, String> {
        let sql = "SELECT name, coalesce(sql, '') FROM sqlite_schema";
        let mut query = connection.prepare(sql).unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    // One for each row that is stored would cost more than the row.
    #[test]
    fn conditions_of_a_stored_row_need_no_table_of_their_own() {
        let connection = migrated();
        let tables =
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
        let mut tables = connection.prepare(tables).unwrap();
        let tables = tables.query_map([], |row| row.get(0)).unwrap();
        for table in tables.map(Result::<String, _>::unwrap) {
            let columns =
                format!("SELECT group_concat('random()') FROM pragma_table_info('{table}')");
            let values: String = connection.query_row(&columns, [], |row| row.get(0)).unwrap();
            let steps = plan(&connection, &format!("INSERT INTO {table} VALUES ({values})"));
            assert!(steps.iter().any(|step| step == "Insert" || step == "IdxInsert"), "{table}");
            assert!(!steps.iter().any(|step| step == "OpenEphemeral"), "{table}");
        }
    }

    #[test]
    fn impossible_states_are_refused() {
        let connection = migrated();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        let event = |state: &str, due: &str, lease: &str, settled: &str| {
            let sql = format!(
                "INSERT INTO events (id, webhook, payload_start, payload_end, source, state, queued_at, due_at,
                     lease_until, settled_at)
                 VALUES (randomblob(16), 1, 0, 0, 'form', '{state}', 0, {due}, {lease}, {settled})"
            );
            connection.execute(&sql, []).map_err(|error| error.to_string())
        };
        for (state, due, lease, settled) in [
            ("queued", "1", "NULL", "NULL"),
            ("queued", "1", "1", "NULL"),
            ("held", "NULL", "NULL", "NULL"),
            ("delivered", "NULL", "NULL", "1"),
            ("ignored", "NULL", "NULL", "1"),
            ("dead", "NULL", "NULL", "1"),
        ] {
            assert_eq!(event(state, due, lease, settled), Ok(1), "{state}");
        }
        for (state, due, lease, settled) in [
            ("lost", "NULL", "NULL", "NULL"),
            ("", "NULL", "NULL", "NULL"),
            ("queued", "NULL", "NULL", "NULL"),
            ("queued", "1", "NULL", "1"),
            ("held", "1", "NULL", "NULL"),
            ("held", "NULL", "1", "NULL"),
            ("held", "NULL", "NULL", "1"),
            ("delivered", "NULL", "NULL", "NULL"),
            ("ignored", "NULL", "NULL", "NULL"),
            ("dead", "NULL", "NULL", "NULL"),
        ] {
            let refused = event(state, due, lease, settled).unwrap_err();
            assert!(refused.starts_with("CHECK constraint failed"), "{state}: {refused}");
        }
        for (position, state) in
            ["waiting", "sending", "done", "refused", "lost"].iter().enumerate()
        {
            let sql = "INSERT INTO requests (event, position, state) VALUES (1, ?1, ?2)";
            let stored = connection.execute(sql, (position, state)).is_ok();
            assert_eq!(stored, *state != "lost", "{state}");
        }
    }
}
