//! Tells when somebody who was admitted may no longer be: a session ended here, or the tokens were
//! replaced.

use std::sync::Arc;

use tokio::sync::watch::Receiver;

use crate::admin::tokens::AdminToken;

#[derive(Debug)]
pub(in crate::admin) struct LoginChanges {
    sessions: Receiver<()>,
    tokens: Receiver<Arc<[AdminToken]>>,
}

impl LoginChanges {
    pub(super) fn new(sessions: Receiver<()>, tokens: Receiver<Arc<[AdminToken]>>) -> LoginChanges {
        LoginChanges { sessions, tokens }
    }

    /// Resolves at the next change; never if there can be none.
    pub(in crate::admin) async fn changed(&mut self) {
        let ended = tokio::select! {
            changed = self.sessions.changed() => changed.is_err(),
            changed = self.tokens.changed() => changed.is_err(),
        };
        if ended {
            std::future::pending::<()>().await;
        }
    }

    /// Returns whether something has changed since it was marked as seen.
    pub(in crate::admin) fn have_changed(&self) -> bool {
        self.sessions.has_changed().unwrap_or(false) || self.tokens.has_changed().unwrap_or(false)
    }

    pub(in crate::admin) fn mark_seen(&mut self) {
        self.sessions.mark_unchanged();
        self.tokens.mark_unchanged();
    }
}
