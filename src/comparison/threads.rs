//! Bounds what comparisons take from the machine: threads, and one comparison for each caller.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The threads on which events are compared, at most half as many as there are cores.
// A person looks at the result, but webhooks and deliveries come first.
#[derive(Debug)]
pub struct ComparisonThreads {
    pub(super) threads: Arc<Semaphore>,
    running: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    last: u64,
    /// The comparison of each caller, with its number.
    by_caller: BTreeMap<Arc<str>, (u64, CancellationToken)>,
}

/// A comparison that a caller runs, until it is dropped or the same caller begins another.
#[derive(Debug)]
pub struct ComparisonTurn {
    running: Arc<Mutex<Running>>,
    caller: Arc<str>,
    number: u64,
    pub(super) ended: CancellationToken,
}

impl Default for ComparisonThreads {
    fn default() -> ComparisonThreads {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let threads = Arc::new(Semaphore::new((cores / 2).max(1)));
        ComparisonThreads { threads, running: Arc::default() }
    }
}

impl ComparisonThreads {
    /// Begins a comparison, and ends the one that this caller has begun before.
    pub fn begin(&self, caller: Arc<str>) -> ComparisonTurn {
        let ended = CancellationToken::new();
        let mut running = lock(&self.running);
        running.last += 1;
        let number = running.last;
        let entry = (number, ended.clone());
        if let Some((_, older)) = running.by_caller.insert(Arc::clone(&caller), entry) {
            older.cancel();
        }
        ComparisonTurn { running: Arc::clone(&self.running), caller, number, ended }
    }
}

impl Drop for ComparisonTurn {
    fn drop(&mut self) {
        // Whoever asked has left, or has the answer: the thread stops after the event it is at.
        self.ended.cancel();
        let mut running = lock(&self.running);
        if running.by_caller.get(&self.caller).is_some_and(|(number, _)| *number == self.number) {
            running.by_caller.remove(&self.caller);
        }
    }
}

fn lock(running: &Mutex<Running>) -> std::sync::MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_comparison_of_the_same_caller_ends_the_older() {
        let threads = ComparisonThreads::default();
        let first = threads.begin("ada".into());
        let other = threads.begin("grace".into());

        let second = threads.begin("ada".into());

        assert!(first.ended.is_cancelled());
        assert!(!second.ended.is_cancelled() && !other.ended.is_cancelled());
        drop(first);
        assert!(!second.ended.is_cancelled());
        let ended = second.ended.clone();
        drop(second);
        assert!(ended.is_cancelled());
        assert_eq!(lock(&threads.running).by_caller.len(), 1, "nothing stays of those that ended");
    }
}
