//! Why a command did not end well.

use std::process::ExitCode;

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What the user gave, or what was checked, is wrong. It was shown already.
    #[error("")]
    Shown,
    /// What the user gave is wrong.
    #[error("{0}")]
    Wrong(String),
    /// The arguments are right one by one, but not together.
    #[error("{0}; see --help")]
    Usage(String),
    /// It could not be done: network, disk, a server.
    #[error("{0}")]
    Undone(String),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Shown | Failure::Wrong(_) => ExitCode::from(1),
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Undone(_) => ExitCode::from(3),
        }
    }
}
