//! Versions of mapping files: the texts that were in service, and from when each was.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::event::{MappingDigest, SourceName};

/// Number of versions that are kept of each source, whether events name them or not.
pub const VERSIONS_KEPT: usize = 50;

/// A mapping file's text that is in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingText {
    pub digest: MappingDigest,
    pub text: Arc<str>,
    /// Time at which this process took it into service.
    pub since: Timestamp,
}

impl MappingText {
    pub fn new(text: &str, since: Timestamp) -> MappingText {
        MappingText { digest: MappingDigest::of(text), text: text.into(), since }
    }
}

/// The texts in service, by source.
pub type MappingTexts = BTreeMap<SourceName, Arc<MappingText>>;

/// The version of a mapping file by which an event was mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct MappingVersion {
    /// SHA-256 of the file's bytes.
    pub digest: MappingDigest,
    /// Time at which this text went into service.
    pub since: Timestamp,
}

/// A version in the history of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingHistoryEntry {
    pub version: MappingVersion,
    /// Number of events that were mapped by it last.
    pub events: u64,
    /// Whether there may be more: the count stops at 5,000.
    pub at_least: bool,
    /// Whether no other text of the source went into service after it.
    pub is_newest: bool,
    /// Who put it into service by the API, as the audit names them.
    pub by: Option<String>,
}

/// A page of a source's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingHistory {
    /// Newest first.
    pub versions: Vec<MappingHistoryEntry>,
    /// Where the next page begins; none at the end.
    pub next: Option<VersionCursor>,
}

/// A position in the history of a source. Its text is the `next` of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionCursor(pub i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the `next` of a page")]
pub struct InvalidVersionCursor;

impl fmt::Display for VersionCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for VersionCursor {
    type Err = InvalidVersionCursor;

    fn from_str(text: &str) -> Result<VersionCursor, InvalidVersionCursor> {
        text.parse().map(VersionCursor).map_err(|_| InvalidVersionCursor)
    }
}

impl Serialize for VersionCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is found by the beginning of a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundVersion {
    None,
    One {
        /// Its last time in service.
        version: MappingVersion,
        text: String,
        /// Whether no other text of the source went into service after it.
        is_newest: bool,
    },
    /// Several texts of the source have digests that begin so.
    Several,
}
