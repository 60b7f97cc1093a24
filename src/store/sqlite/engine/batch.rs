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

    fn run(&mut self, writing: &Transaction<'_>) -> Result<(), SqliteError>;
    /// Tells the caller, once it is known whether the commit is on disk.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// One for each command, in order.
pub(super) type CommandResults = Vec<Result<(), StoreError>>;

/// One commit for all; each command stands or falls alone, unless the disk itself fails.
pub(super) fn transact(
    connection: &Connection,
    batch: &mut [Box<dyn WriteCommand>],
) -> Result<CommandResults, SqliteError> {
    step(connection, "BEGIN IMMEDIATE")?;
    let mut writing = Transaction::on(connection);
    let outcomes = if let Some(outcomes) = run_together(&writing, batch)? {
        outcomes
    } else {
        step(connection, "ROLLBACK")?;
        step(connection, "BEGIN IMMEDIATE")?;
        writing = Transaction::on(connection);
        run_apart(&writing, batch)?
    };
    writing.write_counts()?;
    step(connection, "COMMIT")?;
    Ok(outcomes)
}

/// None if a command failed that may have written something, which cannot be taken back by itself.
fn run_together(
    writing: &Transaction<'_>,
    batch: &mut [Box<dyn WriteCommand>],
) -> Result<Option<CommandResults>, SqliteError> {
    let mut outcomes = Vec::with_capacity(batch.len());
    for command in batch {
        let written = writing.total_changes();
        match run(writing, command.as_mut())? {
            Err(failure) if failure.is_of_sqlite() || writing.total_changes() != written => {
                return Ok(None);
            }
            outcome => outcomes.push(outcome.map_err(StoreError::from)),
        }
    }
    Ok(Some(outcomes))
}

/// The same at more cost: what a command wrote that failed is rolled back, and no more.
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

/// The outer result: whether the disk works.
pub(super) fn run(
    writing: &Transaction<'_>,
    command: &mut dyn WriteCommand,
) -> Result<Result<(), SqliteError>, SqliteError> {
    let run = AssertUnwindSafe(|| command.run(writing));
    match catch_unwind(run).unwrap_or(Err(SqliteError::Panicked)) {
        Err(failure) if failure.is_of_the_disk() || writing.is_autocommit() => Err(failure),
        outcome => Ok(outcome),
    }
}

fn step(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
