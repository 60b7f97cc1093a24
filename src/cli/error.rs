//! Failures of commands, and the exit code of each.

use std::process::ExitCode;

use crate::file::UnreadableFile;
use crate::http_client::error_chain;
use crate::listener::BindError;
use crate::mapping_file::location::LocationError;
use crate::outgoing_webhook::PrepareError;
use crate::relay::error::RelayError;
use crate::savio;
use crate::store::StoreError;

/// Failure of a command, one variant for each exit code and way of reporting.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// The input, or what was checked, is invalid, and the mistakes are printed already.
    #[error("")]
    AlreadyReported,
    /// The input is invalid.
    #[error("{0}")]
    InvalidInput(String),
    /// Two things that were compared differ, which is printed already.
    #[error("")]
    Differs,
    /// Each argument is valid, but not their combination.
    #[error("{0}; see --help")]
    Usage(String),
    /// The network, the disk or a server failed.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    pub(super) fn exit_code(&self) -> ExitCode {
        // Scripts can tell input that has to be corrected (1 and 2) from a failure that may pass
        // (3).
        match self {
            CommandError::AlreadyReported | CommandError::InvalidInput(_) => ExitCode::from(1),
            CommandError::Usage(_) => ExitCode::from(2),
            CommandError::Failed(_) => ExitCode::from(3),
            CommandError::Differs => ExitCode::from(4),
        }
    }

    /// Creates a failure with the messages of the error and of all its causes.
    pub(super) fn failed(error: &dyn std::error::Error) -> CommandError {
        CommandError::Failed(error_chain(error))
    }
}

impl From<savio::Error> for CommandError {
    fn from(error: savio::Error) -> CommandError {
        if error.is_refusal() {
            return CommandError::InvalidInput(error.to_string());
        }
        CommandError::Failed(error.to_string())
    }
}

impl From<PrepareError> for CommandError {
    fn from(error: PrepareError) -> CommandError {
        CommandError::InvalidInput(error.to_string())
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
            RelayError::EmptyAdminToken
            | RelayError::SameAddress(_)
            | RelayError::Certificate { .. } => CommandError::InvalidInput(error.to_string()),
            RelayError::Listen(_)
            | RelayError::Store(_)
            | RelayError::AdminTokenFile { .. }
            | RelayError::Client(_)
            | RelayError::Stop(_) => CommandError::failed(&error),
        }
    }
}
