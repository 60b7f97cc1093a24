//! Settings of alerts: who gets which, and where they are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::SourceName;
use crate::secret::{PurposedSecret, Secret, SecretPurpose};
use crate::store::{Issue, IssueKind};

/// Number of targets.
pub const TARGETS_MAX: usize = 20;

/// Settings of all alerts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub targets: Vec<TargetSettings>,
    pub heartbeat: Option<HeartbeatSettings>,
}

impl Settings {
    /// Returns all secrets, each with what it is for.
    pub fn secrets(&self) -> Vec<PurposedSecret> {
        let of = |purpose, secret: &Secret| PurposedSecret { purpose, secret: secret.clone() };
        let mut secrets = Vec::new();
        for TargetSettings { name, url, headers, .. } in &self.targets {
            secrets.push(of(SecretPurpose::Alert(name.clone()), url));
            secrets.extend(headers.iter().map(|(header, secret)| {
                of(SecretPurpose::AlertHeader(name.clone(), header.clone()), secret)
            }));
        }
        let heartbeat = self.heartbeat.as_ref();
        secrets.extend(heartbeat.map(|it| of(SecretPurpose::Heartbeat, &it.url)));
        secrets
    }
}

/// Who gets alerts: `[[alerts]]`.
#[derive(Debug, Clone)]
pub struct TargetSettings {
    pub name: String,
    pub url: Secret,
    pub format: Format,
    /// Headers of each message. Their values are secrets.
    pub headers: BTreeMap<String, Secret>,
    pub rules: Rules,
}

/// Which issues a target gets, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// None: all.
    pub kinds: Option<BTreeSet<IssueKind>>,
    /// None: all. Else only issues of these; those of no source are not among them.
    pub sources: Option<BTreeSet<SourceName>>,
    /// Time between two messages of an issue that lasts.
    pub remind: Duration,
    /// Time for which an issue has to stay closed before the message that says so.
    pub close_after: Duration,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            kinds: None,
            sources: None,
            remind: Duration::from_hours(24),
            close_after: Duration::from_mins(2),
        }
    }
}

impl Rules {
    pub(super) fn takes(&self, issue: &Issue) -> bool {
        let source = issue.place.source.as_ref();
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&issue.kind))
            && self.sources.as_ref().is_none_or(|all| source.is_some_and(|it| all.contains(it)))
    }

    /// Returns which issues it takes, as a text to compare.
    pub(super) fn scope(&self) -> String {
        let kinds = self.kinds.as_ref();
        let kinds = kinds.map(|all| all.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(","));
        let sources = self.sources.as_ref();
        let sources =
            sources.map(|all| all.iter().map(SourceName::as_str).collect::<Vec<_>>().join(","));
        let (kinds, sources) = (kinds.as_deref(), sources.as_deref());
        format!("{} {}", kinds.unwrap_or("*"), sources.unwrap_or("*"))
    }
}

/// What a message looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `{"text": ...}`, which Slack and many others read.
    Slack,
    Json,
}

impl Format {
    pub const NAMED: [(&str, Format); 2] = [("slack", Format::Slack), ("json", Format::Json)];
}

/// A sign of life for a service that raises an alarm without it: `[heartbeat]`.
#[derive(Debug, Clone)]
pub struct HeartbeatSettings {
    pub url: Secret,
    pub every: Duration,
}
