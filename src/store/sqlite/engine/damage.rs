//! Damage of the database file: once SQLite reports it, nothing new is accepted, and the log says
//! once what to do.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tracing::error;

use super::error::{SqliteError, unavailable};
use crate::store::error::{StoreError, UnavailableKind};

/// Damage found since the start of the process.
// It is not cleared: pages that can still be read would let the store look well from time to time,
// while each write may make the damage worse. The next start reads the file anew.
#[derive(Debug)]
pub(crate) struct Damage {
    path: PathBuf,
    found: OnceLock<String>,
}

impl Damage {
    pub(crate) fn none(path: &Path) -> Damage {
        Damage { path: path.to_owned(), found: OnceLock::new() }
    }

    /// Records and logs the failure if it shows damage. Call it with every failure of the database.
    pub(crate) fn record(&self, failure: &SqliteError) {
        let Some(found) = failure.damage() else { return };
        if self.found.set(found.clone()).is_ok() {
            let path = self.path.display();
            error!(
                "the database {path} is damaged ({found}): webhooks are answered 503 and no event is \
                 begun until it is replaced. Stop the relay, copy {path} and {path}-wal, look with \
                 `savio-relay doctor --deep`, then put a backup in its place. Without \
                 one, docs/operations.md (\"Damaged database\") says how to save what can be read"
            );
        }
    }

    /// Returns an error if the file is damaged, so that nothing new is begun on it.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.found.get() {
            None => Ok(()),
            Some(found) => Err(unavailable(
                UnavailableKind::Damaged,
                format!(
                    "the database is damaged ({found}): stop the relay and run `savio-relay doctor --deep`"
                ),
            )),
        }
    }
}
