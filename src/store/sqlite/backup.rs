//! Backups of the SQLite store: a complete file or none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::archive::stats;
use super::engine::copy::{self, BackupControl, BackupError, BackupProgress};
use super::engine::error::SqliteError;
use super::engine::open_error::OpenError;
use super::settings::Settings;
use crate::store::archive::StateCount;

/// A finished backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub bytes: u64,
    pub counts: Vec<StateCount>,
}

/// Copies the store into a new file, while a relay may run on it.
///
/// What was stored before the call is in the copy. The file is there once it is complete, intact and
/// on disk; after an error there is none.
pub async fn make(
    settings: Settings,
    target: PathBuf,
    (made_at, control): (Timestamp, Arc<BackupControl>),
    report: impl FnMut(BackupProgress) + Send + 'static,
) -> Result<Backup, BackupError> {
    let make = move || make_blocking(&settings, &target, (made_at, &control), report);
    spawn_blocking(make).await.map_err(|_| BackupError::Panicked)?
}

fn make_blocking(
    settings: &Settings,
    target: &Path,
    (made_at, control): (Timestamp, &BackupControl),
    report: impl FnMut(BackupProgress),
) -> Result<Backup, BackupError> {
    let copy = copy::copy(settings, target, (made_at, control), report)?;
    let counts = stats::counts(&copy.connection).map_err(|error| unreadable(target, error))?;
    let bytes = copy.bytes;
    copy.publish()?;
    Ok(Backup { bytes, counts })
}

fn unreadable(target: &Path, error: SqliteError) -> BackupError {
    match error {
        SqliteError::Database(error) => {
            BackupError::Open(OpenError::Database { path: target.to_owned(), error })
        }
        SqliteError::Open(error) => BackupError::Open(error),
        SqliteError::ClaimLost
        | SqliteError::Impossible(_)
        | SqliteError::Panicked
        | SqliteError::Ended => BackupError::Damaged(vec![error.to_string()]),
    }
}
