//! What the commits of this process changed, for whoever follows that. While nobody does, a commit
//! costs one more load of a flag.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::database_file;

/// Number of events that may have changed since somebody asked. Of more it is only known that
/// there are.
const EVENTS_MAX: usize = 10_000;

/// What one commit changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct CommitChanges {
    /// Numbers of events, some of them more than once.
    pub(super) events: Vec<i64>,
    /// The sources of which something was counted, with the webhooks that were rejected.
    pub(super) sources: BTreeMap<String, i64>,
}

/// What has changed since somebody asked last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LoggedChanges {
    pub(crate) events: BTreeSet<i64>,
    pub(crate) sources: BTreeMap<String, i64>,
    /// Whether there is more than this, of which nothing is known.
    pub(crate) has_gap: bool,
}

#[derive(Debug, Default)]
pub(crate) struct ChangeLog {
    is_followed: AtomicBool,
    logged: Mutex<LoggedChanges>,
    /// The `data_version` of the writer's connection at the last look.
    data_version: Mutex<Option<i64>>,
}

impl ChangeLog {
    pub(super) fn is_followed(&self) -> bool {
        // Relaxed: `follow` runs on the thread that asks.
        self.is_followed.load(Ordering::Relaxed)
    }

    /// Logs from now on. Call it on the writer's thread: between two commits, so that none is logged
    /// in part.
    pub(crate) fn follow(&self, writer: &Connection) -> rusqlite::Result<()> {
        *self.logged() = LoggedChanges::default();
        *self.seen() = Some(database_file::data_version(writer)?);
        self.is_followed.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn stop(&self) {
        self.is_followed.store(false, Ordering::Relaxed);
        *self.logged() = LoggedChanges::default();
    }

    /// Notices the commits of other processes. Call it on the writer's thread.
    // `data_version` changes with the commits of all connections but the one that asks. Only the
    // writer of this process commits, so on its connection it tells exactly whether another process
    // did. On a reader's it would change with each commit of our own. Emptying the log after an erasure
    // counts too, which is rare.
    pub(crate) fn look_for_others(&self, writer: &Connection) -> rusqlite::Result<()> {
        let version = database_file::data_version(writer)?;
        if self.seen().replace(version).is_some_and(|seen| seen != version) {
            self.add_gap();
        }
        Ok(())
    }

    /// Notes that something may have changed that is not in the log.
    pub(crate) fn add_gap(&self) {
        self.logged().has_gap = true;
    }

    /// Adds what a commit changed, once it is on disk.
    pub(super) fn add(&self, changes: CommitChanges) {
        let mut logged = self.logged();
        for (source, rejected) in changes.sources {
            *logged.sources.entry(source).or_default() += rejected;
        }
        // Bounded also while nobody takes it.
        if logged.has_gap {
            return;
        }
        logged.events.extend(changes.events);
        if logged.events.len() > EVENTS_MAX {
            logged.has_gap = true;
            logged.events.clear();
        }
    }

    pub(crate) fn take(&self) -> LoggedChanges {
        std::mem::take(&mut *self.logged())
    }

    fn logged(&self) -> MutexGuard<'_, LoggedChanges> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Option<i64>> {
        self.data_version.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(events: impl IntoIterator<Item = i64>) -> CommitChanges {
        let sources = [("form".to_owned(), 1)].into();
        CommitChanges { events: events.into_iter().collect(), sources }
    }

    #[test]
    fn event_that_changed_often_is_logged_once() {
        let log = ChangeLog::default();

        log.add(commit([1, 2, 1]));
        log.add(commit([2, 3]));

        let LoggedChanges { events, sources, has_gap } = log.take();
        assert_eq!((events, has_gap), ([1, 2, 3].into(), false));
        assert_eq!(sources, [("form".to_owned(), 2)].into());
        assert_eq!(log.take(), LoggedChanges::default());
    }

    #[test]
    fn too_many_events_are_a_gap_until_somebody_takes_it() {
        let log = ChangeLog::default();

        log.add(commit(0..=i64::try_from(EVENTS_MAX).unwrap()));
        log.add(commit([1]));

        let LoggedChanges { events, has_gap, .. } = log.take();
        assert_eq!((events.len(), has_gap), (0, true));
        log.add(commit([1]));
        assert!(!log.take().has_gap);
    }
}
