//! Tells the log of each change of `/readyz`, whose own answer is for strangers and says little.

use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};

use crate::store::StoreError;

/// What hindered at the last look.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Vec<&'static str>>);

impl Readiness {
    /// Logs what changed since the last look: not each look, since anybody may look at any time.
    pub(super) fn note(&self, hindrances: &[&'static str], trouble: Option<StoreError>) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == hindrances {
            return;
        }
        hindrances.clone_into(&mut last);
        if hindrances.is_empty() {
            info!("ready again");
            return;
        }
        let cause = trouble.map(|error| error.to_string());
        warn!(cause, "not ready: {}", hindrances.join("; "));
    }
}
