//! The webhooks that were refused at the door: the last ones, with their reasons.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::event::SourceName;

const KEPT_MAX: usize = 200;
/// Equal ones within this time are one.
/// How many of the last are compared with a new one: who repeats himself does so soon, and a flood is not
/// to cost much.
const MERGED_AMONG: usize = 20;
const MERGED_WITHIN: Duration = Duration::from_mins(1);

type RejectionsBySource = BTreeMap<SourceName, VecDeque<RejectionRecord>>;

#[derive(Debug, Default)]
pub struct RecentRejections(Mutex<RejectionsBySource>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectionRecord {
    /// Of the last one.
    pub at: Timestamp,
    pub status: u16,
    /// One of a few fixed texts.
    pub error: &'static str,
    pub reason: String,
    /// What is probably to be changed; nobody who sends is told.
    pub hint: Option<String>,
    pub client: Option<IpAddr>,
    /// How many there were, one soon after the other.
    pub count: u64,
}

impl RejectionRecord {
    fn is_repeated_by(&self, other: &RejectionRecord) -> bool {
        let same = |one: &RejectionRecord| (one.error, one.client, one.hint.clone());
        let within = other.at.duration_since(self.at).unsigned_abs() < MERGED_WITHIN;
        within && same(self) == same(other)
    }
}

impl RecentRejections {
    /// Counts one more of its kind; where there is none, adds it if `is_new_told`.
    pub fn add(&self, source: &SourceName, refusal: RejectionRecord, is_new_told: bool) {
        let mut book = self.book();
        let last = book.entry(source.clone()).or_default();
        let same = last.iter_mut().rev().take(MERGED_AMONG).find(|it| it.is_repeated_by(&refusal));
        if let Some(same) = same {
            (same.at, same.count) = (refusal.at, same.count + 1);
            return;
        }
        if !is_new_told {
            return;
        }
        if last.len() == KEPT_MAX {
            make_room(last);
        }
        last.push_back(refusal);
    }

    /// The last ones of a source, newest first.
    pub fn last(&self, source: &SourceName) -> Vec<RejectionRecord> {
        let mut last: Vec<RejectionRecord> =
            self.book().get(source).into_iter().flatten().rev().cloned().collect();
        last.sort_by_key(|refusal| Reverse(refusal.at));
        last
    }

    fn book(&self) -> MutexGuard<'_, RejectionsBySource> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The oldest of the most frequent error goes: a flood takes no row from other errors.
fn make_room(rows: &mut VecDeque<RejectionRecord>) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter() {
        *counts.entry(row.error).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(error, _)| error);
    if let Some(at) = rows.iter().position(|row| Some(row.error) == most) {
        rows.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(second: i64, error: &'static str, client: u8) -> RejectionRecord {
        RejectionRecord {
            at: Timestamp::from_second(second).unwrap(),
            status: 401,
            error,
            reason: "the signature is wrong".to_owned(),
            hint: None,
            client: Some([10, 0, 0, client].into()),
            count: 1,
        }
    }

    /// What is kept of these, newest first: when, from whom, how often.
    #[track_caller]
    fn check(refusals: &[(i64, &'static str, u8)], expected: &[(i64, u8, u64)]) {
        let rejected = RecentRejections::default();
        let source: SourceName = "form".parse().unwrap();
        for (second, error, client) in refusals {
            rejected.add(&source, refusal(*second, error, *client), true);
        }
        let client = |it: &RejectionRecord| match it.client {
            Some(IpAddr::V4(address)) => address.octets()[3],
            _ => 0,
        };
        let last = rejected.last(&source);
        let last: Vec<_> =
            last.iter().map(|it| (it.at.as_second(), client(it), it.count)).collect();
        assert_eq!(last, expected);
    }

    #[test]
    fn equal_ones_within_a_minute_are_one_row() {
        check(&[(0, "a", 1), (1, "a", 2), (50, "a", 1)], &[(50, 1, 2), (1, 2, 1)]);
        check(&[(0, "a", 1), (59, "a", 1), (118, "a", 1)], &[(118, 1, 3)]);
        check(&[(0, "a", 1), (60, "a", 1), (60, "b", 1)], &[(60, 1, 1), (60, 1, 1), (0, 1, 1)]);
    }

    #[test]
    fn last_200_are_kept() {
        let rejected = RecentRejections::default();
        let source: SourceName = "form".parse().unwrap();

        for second in 0..250 {
            rejected.add(&source, refusal(second * 100, "signature wrong", 1), true);
        }

        let last = rejected.last(&source);
        let seconds = |at: usize| last[at].at.as_second();
        assert_eq!((last.len(), seconds(0), seconds(199)), (200, 24_900, 5_000));
    }

    #[test]
    fn flood_of_one_error_leaves_the_others_in_the_list() {
        let rejected = RecentRejections::default();
        let source: SourceName = "form".parse().unwrap();
        rejected.add(&source, refusal(0, "too large", 1), true);

        for second in 1..1_000 {
            rejected.add(&source, refusal(second * 100, "signature missing", 1), true);
        }
        rejected.add(&source, refusal(200_000, "signature wrong", 2), false);

        let last = rejected.last(&source);
        assert_eq!((last.len(), last[199].error), (200, "too large"));
        assert!(last.iter().all(|it| it.error != "signature wrong"), "its line was left out");
    }
}
