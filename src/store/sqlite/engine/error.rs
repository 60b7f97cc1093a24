//! Errors of reading and writing the database, and the messages for whoever operates the relay.

use rusqlite::ErrorCode;

use super::open_error::OpenError;
use crate::store::error::{StoreError, UnavailableKind};

/// Reason for which a command wrote nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqliteError {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the claim has ended")]
    ClaimLost,
    /// The command itself is invalid.
    #[error("{0}")]
    Impossible(String),
    #[error("a bug in the store, see the log")]
    Panicked,
    #[error("the store's writer ended")]
    Ended,
}

impl SqliteError {
    /// Returns whether the disk or the machine failed, so that any other command would fail too.
    pub(crate) fn is_disk_failure(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull) || self.needs_reopening()
    }

    /// Returns whether a statement failed or was interrupted. SQLite does not count what it wrote
    /// before.
    pub(crate) fn may_have_written(&self) -> bool {
        match self {
            SqliteError::Database(_) | SqliteError::Panicked => true,
            SqliteError::Open(_)
            | SqliteError::ClaimLost
            | SqliteError::Impossible(_)
            | SqliteError::Ended => false,
        }
    }

    pub(crate) fn needs_reopening(&self) -> bool {
        // Not `DiskFull`, after which SQLite rolls back and the connection is still good.
        use ErrorCode::{CannotOpen, NotADatabase, OutOfMemory, ReadOnly, SystemIoFailure};
        matches!(
            self.code(),
            Some(CannotOpen | NotADatabase | OutOfMemory | ReadOnly | SystemIoFailure)
        )
    }

    /// Returns whether the row was read and is invalid, so that reading it again is in vain.
    pub(crate) fn is_unreadable_row(&self) -> bool {
        matches!(self, SqliteError::Database(error) if is_unreadable_row(error))
    }

    /// Returns SQLite's message if it found the file damaged.
    pub(crate) fn damage(&self) -> Option<String> {
        let (SqliteError::Database(error) | SqliteError::Open(OpenError::Database { error, .. })) =
            self
        else {
            return None;
        };
        is_damage(error).then(|| error.to_string())
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            SqliteError::Database(error) => error.sqlite_error_code(),
            SqliteError::Open(_)
            | SqliteError::ClaimLost
            | SqliteError::Impossible(_)
            | SqliteError::Panicked
            | SqliteError::Ended => None,
        }
    }
}

impl From<SqliteError> for StoreError {
    fn from(failure: SqliteError) -> StoreError {
        match failure {
            SqliteError::Database(error) if is_permanent(&error) => {
                StoreError::Impossible { reason: error.to_string() }
            }
            SqliteError::Database(error) => unavailable(trouble(&error), describe(&error)),
            SqliteError::Open(error) => unavailable(UnavailableKind::File, error.to_string()),
            SqliteError::ClaimLost => StoreError::ClaimLost,
            SqliteError::Impossible(reason) => StoreError::Impossible { reason },
            SqliteError::Panicked => StoreError::Impossible { reason: failure.to_string() },
            SqliteError::Ended => unavailable(UnavailableKind::Internal, failure.to_string()),
        }
    }
}

/// Returns whether the written values themselves are invalid, so that each try will fail.
fn is_permanent(error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ConstraintViolation | TooBig | TypeMismatch),
        None => matches!(error, rusqlite::Error::ToSqlConversionFailure(_)),
    }
}

pub(crate) fn is_unreadable_row(error: &rusqlite::Error) -> bool {
    // Without a code the error is rusqlite's: SQLite returned a row that does not convert to our
    // types.
    error.sqlite_error_code().is_none()
}

/// Returns whether the file is not as SQLite wrote it.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

pub(crate) fn unavailable(trouble: UnavailableKind, reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable { trouble, reason: reason.into() }
}

fn trouble(error: &rusqlite::Error) -> UnavailableKind {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase,
        ReadOnly, SystemIoFailure,
    };
    match error.sqlite_error_code() {
        Some(DiskFull) => UnavailableKind::DiskFull,
        Some(SystemIoFailure) => UnavailableKind::DiskFailed,
        Some(DatabaseBusy | DatabaseLocked) => UnavailableKind::Busy,
        Some(DatabaseCorrupt | NotADatabase) => UnavailableKind::Damaged,
        Some(ReadOnly | CannotOpen) => UnavailableKind::File,
        _ => UnavailableKind::Internal,
    }
}

pub(crate) fn describe(error: &rusqlite::Error) -> String {
    let what = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "disk full",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "the database is locked by another program"
        }
        Some(ErrorCode::ReadOnly) => "the database cannot be written",
        Some(ErrorCode::CannotOpen) => "the database cannot be opened",
        Some(ErrorCode::SystemIoFailure) => "the disk failed",
        Some(ErrorCode::DatabaseCorrupt) => "the database file is damaged",
        Some(ErrorCode::NotADatabase) => "the file is not an SQLite database",
        _ => return error.to_string(),
    };
    format!("{what} ({error})")
}
