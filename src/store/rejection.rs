//! Rejected webhooks: what is kept of them, for whoever looks for the cause.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::filter::Cursor;
use super::half_hour::HalfHour;
use crate::event::SourceName;

/// Number of rows that are kept of a source, the newest ones.
pub const REJECTIONS_OF_SOURCE_MAX: usize = 1_000;

/// Equal webhooks that were rejected within a minute. Nothing of a body and no value of a header is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RejectionRecord {
    pub source: SourceName,
    /// Time of the last of these.
    pub at: Timestamp,
    pub first_at: Timestamp,
    /// Number of equal ones within a minute.
    pub count: u64,
    pub status: u16,
    /// One of a few fixed texts.
    #[schema(value_type = String)]
    pub error: Cow<'static, str>,
    /// The reason with its causes, without what it quotes of the request.
    pub reason: String,
    /// What probably has to be changed. It is not in the response.
    pub hint: Option<String>,
    #[schema(value_type = Option<String>)]
    pub client: Option<IpAddr>,
    /// Size of the first one's body: as declared by its sender, or as far as it was read.
    pub bytes: u64,
    /// Names of the first one's headers.
    pub headers: Vec<String>,
}

impl RejectionRecord {
    /// Returns one of `form` that was rejected at this time, for tests.
    #[cfg(test)]
    pub(crate) fn example(at: Timestamp) -> RejectionRecord {
        RejectionRecord {
            source: "form".parse().expect("it is a name"),
            at,
            first_at: at,
            count: 1,
            status: 503,
            error: "store unavailable".into(),
            reason: "the webhook could not be stored".to_owned(),
            hint: None,
            client: None,
            bytes: 0,
            headers: Vec::new(),
        }
    }

    /// Returns whether the other is this one at another time.
    pub fn is_same_as(&self, other: &RejectionRecord) -> bool {
        let same = |it: &RejectionRecord| (it.first_at, it.error.clone(), it.client);
        same(self) == same(other) && self.source == other.source && self.hint == other.hint
    }
}

/// What intake has rejected since the last batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectionBatch {
    /// Tells a batch that is written again, since a commit may be on disk that was reported as failed.
    pub id: Uuid,
    /// As they are now: each replaces what was written of it before.
    pub records: Vec<RejectionRecord>,
    /// Number of all rejected webhooks, those without a record included.
    pub counts: BTreeMap<(SourceName, HalfHour), u64>,
}

/// Which rejected webhooks to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectionFilter {
    pub source: Option<SourceName>,
    /// Rejected at this time or later.
    pub since: Option<Timestamp>,
}

impl RejectionFilter {
    /// Returns the filter for all of a source.
    pub fn of(source: SourceName) -> RejectionFilter {
        RejectionFilter { source: Some(source), since: None }
    }

    pub fn matches(&self, record: &RejectionRecord) -> bool {
        self.source.as_ref().is_none_or(|source| *source == record.source)
            && self.since.is_none_or(|since| record.at >= since)
    }
}

/// Rejected webhooks, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RejectionPage {
    pub rejected: Vec<RejectionRecord>,
    /// Where the next page begins; none at the end.
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
}
