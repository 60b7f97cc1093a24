//! The sources of the moment and the status of each.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::setup::PendingSetup;
use super::source::Source;
use crate::event::SourceName;

#[derive(Debug, Clone)]
pub enum SourceStatus {
    Live(Arc<Source>),
    /// Nobody can send yet: its provider brings the secret.
    AwaitingSecret(Arc<PendingSetup>),
    /// Known, but nobody can send, such as when its mapping file is bad.
    Off {
        reason: String,
    },
}

pub type Sources = BTreeMap<SourceName, SourceStatus>;

/// The sources of the moment, replaced as a whole.
#[derive(Debug, Default)]
pub struct Registry(RwLock<Arc<Sources>>);

impl Registry {
    pub fn new(sources: Sources) -> Registry {
        Registry(RwLock::new(Arc::new(sources)))
    }

    pub fn current(&self) -> Arc<Sources> {
        // What a panic may have left behind is an `Arc` that is there or not, never half of one.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The source that was awaited has these keys from now on, and is live.
    pub fn go_live(&self, source: &Source) {
        self.update(|old| {
            let mut sources = old.clone();
            // Its mapping file may have changed since: a source that is off stays off, and its secret is
            // found on disk once the file is right again.
            if let Some(SourceStatus::AwaitingSecret(setup)) = old.get(&source.name) {
                let live = Source { keys: source.keys.clone(), ..Source::clone(&setup.source) };
                sources.insert(source.name.clone(), SourceStatus::Live(Arc::new(live)));
            }
            sources
        });
    }

    /// Replaces the sources by what becomes of them, and returns both. `change` runs again if somebody else
    /// changed them meanwhile, so that no change is lost; no lock is held while it runs.
    pub fn update(&self, change: impl Fn(&Sources) -> Sources) -> (Arc<Sources>, Arc<Sources>) {
        loop {
            let old = self.current();
            let new = Arc::new(change(&old));
            let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current, &old) {
                *current = Arc::clone(&new);
                return (old, new);
            }
        }
    }
}

/// Carries the one-time code over a reload, so that an address already handed out stays valid. A secret that came while
/// the mapping files were read stays in force.
pub fn carry_over(new: &Arc<PendingSetup>, old: &SourceStatus) -> SourceStatus {
    match old {
        SourceStatus::Live(old) if new.has_secret_file() => {
            let keys = old.keys.clone();
            SourceStatus::Live(Arc::new(Source { keys, ..Source::clone(&new.source) }))
        }
        SourceStatus::AwaitingSecret(old) => {
            SourceStatus::AwaitingSecret(Arc::new(old.with_source(&new.source)))
        }
        SourceStatus::Live(_) | SourceStatus::Off { .. } => {
            SourceStatus::AwaitingSecret(Arc::clone(new))
        }
    }
}
