//! Counts of compared events by what would change.

use serde::Serialize;
use utoipa::ToSchema;

use super::event_change::ChangeKind;

/// Numbers of events, whose sum is `compared`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct ChangeCounts {
    pub compared: u64,
    /// The same requests, or none by both, or dead by both for the same reason.
    pub same: u64,
    /// Other requests, or dead for another reason.
    pub changed: u64,
    /// No request any more.
    pub newly_ignored: u64,
    /// The proposed mapping fails on it.
    pub newly_dead: u64,
    /// Requests, where there are none now.
    pub newly_made: u64,
    /// It cannot be compared: its payload cannot be read.
    pub unreadable: u64,
}

impl ChangeCounts {
    pub fn add(&mut self, kind: ChangeKind) {
        self.compared += 1;
        *match kind {
            ChangeKind::Same => &mut self.same,
            ChangeKind::Changed => &mut self.changed,
            ChangeKind::NewlyIgnored => &mut self.newly_ignored,
            ChangeKind::NewlyDead => &mut self.newly_dead,
            ChangeKind::NewlyMade => &mut self.newly_made,
            ChangeKind::Unreadable => &mut self.unreadable,
        } += 1;
    }

    /// Returns the number of events that are not the same.
    pub fn differing(&self) -> u64 {
        self.compared - self.same
    }
}
