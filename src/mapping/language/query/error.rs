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
    /// Byte range in the text and what to write there, if the help names exactly one correction.
    pub(crate) fix: Option<(Range<usize>, String)>,
}

impl QueryError {
    pub(super) fn new(message: impl Into<String>, at: Range<usize>) -> QueryError {
        QueryError { message: message.into(), at, help: None, fix: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> QueryError {
        self.help = Some(help.into());
        self
    }

    pub(super) fn fix(mut self, at: Range<usize>, text: impl Into<String>) -> QueryError {
        self.fix = Some((at, text.into()));
        self
    }

    /// Says that the place is replaced by this text.
    pub(super) fn replace(self, text: impl Into<String>) -> QueryError {
        let at = self.at.clone();
        self.fix(at, text)
    }
}
