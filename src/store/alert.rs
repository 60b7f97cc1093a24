//! What was sent of issues: for each target of alerts, and each issue.

use jiff::Timestamp;

use super::issue::IssueId;

/// A target of alerts, and what it was sent of recent issues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRecord {
    pub target: AlertTarget,
    pub told: Vec<ToldIssue>,
}

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTarget {
    pub name: String,
    /// The issues that it gets, as a text. Another text is another target.
    pub scope: String,
    /// Since when it gets these. Older issues are no news there.
    pub first_seen: Timestamp,
    /// When the hour began in which messages are counted.
    pub hour_began: Timestamp,
    /// Messages in that hour.
    pub messages: u32,
}

/// What a target was sent of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldIssue {
    pub issue: IssueId,
    /// Whether the last message said that it is open.
    pub is_open: bool,
    /// When that was sent.
    pub at: Timestamp,
    /// Number of messages so far.
    pub messages: u32,
}
