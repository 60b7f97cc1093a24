//! Lines that are read and not settled: which is sent next, and which wait for others. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::delivery::conflicts::key_locks::KeyLocks;
use crate::event::{KeyKind, RecordKey, Request};

/// Number of lines that are in the queue or in flight.
// Keeps a long input out of memory, and the number of due lines before one that is retried small.
const LINES_MAX: usize = 200;

/// Number of record keys that are remembered to exist in Savio.
// A key that is forgotten costs little: the next line with it is sent alone.
const KNOWN_MAX: usize = 10_000;

/// One upsert of the input.
#[derive(Debug, PartialEq)]
pub(super) struct UpsertJob {
    /// Number of its line, from 1.
    pub(super) line: u64,
    pub(super) request: Request,
    /// Time of the first attempt.
    pub(super) begun_at: Option<Timestamp>,
    /// Number of failed attempts.
    pub(super) tries: u32,
    /// Set after a refusal although the token works: a second refusal is final.
    pub(super) is_last_try: bool,
}

#[derive(Debug)]
pub(super) struct UpsertQueue {
    locks: KeyLocks,
    /// Lines that wait for an earlier one of the same record, by number.
    blocked: BTreeMap<u64, UpsertJob>,
    /// Lines to send, by due time and number.
    due: BTreeMap<(Timestamp, u64), UpsertJob>,
    /// Number of lines that are not settled, including those in flight.
    count: usize,
}

impl UpsertQueue {
    pub(super) fn new() -> UpsertQueue {
        let (blocked, due) = (BTreeMap::new(), BTreeMap::new());
        UpsertQueue { locks: KeyLocks::new(KNOWN_MAX), blocked, due, count: 0 }
    }

    pub(super) fn has_room(&self) -> bool {
        self.count < LINES_MAX
    }

    /// Returns whether every line is settled.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, line: u64, request: Request, now: Timestamp) {
        self.count += 1;
        self.lock(UpsertJob { line, request, begun_at: None, tries: 0, is_last_try: false }, now);
    }

    /// Removes the line that has been due for longest.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<UpsertJob> {
        let first = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// Returns the due time of the next line.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Schedules another attempt.
    pub(super) fn again(&mut self, job: UpsertJob, at: Timestamp) {
        // It keeps its locks until then, so that no later line of its record overtakes it.
        self.due.insert((at, job.line), job);
    }

    /// Releases a line's locks once it has succeeded or failed, and queues lines that waited for
    /// it.
    pub(super) fn settle(&mut self, job: &UpsertJob, is_done: bool, now: Timestamp) {
        self.count -= 1;
        let mut candidates = self.locks.release(job.line);
        // What the upsert names exists in Savio now. Only lines that change the same record still
        // wait for each other.
        if is_done {
            candidates.extend(self.locks.learn(&job.request.record_keys()));
        }
        // A candidate may still wait for another line: it then goes back to `blocked`.
        for line in candidates {
            if let Some(job) = self.blocked.remove(&line) {
                self.lock(job, now);
            }
        }
    }

    fn lock(&mut self, job: UpsertJob, now: Timestamp) {
        let keys = job.request.record_keys().into_iter().chain(records(&job.request));
        match self.locks.try_lock(job.line, keys) {
            Ok(()) => self.again(job, now),
            Err(_) => drop(self.blocked.insert(job.line, job)),
        }
    }
}

/// Returns keys of the record that the upsert changes.
// Lines of one record are sent in order, so that the last one wins. Delivery keeps this order only
// by internal id. Two lines of a file may have two ids and one address, by which Savio finds the
// same contact: the later line is the one that is meant.
fn records(upsert: &Request) -> impl Iterator<Item = RecordKey> {
    let email = upsert.body.get("email").and_then(Value::as_str);
    // Of another kind than the address in `record_keys`, which needs no lock once it is known.
    let email = email.and_then(|email| RecordKey::new(KeyKind::ContactUpsert, email));
    upsert.upsert().into_iter().chain(email)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::savio::record::RecordKind;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// Returns a queue of these contacts, one per line.
    fn queue(contacts: &[&str]) -> UpsertQueue {
        let mut queue = UpsertQueue::new();
        for (line, contact) in (1..).zip(contacts) {
            let text = format!(r#"{{"name": "Ada {line}", {contact}}}"#);
            queue.push(line, RecordKind::Contact.read(text.as_bytes()).unwrap(), NOW);
        }
        queue
    }

    /// Settles all lines that may be sent, until none is left. Returns those of each round.
    fn waves(contacts: &[&str]) -> Vec<Vec<u64>> {
        let mut queue = queue(contacts);
        let mut waves = Vec::new();
        while !queue.is_empty() {
            let jobs: Vec<UpsertJob> = std::iter::from_fn(|| queue.take(NOW)).collect();
            waves.push(jobs.iter().map(|job| job.line).collect());
            for job in &jobs {
                queue.settle(job, true, NOW);
            }
        }
        assert!(queue.blocked.is_empty() && queue.due.is_empty());
        waves
    }

    #[test]
    fn lines_of_one_internal_id_are_sent_in_order() {
        let contacts = [r#""internal_id": 1"#, r#""internal_id": "1""#, r#""internal_id": 2"#];

        assert_eq!(waves(&contacts), [vec![1, 3], vec![2]]);
    }

    #[test]
    fn lines_of_a_known_address_are_sent_in_order() {
        let contacts =
            [1, 2, 3].map(|id| format!(r#""internal_id": {id}, "email": "a@b.example""#));

        assert_eq!(waves(&contacts.each_ref().map(String::as_str)), [[1], [2], [3]]);
    }

    #[test]
    fn contacts_of_a_new_company_wait_for_the_first() {
        let contacts =
            [1, 2, 3].map(|id| format!(r#""internal_id": {id}, "company_internal_id": 6"#));

        assert_eq!(waves(&contacts.each_ref().map(String::as_str)), [vec![1], vec![2, 3]]);
    }

    #[test]
    fn failed_line_is_retried_when_due_before_later_lines() {
        let later = NOW + Duration::from_secs(1);
        let mut queue = queue(&[r#""internal_id": 1"#, r#""internal_id": 1"#]);

        let failed = queue.take(NOW).unwrap();
        queue.again(failed, later);

        assert_eq!((queue.take(NOW), queue.next_due()), (None, Some(later)));
        assert_eq!(queue.take(later).map(|job| job.line), Some(1));
    }
}
