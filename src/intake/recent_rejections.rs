//! The most recent rejected webhooks of each source, with their reasons.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::event::SourceName;

const KEPT_MAX: usize = 200;
/// Number of latest records that a new one is compared with.
// Repeats come soon after each other; comparing all 200 would make a flood cost more.
const MERGED_AMONG: usize = 20;
/// Equal rejections within this time are one record.
const MERGED_WITHIN: Duration = Duration::from_mins(1);

type RejectionsBySource = BTreeMap<SourceName, VecDeque<RejectionRecord>>;

#[derive(Debug, Default)]
pub struct RecentRejections(Mutex<RejectionsBySource>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectionRecord {
    /// Time of the last one.
    pub at: Timestamp,
    pub status: u16,
    /// One of a few fixed texts.
    pub error: &'static str,
    pub reason: String,
    /// Probable cause and what to change. Never part of a response.
    pub hint: Option<String>,
    pub client: Option<IpAddr>,
    /// Number of equal rejections, each within a minute of the one before.
    pub count: u64,
}

impl RejectionRecord {
    fn is_repeated_by(&self, other: &RejectionRecord) -> bool {
        // Not the reason: it may quote numbers of the request, such as a position, that differ each
        // time.
        let same = |one: &RejectionRecord| (one.error, one.client, one.hint.clone());
        let within = other.at.duration_since(self.at).unsigned_abs() < MERGED_WITHIN;
        within && same(self) == same(other)
    }
}

impl RecentRejections {
    /// Counts the rejection with an equal one. If there is none, adds it, but only if `is_logged`.
    pub fn add(&self, source: &SourceName, record: RejectionRecord, is_logged: bool) {
        let mut by_source = self.by_source();
        let last = by_source.entry(source.clone()).or_default();
        let same = last.iter_mut().rev().take(MERGED_AMONG).find(|it| it.is_repeated_by(&record));
        if let Some(same) = same {
            (same.at, same.count) = (record.at, same.count + 1);
            return;
        }
        // The limit of the log bounds the list too: a flood from many addresses is all new records.
        if !is_logged {
            return;
        }
        if last.len() == KEPT_MAX {
            make_room(last);
        }
        last.push_back(record);
    }

    /// Returns the records of a source, newest first.
    pub fn latest(&self, source: &SourceName) -> Vec<RejectionRecord> {
        let mut last: Vec<RejectionRecord> =
            self.by_source().get(source).into_iter().flatten().rev().cloned().collect();
        // A repeat moves the time of its record, not its place in the queue.
        last.sort_by_key(|record| Reverse(record.at));
        last
    }

    fn by_source(&self) -> MutexGuard<'_, RejectionsBySource> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the oldest record of the most frequent error.
// Not the oldest of all: a flood of one error would displace the others.
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

    fn rejection(second: i64, error: &'static str, client: u8) -> RejectionRecord {
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

    /// Checks the records, newest first: second, client, count.
    #[track_caller]
    fn check(rejections: &[(i64, &'static str, u8)], expected: &[(i64, u8, u64)]) {
        let rejected = RecentRejections::default();
        let source: SourceName = "form".parse().unwrap();
        for (second, error, client) in rejections {
            rejected.add(&source, rejection(*second, error, *client), true);
        }
        let client = |it: &RejectionRecord| match it.client {
            Some(IpAddr::V4(address)) => address.octets()[3],
            _ => 0,
        };
        let last = rejected.latest(&source);
        let last: Vec<_> =
            last.iter().map(|it| (it.at.as_second(), client(it), it.count)).collect();
        assert_eq!(last, expected);
    }

    #[test]
    fn equal_rejections_within_a_minute_are_merged() {
        check(&[(0, "a", 1), (1, "a", 2), (50, "a", 1)], &[(50, 1, 2), (1, 2, 1)]);
        check(&[(0, "a", 1), (59, "a", 1), (118, "a", 1)], &[(118, 1, 3)]);
        check(&[(0, "a", 1), (60, "a", 1), (60, "b", 1)], &[(60, 1, 1), (60, 1, 1), (0, 1, 1)]);
    }

    #[test]
    fn latest_200_rejections_are_kept() {
        let rejected = RecentRejections::default();
        let source: SourceName = "form".parse().unwrap();

        for second in 0..250 {
            rejected.add(&source, rejection(second * 100, "signature wrong", 1), true);
        }

        let last = rejected.latest(&source);
        let seconds = |at: usize| last[at].at.as_second();
        assert_eq!((last.len(), seconds(0), seconds(199)), (200, 24_900, 5_000));
    }

    #[test]
    fn flood_of_one_error_does_not_displace_others() {
        let rejected = RecentRejections::default();
        let source: SourceName = "form".parse().unwrap();
        rejected.add(&source, rejection(0, "too large", 1), true);

        for second in 1..1_000 {
            rejected.add(&source, rejection(second * 100, "signature missing", 1), true);
        }
        rejected.add(&source, rejection(200_000, "signature wrong", 2), false);

        let last = rejected.latest(&source);
        assert_eq!((last.len(), last[199].error), (200, "too large"));
        assert!(last.iter().all(|it| it.error != "signature wrong"), "its line was left out");
    }
}
