//! Opens the store of the configuration, beside a running relay or without one.

use std::path::Path;

use super::error::CommandError;
use crate::config::Config;
use crate::store::Sqlite;
use crate::store::sqlite::OpenError;

pub(super) fn open(config: &Config) -> Result<Sqlite, CommandError> {
    // Never creates a store: a missing one means that the command runs in another folder than the
    // relay.
    Sqlite::open_shared(&config.store).map_err(|error| match &error {
        OpenError::Missing { path } => CommandError::InvalidInput(missing(path)),
        OpenError::Moved { .. } => CommandError::InvalidInput(error.to_string()),
        OpenError::File { .. }
        | OpenError::NotAFile { .. }
        | OpenError::InUse { .. }
        | OpenError::Replaced { .. }
        | OpenError::LogRemoved { .. }
        | OpenError::LogForeign { .. }
        | OpenError::LogLeftOver { .. }
        | OpenError::Incomplete { .. }
        | OpenError::Empty { .. }
        | OpenError::CutOff { .. }
        | OpenError::Foreign { .. }
        | OpenError::Newer { .. }
        | OpenError::Older { .. }
        | OpenError::Database { .. } => CommandError::failed(&error),
    })
}

/// Says where a missing store was looked for, what names it, and what makes one.
fn missing(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = whole.parent().unwrap_or(&whole).display();
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    format!(
        "there is no store {file} in {folder}, where `store.url` says. If the relay has run: is this \
         its folder and its configuration (--config FILE)? If not: `savio-relay serve` makes the store"
    )
}
