//! The mark of a backup: a table that only backups have. The first server on a restored one reads
//! it, since its events may have been sent after it was made. It is no part of the migrations, so
//! that a backup of any version can carry it.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BackupMark {
    pub(crate) made_at: Timestamp,
    /// Whether it was opened since, so that a log beside it may be its own.
    pub(super) was_opened: bool,
}

/// Marks a copy as a backup. A mark that the store had is replaced.
pub(super) fn write(copy: &Connection, made_at: Timestamp) -> rusqlite::Result<()> {
    copy.execute_batch(
        "DROP TABLE IF EXISTS backup_mark;
         CREATE TABLE backup_mark (
             made_at    INTEGER NOT NULL, -- microseconds since the Unix epoch
             was_opened INTEGER NOT NULL DEFAULT 0
         ) STRICT;",
    )?;
    let sql = "INSERT INTO backup_mark (made_at) VALUES (?1)";
    copy.execute(sql, params![made_at.as_microsecond()])?;
    Ok(())
}

pub(crate) fn find(connection: &Connection) -> rusqlite::Result<Option<BackupMark>> {
    if !connection.table_exists(None, "backup_mark")? {
        return Ok(None);
    }
    let sql = "SELECT made_at, was_opened FROM backup_mark";
    let mark = connection.query_row(sql, [], |row| {
        let made_at = Timestamp::from_microsecond(row.get(0)?).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(BackupMark { made_at, was_opened: row.get(1)? })
    });
    mark.optional()
}

/// Records that the backup is opened. Call it before the write-ahead log is switched on: a backup
/// has none, so this goes into the file itself, and a log beside an unopened one is another's.
pub(super) fn record_opening(connection: &Connection) -> rusqlite::Result<()> {
    if find(connection)?.is_some_and(|mark| !mark.was_opened) {
        connection.execute("UPDATE backup_mark SET was_opened = 1", [])?;
    }
    Ok(())
}

pub(crate) fn remove(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("DROP TABLE IF EXISTS backup_mark")
}
