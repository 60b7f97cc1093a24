//! Reasons for which there is no backup, each with what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::file;
use crate::store::sqlite::engine::open_error::OpenError;

/// Reason for which there is no backup. Nothing is left at its path.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{} exists already, and a backup overwrites nothing: choose another name or remove it", .0.display())]
    Exists(PathBuf),
    #[error("{} is a name that the store itself uses: choose another one", .0.display())]
    OwnName(PathBuf),
    #[error("another backup is writing {} now", .0.display())]
    Running(PathBuf),
    #[error("cannot write the backup {}: {}", path.display(), file::explain(error, path))]
    Target { path: PathBuf, error: io::Error },
    #[error("cannot write the backup {}: {}", path.display(), explain(path, error))]
    TargetDatabase { path: PathBuf, error: rusqlite::Error },
    #[error(
        "no backup was made: {} MiB are free on the file system of {}, but {}. Make room there, or write the \
         backup to another disk",
        mib(*free), folder.display(), needed
    )]
    NoRoom { folder: PathBuf, free: u64, needed: String },
    #[error(
        "the backup was given up, and nothing is left of it: the file system of {} was filling up, and the relay \
         would have had to refuse webhooks. Make room there, or write the backup to another disk",
        .0.display()
    )]
    RoomRanOut(PathBuf),
    #[error(
        "the backup was given up, and nothing is left of it: the relay wrote so much meanwhile that its log grew \
         to {} MiB, which cannot be written back before the backup ends. Try again when less arrives, or stop \
         the relay and copy the file",
        mib(*.0)
    )]
    LogGrew(u64),
    #[error("the copy is damaged, and was removed ({}): look with `savio-relay doctor --deep`", .0.join("; "))]
    Damaged(Vec<String>),
    #[error("the backup stopped unexpectedly (bug), see the log: nothing is left of it")]
    Panicked,
    #[error("interrupted: nothing is left of the backup")]
    Interrupted,
}

fn explain(path: &Path, error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => file::disk_full(path),
        _ => format!("SQLite says: {error}"),
    }
}

pub(super) fn mib(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}
