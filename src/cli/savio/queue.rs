//! What is to be sent, in order: when each is due, and one after the other for one internal id. Pure.

use std::collections::btree_map::BTreeMap;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::record::UpsertRecord;

/// So many are held at most, so that a long input takes no memory.
pub(super) const HELD_MAX: usize = 1_000;

/// One upsert of the input.
#[derive(Debug, PartialEq)]
pub(super) struct UpsertJob {
    /// The line that it stands in, from 1.
    pub(super) line: u64,
    pub(super) upsert: UpsertRecord,
    /// When it was first sent.
    pub(super) begun_at: Option<Instant>,
    /// How often it failed.
    pub(super) tries: u32,
}

#[derive(Debug, Default)]
pub(super) struct UpsertQueue {
    due: BTreeMap<(Instant, u64), UpsertJob>,
    /// By internal id: what waits until the one before it is settled. An id that is here is at work.
    behind: HashMap<String, VecDeque<UpsertJob>>,
    held: usize,
}

impl UpsertQueue {
    pub(super) fn has_room(&self) -> bool {
        self.held < HELD_MAX
    }

    /// Whether all that came was settled.
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    pub(super) fn push(&mut self, job: UpsertJob, now: Instant) {
        self.held += 1;
        if let Some(waiting) = self.behind.get_mut(job.upsert.internal_id()) {
            waiting.push_back(job);
            return;
        }
        self.behind.insert(job.upsert.internal_id().to_owned(), VecDeque::new());
        self.due.insert((now, job.line), job);
    }

    /// The one that has been due for longest.
    pub(super) fn take(&mut self, now: Instant) -> Option<UpsertJob> {
        let first = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn again(&mut self, job: UpsertJob, at: Instant) {
        self.due.insert((at, job.line), job);
    }

    /// The job is settled, so that the next one of its internal id may go.
    pub(super) fn settle(&mut self, job: &UpsertJob, now: Instant) {
        self.held -= 1;
        let id = job.upsert.internal_id();
        match self.behind.get_mut(id).and_then(VecDeque::pop_front) {
            Some(next) => drop(self.due.insert((now, next.line), next)),
            None => drop(self.behind.remove(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::savio::record::RecordKind;

    fn job(line: u64, internal_id: &str) -> UpsertJob {
        let text = format!(r#"{{"internal_id": "{internal_id}", "name": "Ada"}}"#);
        let upsert = UpsertRecord::read(RecordKind::Contact, text.as_bytes()).unwrap();
        UpsertJob { line, upsert, begun_at: None, tries: 0 }
    }

    fn lines(queue: &mut UpsertQueue, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| queue.take(now)).map(|job| job.line).collect()
    }

    #[test]
    fn one_internal_id_goes_one_after_the_other() {
        let now = Instant::now();
        let mut queue = UpsertQueue::default();
        for (line, id) in [(1, "a"), (2, "a"), (3, "b")] {
            queue.push(job(line, id), now);
        }

        assert_eq!(lines(&mut queue, now), [1, 3]);
        queue.settle(&job(1, "a"), now);
        assert_eq!(lines(&mut queue, now), [2]);
        queue.settle(&job(2, "a"), now);
        queue.settle(&job(3, "b"), now);
        assert!(queue.is_empty() && queue.behind.is_empty());
    }

    #[test]
    fn what_failed_comes_again_when_it_is_due() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut queue = UpsertQueue::default();
        queue.push(job(1, "a"), now);
        let failed = queue.take(now).unwrap();

        queue.again(failed, later);

        assert_eq!((queue.take(now), queue.next_due()), (None, Some(later)));
        assert_eq!(lines(&mut queue, later), [1]);
    }
}
