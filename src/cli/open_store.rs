//! Opens the store of the configuration, beside a running relay or without one.

use super::error::CommandError;
use crate::config::Config;
use crate::store::Sqlite;
use crate::store::sqlite::OpenError;

pub(super) fn open(config: &Config) -> Result<Sqlite, CommandError> {
    // Never creates a store: a missing one means that the command runs in another folder than the
    // relay.
    Sqlite::open_shared(&config.store).map_err(|error| match &error {
        OpenError::Missing { .. } | OpenError::Moved { .. } => {
            CommandError::InvalidInput(error.to_string())
        }
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
