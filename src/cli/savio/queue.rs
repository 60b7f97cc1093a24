//! The lines that are read and not settled: which is to be sent next, and which wait for others. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::delivery::conflicts::key_locks::KeyLocks;
use crate::event::{KeyKind, RecordKey, Request};

/// More lines are not read ahead, so that a long input takes no memory, and so that a line that is sent again has few
/// before it that are due.
const LINES_MAX: usize = 200;

/// Names that are remembered to be in Savio. One that is forgotten costs only that the next line with it goes alone.
const KNOWN_MAX: usize = 10_000;

/// One upsert of the input.
#[derive(Debug, PartialEq)]
pub(super) struct UpsertJob {
    /// The line that it stands in, from 1.
    pub(super) line: u64,
    pub(super) request: Request,
    /// When it was first sent.
    pub(super) begun_at: Option<Timestamp>,
    /// How often it failed.
    pub(super) tries: u32,
    /// It was refused just now though the token works.
    pub(super) is_last_try: bool,
}

#[derive(Debug)]
pub(super) struct UpsertQueue {
    locks: KeyLocks,
    /// By their lines: they wait for a line that names the same.
    blocked: BTreeMap<u64, UpsertJob>,
    due: BTreeMap<(Timestamp, u64), UpsertJob>,
    /// Those that are sent just now among them.
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

    /// Whether all that came was settled.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, line: u64, request: Request, now: Timestamp) {
        self.count += 1;
        self.lock(UpsertJob { line, request, begun_at: None, tries: 0, is_last_try: false }, now);
    }

    /// The one that has been due for longest.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<UpsertJob> {
        let first = self.due.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The job is to be sent once more. It keeps its locks until then, so that no later line overtakes it.
    pub(super) fn again(&mut self, job: UpsertJob, at: Timestamp) {
        self.due.insert((at, job.line), job);
    }

    /// The job is at its end. If it is in Savio, so is all that it names, and only lines of the same record wait for each
    /// other from now on.
    pub(super) fn settle(&mut self, job: &UpsertJob, is_done: bool, now: Timestamp) {
        self.count -= 1;
        let mut candidates = self.locks.release(job.line);
        if is_done {
            candidates.extend(self.locks.learn(&job.request.record_keys()));
        }
        for line in candidates {
            if let Some(job) = self.blocked.remove(&line) {
                self.lock(job, now);
            }
        }
    }

    fn lock(&mut self, job: UpsertJob, now: Timestamp) {
        let names = job.request.record_keys().into_iter().chain(records(&job.request));
        match self.locks.try_lock(job.line, names) {
            Ok(()) => self.again(job, now),
            Err(_) => drop(self.blocked.insert(job.line, job)),
        }
    }
}

/// What the upsert changes: its lines go one after the other, so that the last one wins. Delivery keeps this order only
/// by internal id. In a file two ids may have one address, by which Savio finds the same contact: the last is meant.
fn records(upsert: &Request) -> impl Iterator<Item = RecordKey> {
    let email = upsert.body.get("email").and_then(Value::as_str);
    // Another key than that of `names`, which is not locked any more once the address is known.
    let email = email.and_then(|email| RecordKey::new(KeyKind::ContactUpsert, email));
    upsert.upsert().into_iter().chain(email)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::savio::record::RecordKind;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// A queue of these contacts, one a line.
    fn queue(contacts: &[&str]) -> UpsertQueue {
        let mut queue = UpsertQueue::new();
        for (line, contact) in (1..).zip(contacts) {
            let text = format!(r#"{{"name": "Ada {line}", {contact}}}"#);
            queue.push(line, RecordKind::Contact.read(text.as_bytes()).unwrap(), NOW);
        }
        queue
    }

    /// Ends all that may go, until nothing is left; which lines go side by side.
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
    fn lines_of_one_internal_id_go_one_after_the_other() {
        let contacts = [r#""internal_id": 1"#, r#""internal_id": "1""#, r#""internal_id": 2"#];

        assert_eq!(waves(&contacts), [vec![1, 3], vec![2]]);
    }

    #[test]
    fn lines_of_one_address_go_one_after_the_other_though_it_is_known() {
        let contacts =
            [1, 2, 3].map(|id| format!(r#""internal_id": {id}, "email": "a@b.example""#));

        assert_eq!(waves(&contacts.each_ref().map(String::as_str)), [[1], [2], [3]]);
    }

    #[test]
    fn contacts_of_a_new_company_wait_until_it_is_known() {
        let contacts =
            [1, 2, 3].map(|id| format!(r#""internal_id": {id}, "company_internal_id": 6"#));

        assert_eq!(waves(&contacts.each_ref().map(String::as_str)), [vec![1], vec![2, 3]]);
    }

    #[test]
    fn what_failed_comes_again_when_it_is_due_and_keeps_its_place() {
        let later = NOW + Duration::from_secs(1);
        let mut queue = queue(&[r#""internal_id": 1"#, r#""internal_id": 1"#]);

        let failed = queue.take(NOW).unwrap();
        queue.again(failed, later);

        assert_eq!((queue.take(NOW), queue.next_due()), (None, Some(later)));
        assert_eq!(queue.take(later).map(|job| job.line), Some(1));
    }
}
