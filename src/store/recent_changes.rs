//! What has changed since somebody asked last.

use std::collections::BTreeMap;

use crate::event::SourceName;

/// What has changed in the store since somebody asked last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecentChanges {
    /// Positions of the events whose entry in a list has changed, the newest first.
    pub events: Vec<u64>,
    /// Sources of which something was counted, with the number of webhooks that were rejected.
    pub sources: BTreeMap<SourceName, u64>,
    /// Whether more may have changed: another process wrote, too much changed, or the store was
    /// unavailable meanwhile.
    pub has_gap: bool,
}

impl RecentChanges {
    pub fn is_empty(&self) -> bool {
        *self == RecentChanges::default()
    }
}
