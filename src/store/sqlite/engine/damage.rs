//! A database file that SQLite found damaged: nothing new is taken on it, and it is said once what to do.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tracing::error;

use super::error::{SqliteError, unavailable};
use crate::store::error::{StoreError, Trouble};

/// Until the next start, which reads the file anew.
#[derive(Debug)]
pub(crate) struct Damage {
    path: PathBuf,
    found: OnceLock<String>,
}

impl Damage {
    pub(crate) fn none(path: &Path) -> Damage {
        Damage { path: path.to_owned(), found: OnceLock::new() }
    }

    /// To be called with whatever went wrong in the database.
    pub(crate) fn note(&self, failure: &SqliteError) {
        let Some(found) = failure.damage() else { return };
        if self.found.set(found.clone()).is_ok() {
            let path = self.path.display();
            error!(
                "the database {path} is damaged ({found}): webhooks are answered 503 and no event is \
                 begun until it is replaced. Stop the relay, copy {path} and {path}-wal, look with \
                 `savio-relay doctor --deep`, then put a backup in its place, or what \
                 `sqlite3 {path} .recover` saves of it"
            );
        }
    }

    /// Whether something new may be written.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.found.get() {
            None => Ok(()),
            Some(found) => Err(unavailable(
                Trouble::Damaged,
                format!(
                    "the database is damaged ({found}): stop the relay and run `savio-relay doctor --deep`"
                ),
            )),
        }
    }
}
