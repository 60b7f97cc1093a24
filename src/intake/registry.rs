//! The current sources and the status of each.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::setup::PendingSetup;
use super::source::Source;
use crate::event::SourceName;

#[derive(Debug, Clone)]
pub enum SourceStatus {
    Live(Arc<Source>),
    /// Waits for the secret, which its provider sends in the first request.
    AwaitingSecret(Arc<PendingSetup>),
    /// Known, but does not accept webhooks, for example because its mapping file has mistakes.
    Off {
        reason: String,
    },
}

pub type Sources = BTreeMap<SourceName, SourceStatus>;

/// The current sources, replaced as a whole.
#[derive(Debug, Default)]
pub struct Registry(RwLock<Arc<Sources>>);

impl Registry {
    pub fn new(sources: Sources) -> Registry {
        Registry(RwLock::new(Arc::new(sources)))
    }

    pub fn current(&self) -> Arc<Sources> {
        // A panic cannot leave a partial update behind: the `Arc` is replaced in one assignment.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a source that waited for its secret live, with the keys of `source`.
    pub fn go_live(&self, source: &Source) {
        self.update(|old| {
            let mut sources = old.clone();
            // The mapping file may have changed since: everything but the keys comes from the
            // current one. A source that is off stays off, and finds its secret on disk once its
            // file is correct.
            if let Some(SourceStatus::AwaitingSecret(setup)) = old.get(&source.name) {
                let live = Source { keys: source.keys.clone(), ..Source::clone(&setup.source) };
                sources.insert(source.name.clone(), SourceStatus::Live(Arc::new(live)));
            }
            sources
        });
    }

    /// Replaces the sources by the result of `change`, and returns both. `change` runs again if the sources were
    /// replaced meanwhile.
    pub fn update(&self, change: impl Fn(&Sources) -> Sources) -> (Arc<Sources>, Arc<Sources>) {
        loop {
            // Compare and swap, without a lock around `change`, which asks the file system: a
            // secret that arrives during a reload must neither wait for it nor be overwritten by
            // it.
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

/// Carries the one-time code over a reload, so that an address already handed out stays valid.
pub fn carry_over(new: &Arc<PendingSetup>, old: &SourceStatus) -> SourceStatus {
    match old {
        // The secret arrived after the mapping files were read, so the new set does not know it.
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
