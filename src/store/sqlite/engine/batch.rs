//! The commands of one commit: all in one transaction, and each succeeds or fails by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;

use super::error::SqliteError;
use super::transaction::Transaction;
use crate::store::error::StoreError;

/// What a command does on the writer's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Look,
    Write,
}

pub(super) trait WriteCommand: Send {
    fn access(&self) -> Access;

    /// Runs again if its first run was rolled back.
    fn run(&mut self, writing: &Transaction<'_>) -> Result<(), SqliteError>;

    /// Answers the caller, once it is known whether the commit is on disk.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// One for each command, in order.
pub(super) type CommandResults = Vec<Result<(), StoreError>>;

/// Commits all commands together; each succeeds or fails by itself, unless the disk itself fails.
///
/// A command may run twice, and its first run is rolled back then. So it does nothing but read and write in the
/// transaction: what it logged, sent or counted elsewhere would happen twice.
pub(super) fn transact(
    connection: &Connection,
    batch: &mut [Box<dyn WriteCommand>],
) -> Result<CommandResults, SqliteError> {
    // A commit waits for the disk as long for one command as for many, so all that wait share one.
    // `IMMEDIATE`, since a transaction that reads first and writes then fails where another process wrote between.
    step(connection, "BEGIN IMMEDIATE")?;
    let mut writing = Transaction::on(connection);
    let outcomes = if let Some(outcomes) = run_together(&writing, batch)? {
        outcomes
    } else {
        // Only now does each command get a savepoint, for which SQLite copies pages that are hardly ever restored.
        // Without them, and without triggers for the counts, an accepted event took 79 µs instead of 94 at 64
        // connections, and 380 instead of 420 with delivery.
        step(connection, "ROLLBACK")?;
        step(connection, "BEGIN IMMEDIATE")?;
        writing = Transaction::on(connection);
        run_apart(&writing, batch)?
    };
    writing.write_counts()?;
    step(connection, "COMMIT")?;
    Ok(outcomes)
}

/// Runs the commands one after the other. Returns none if a command failed that may have written something: without a
/// savepoint that cannot be undone alone.
fn run_together(
    writing: &Transaction<'_>,
    batch: &mut [Box<dyn WriteCommand>],
) -> Result<Option<CommandResults>, SqliteError> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for command in batch {
        let written = writing.total_changes();
        match run(writing, command.as_mut())? {
            // The changes alone do not tell: SQLite does not count what a statement wrote before it failed.
            Err(failure) if failure.is_of_sqlite() || writing.total_changes() != written => {
                return Ok(None);
            }
            outcome => outcomes.push(outcome.map_err(StoreError::from)),
        }
    }
    Ok(Some(outcomes))
}

/// Runs the commands with a savepoint each, so that only what a failed command wrote is rolled back.
fn run_apart(
    writing: &Transaction<'_>,
    batch: &mut [Box<dyn WriteCommand>],
) -> Result<CommandResults, SqliteError> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for command in batch {
        let start = writing.counted();
        step(writing, "SAVEPOINT command")?;
        let outcome = run(writing, command.as_mut())?;
        if outcome.is_err() {
            step(writing, "ROLLBACK TO command")?;
            writing.uncount_to(start);
        }
        step(writing, "RELEASE command")?;
        outcomes.push(outcome.map_err(StoreError::from));
    }
    Ok(outcomes)
}

/// Runs one command. The outer result is an error if the disk fails, which ends the whole batch.
pub(super) fn run(
    writing: &Transaction<'_>,
    command: &mut dyn WriteCommand,
) -> Result<Result<(), SqliteError>, SqliteError> {
    // Nobody sees what a panic left half done: its writes are rolled back, its result was not set.
    let run = AssertUnwindSafe(|| command.run(writing));
    match catch_unwind(run).unwrap_or(Err(SqliteError::Panicked)) {
        // After some errors SQLite ends the transaction itself: what came next would be committed by the statement.
        Err(failure) if failure.is_of_the_disk() || writing.is_autocommit() => Err(failure),
        outcome => Ok(outcome),
    }
}

fn step(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
