//! The issues as they are now, for whoever shows them or sends alerts about them: also while the store
//! is unavailable.

use std::sync::Arc;

use jiff::SignedDuration;
use tokio::sync::watch;

use crate::store::Issue;

/// Time for which closed issues are on the board.
pub(super) const CLOSED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// All open issues, and those that were closed within a day.
pub type Issues = Arc<[Issue]>;

/// The place of the issues. They are replaced as a whole.
#[derive(Debug)]
pub struct Board(watch::Sender<Issues>);

impl Default for Board {
    fn default() -> Board {
        Board(watch::Sender::new(Arc::new([])))
    }
}

impl Board {
    pub fn current(&self) -> Issues {
        Arc::clone(&self.0.borrow())
    }

    /// Returns a receiver that is notified of each change.
    pub fn subscribe(&self) -> watch::Receiver<Issues> {
        self.0.subscribe()
    }

    /// Shows this issue as it is now, such as one that was muted.
    pub fn replace(&self, changed: &Issue) {
        self.0.send_modify(|issues| {
            let replace = |issue: &Issue| {
                if issue.id == changed.id { changed.clone() } else { issue.clone() }
            };
            *issues = issues.iter().map(replace).collect();
        });
    }

    pub(super) fn set(&self, new: Vec<Issue>) {
        self.0.send_if_modified(|issues| {
            let has_changed = **issues != *new;
            *issues = new.into();
            has_changed
        });
    }
}
