//! The mistake in the text of a query.

use std::ops::Range;

/// Mistake in the text of a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    pub message: String,
    /// Bytes of the text that was given.
    pub at: Range<usize>,
    /// What to write instead.
    pub help: Option<String>,
}

impl QueryError {
    pub(super) fn new(message: impl Into<String>, at: Range<usize>) -> QueryError {
        QueryError { message: message.into(), at, help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> QueryError {
        self.help = Some(help.into());
        self
    }
}
