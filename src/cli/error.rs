//! Why a command fails and with which exit code it ends.

use std::process::ExitCode;

use crate::file::UnreadableFile;
use crate::http_client::chain;
use crate::listener::BindError;
use crate::mapping_file::location::LocationError;
use crate::relay::error::RelayError;
use crate::savio;
use crate::store::StoreError;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// What the user gave, or what was checked, is wrong. It was shown already.
    #[error("")]
    AlreadyReported,
    /// What the user gave is wrong.
    #[error("{0}")]
    InvalidInput(String),
    /// The arguments are right one by one, but not together.
    #[error("{0}; see --help")]
    Usage(String),
    /// It could not be done: network, disk, a server.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            CommandError::AlreadyReported | CommandError::InvalidInput(_) => ExitCode::from(1),
            CommandError::Usage(_) => ExitCode::from(2),
            CommandError::Failed(_) => ExitCode::from(3),
        }
    }

    /// What failed and all that led to it, as the errors tell it.
    pub(super) fn failed(error: &dyn std::error::Error) -> CommandError {
        CommandError::Failed(chain(error))
    }
}

impl From<savio::Error> for CommandError {
    fn from(error: savio::Error) -> CommandError {
        use savio::Error;
        match error {
            Error::Refused { .. }
            | Error::Unauthorized { .. }
            | Error::NotFound { .. }
            | Error::Insecure { .. } => CommandError::InvalidInput(error.to_string()),
            Error::Throttled { .. }
            | Error::ServerError { .. }
            | Error::Unreachable { .. }
            | Error::NoResponse { .. }
            | Error::UnexpectedResponse { .. }
            | Error::NextPage(_) => CommandError::Failed(error.to_string()),
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> CommandError {
        CommandError::Failed(error.to_string())
    }
}

impl From<UnreadableFile> for CommandError {
    fn from(error: UnreadableFile) -> CommandError {
        CommandError::InvalidInput(error.to_string())
    }
}

impl From<LocationError> for CommandError {
    fn from(error: LocationError) -> CommandError {
        CommandError::InvalidInput(error.to_string())
    }
}

impl From<BindError> for CommandError {
    fn from(error: BindError) -> CommandError {
        CommandError::Failed(error.to_string())
    }
}

impl From<RelayError> for CommandError {
    fn from(error: RelayError) -> CommandError {
        match error {
            RelayError::EmptyAdminToken => CommandError::InvalidInput(error.to_string()),
            RelayError::Listen(_)
            | RelayError::Store(_)
            | RelayError::AdminTokenFile { .. }
            | RelayError::Client(_)
            | RelayError::Stop(_) => CommandError::failed(&error),
        }
    }
}
