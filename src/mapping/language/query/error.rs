//! Error of a query or condition, with its place in the text.

use std::ops::Range;

/// Mistake in the text of a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    pub message: String,
    /// Byte range in the text of the query.
    pub at: Range<usize>,
    /// Advice what to write instead.
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
