//! Whether webhooks would be stored now, for `/readyz`; the log says more of it than the answer, which is for
//! strangers.

use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};

use super::registry::{SourceStatus, Sources};
use crate::clock;
use crate::store::{Inbox, StoreError};

/// Why a webhook would not be stored now; ready without a reason.
#[derive(Debug)]
pub(super) struct NotReady {
    /// In words for strangers.
    pub(super) reasons: Vec<&'static str>,
    /// For the log.
    store_error: Option<StoreError>,
}

pub(super) async fn not_ready_reasons(
    store: &dyn Inbox,
    sources: &Sources,
    is_closing: bool,
) -> NotReady {
    let mut reasons = Vec::new();
    if is_closing {
        reasons.push("the relay is shutting down");
    }
    let store_error = store.ready().await.err();
    reasons.extend(store_error.as_ref().map(StoreError::outline));
    let now = clock::now();
    let is_live = |status: &SourceStatus| match status {
        SourceStatus::Live(source) => source.off(now).is_none(),
        SourceStatus::AwaitingSecret(_) => true,
        SourceStatus::Off { .. } => false,
    };
    if !sources.values().any(is_live) {
        reasons.push("no source is live");
    }
    NotReady { reasons, store_error }
}

/// The reasons at the last look.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Vec<&'static str>>);

impl Readiness {
    /// Logs what changed since the last look: not each look, since anybody may look at any time.
    pub(super) fn note(&self, NotReady { reasons, store_error }: &NotReady) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == *reasons {
            return;
        }
        reasons.clone_into(&mut last);
        if reasons.is_empty() {
            info!("ready again");
            return;
        }
        let cause = store_error.as_ref().map(StoreError::to_string);
        warn!(cause, "not ready: {}", reasons.join("; "));
    }
}
