//! Result of a mapping: requests, or the reason why an event cannot be mapped.

use std::collections::BTreeSet;

use crate::event::{FilledBlock, Request};

/// Requests that an event is mapped to, and notes on them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MappedRequests {
    /// In the order in which they are sent; none if the event is ignored.
    pub requests: Vec<Request>,
    /// Position in `Mapping::blocks` of the block that made each request.
    pub made_by: Vec<usize>,
    /// The blocks that ran, with what they filled before delivery looks titles up.
    pub filled: Vec<FilledBlock>,
    /// Reasons why fields were left out or replaced, for people.
    pub notes: Vec<String>,
    /// Names of the fields that were left out because their values failed or are invalid.
    pub left_out: BTreeSet<String>,
    /// Titles that delivery looks up; the requests still have the spelling of the event.
    pub links: Vec<FeatureRequestLink>,
    /// What a person said, where the text of the feedback is a form and begins with a question.
    pub said: Option<String>,
}

/// Title of a request that delivery looks up among the existing feature requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureRequestLink {
    /// Position in `MappedRequests::requests`.
    pub request: usize,
    /// Such as `feedback[0].feature_request_title`.
    pub field: String,
    pub existing: LinkMode,
}

/// Treatment of a title that no existing feature request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMode {
    /// The title is sent, and Savio creates a feature request.
    Prefer,
    /// The title is left out.
    Only,
}

impl LinkMode {
    /// Returns the word of `existing` in a mapping file.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkMode::Prefer => "prefer",
            LinkMode::Only => "only",
        }
    }

    pub(super) fn remark(self) -> &'static str {
        match self {
            LinkMode::Prefer => "delivery takes the spelling of a feature request that is there",
            LinkMode::Only => "delivery leaves it out unless a feature request is there",
        }
    }
}

/// A mapping that failed, and what it gives of the event all the same.
#[derive(Debug)]
pub struct FailedMapping {
    pub error: MappingError,
    /// Requests without what failed in them. They are not to be sent.
    pub rest: MappedRequests,
}

/// Reason why an event cannot be mapped: the field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct MappingError {
    /// Such as `feedback[0].problem`.
    pub field: String,
    pub reason: String,
}
