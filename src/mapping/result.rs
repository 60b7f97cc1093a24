//! Result of a mapping: requests, or the reason why an event cannot be mapped.

use std::collections::BTreeSet;

use crate::event::Request;

/// Requests that an event became, and notes on them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MappedRequests {
    /// In the order in which they go out; none when the event is ignored.
    pub requests: Vec<Request>,
    /// Position in `Mapping::blocks` of the block that made each request.
    pub made_by: Vec<usize>,
    /// Fields that were left out, and why.
    pub notes: Vec<String>,
    /// The names of fields that were left out since Savio would not take their values.
    pub left_out: BTreeSet<String>,
    /// Titles that delivery looks up; in the requests they are as the event has them.
    pub links: Vec<FeatureRequestLink>,
}

/// The wish to link a request to a feature request that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureRequestLink {
    /// Position in `MappedRequests::requests`.
    pub request: usize,
    /// Such as `feedback[0].feature_request_title`.
    pub field: String,
    pub existing: LinkMode,
}

/// Treatment of a title that no feature request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMode {
    /// It is sent, and makes one.
    Prefer,
    /// It is left out.
    Only,
}

impl LinkMode {
    pub(super) fn remark(self) -> &'static str {
        match self {
            LinkMode::Prefer => "delivery takes the spelling of a feature request that is there",
            LinkMode::Only => "delivery leaves it out unless a feature request is there",
        }
    }
}

/// Reason why an event cannot be mapped: the field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct MappingError {
    /// Such as `feedback[0].problem`.
    pub field: String,
    pub reason: String,
}
