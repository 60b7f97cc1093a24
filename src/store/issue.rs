//! Issues: what a person should know, from when it opens to when it closes.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::Actor;
use super::filter::Cursor;
use crate::event::SourceName;

/// Number of half hours in an issue's strip.
pub const STEPS_MAX: usize = 48;

/// Number of issues that are open at a time, and of closed ones that are kept.
pub const OPEN_ISSUES_MAX: usize = 1_000;
pub const CLOSED_ISSUES_MAX: usize = 5_000;

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct IssueId(Uuid);

impl IssueId {
    /// Makes a new id; two made at the same `now` differ.
    pub fn new(now: Timestamp) -> IssueId {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        IssueId(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0)))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> IssueId {
        IssueId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for IssueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl FromStr for IssueId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<IssueId, uuid::Error> {
        text.parse().map(IssueId)
    }
}

/// What an issue is about. The words are part of the API and stay.
// In the order of their weight: what keeps webhooks from being stored, from coming in, from going
// out; what goes out incomplete; what has no effect yet.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// The disk is nearly full, or a commit failed.
    Store,
    /// A changed mapping file was not taken.
    Mapping,
    /// Webhooks are rejected, and none is accepted.
    Rejected,
    /// A source got nothing for longer than usual.
    Silent,
    /// Nothing is sent to a destination.
    Paused,
    /// Events wait for their first try for too long.
    Queue,
    /// Events could not be delivered.
    Dead,
    /// Events wait for a person's decision.
    Held,
    /// A field that was nearly always there is missing.
    Drift,
    /// The file of a secret cannot be read, and an earlier value counts.
    Secret,
    /// The nodes of a relay differ.
    Nodes,
}

impl IssueKind {
    /// All kinds, the worst first.
    pub const ALL: [IssueKind; 11] = [
        IssueKind::Store,
        IssueKind::Mapping,
        IssueKind::Rejected,
        IssueKind::Silent,
        IssueKind::Paused,
        IssueKind::Queue,
        IssueKind::Dead,
        IssueKind::Held,
        IssueKind::Drift,
        IssueKind::Secret,
        IssueKind::Nodes,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            IssueKind::Store => "store",
            IssueKind::Mapping => "mapping",
            IssueKind::Rejected => "rejected",
            IssueKind::Silent => "silent",
            IssueKind::Paused => "paused",
            IssueKind::Queue => "queue",
            IssueKind::Dead => "dead",
            IssueKind::Held => "held",
            IssueKind::Drift => "drift",
            IssueKind::Secret => "secret",
            IssueKind::Nodes => "nodes",
        }
    }
}

/// Something that a person should know. No text of a payload is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Issue {
    pub id: IssueId,
    #[schema(inline)]
    pub kind: IssueKind,
    /// Tells the issues of a kind apart. Of one key at most one is open.
    #[serde(skip)]
    pub key: String,
    #[serde(flatten)]
    pub place: IssuePlace,
    #[serde(flatten)]
    pub words: IssueWords,
    pub opened_at: Timestamp,
    /// When it happened last.
    pub last_at: Timestamp,
    /// How often it happened, or how much it is, in `unit`.
    pub count: u64,
    /// Such as `events`.
    pub unit: String,
    /// The last half hours in which something happened, oldest first; at most 48.
    pub steps: Vec<IssueStep>,
    /// Who muted it; null if nobody did, or the time is over.
    pub muted: Option<Mute>,
    pub closed_at: Option<Timestamp>,
    /// How it ended, in a sentence.
    pub outcome: Option<String>,
}

/// Where the issue is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct IssuePlace {
    pub source: Option<SourceName>,
    pub destination: Option<String>,
    /// Type of the events.
    pub event_type: Option<String>,
    /// Block of the mapping file, such as `feedback`, or `feedback[1]` for the second.
    pub block: Option<String>,
    pub field: Option<String>,
}

/// What a person reads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct IssueWords {
    /// What happened and where, in a sentence.
    pub text: String,
    /// The exact reason, such as Savio's message.
    pub reason: Option<String>,
    /// Probable cause, for the operator only.
    pub hint: Option<String>,
    /// What to do.
    pub advice: String,
}

/// What happened in a half hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssueStep {
    /// Its beginning.
    pub at: Timestamp,
    pub count: u64,
}

/// Keeps alerts of an issue quiet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mute {
    /// Name of a token or of a person.
    pub by: String,
    /// Null: until the issue closes.
    pub until: Option<Timestamp>,
    pub note: Option<String>,
}

impl Issue {
    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    /// Returns the mute in effect.
    pub fn muted(&self, now: Timestamp) -> Option<&Mute> {
        self.muted.as_ref().filter(|mute| mute.until.is_none_or(|until| until > now))
    }

    /// Returns it as people see it: without a mute whose time is over.
    #[must_use]
    pub fn shown(mut self, now: Timestamp) -> Issue {
        if self.muted(now).is_none() {
            self.muted = None;
        }
        self
    }
}

/// Which issues to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssueState {
    #[default]
    Open,
    Closed,
    All,
}

/// Conditions that an issue has to meet all of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IssueFilter {
    pub state: IssueState,
    /// Open, or closed at this time or later.
    pub since: Option<Timestamp>,
    pub kind: Option<IssueKind>,
    pub source: Option<SourceName>,
}

/// Issues, the open ones first, the worst of them first, and then closed ones, the last first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IssuePage {
    pub issues: Vec<Issue>,
    /// Where the next page begins, which has closed issues only; none at the end.
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
}

/// A person's order to mute an issue, or to end that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MuteRequest {
    pub id: IssueId,
    pub now: Timestamp,
    /// Null: until it closes. In the past: not any more.
    pub until: Option<Timestamp>,
    pub note: Option<String>,
    pub by: Actor,
}

/// Result of muting an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MuteOutcome {
    Changed(Box<Issue>),
    /// It is closed, and nothing was changed.
    Closed,
    NotFound,
}
