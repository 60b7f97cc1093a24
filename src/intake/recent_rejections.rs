//! The most recent rejected webhooks of each source, with their reasons, until they are in the store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::event::SourceName;
use crate::store::{HalfHour, RejectionBatch, RejectionFilter, RejectionRecord};

const KEPT_MAX: usize = 200;
/// Number of latest records that a new one is compared with.
// Repeats come soon after each other; comparing all 200 would make a flood cost more.
const MERGED_AMONG: usize = 20;
/// Equal rejections within this time of the first are one record.
const MERGED_WITHIN: Duration = Duration::from_mins(1);
/// Numbers that wait to be written, while the store is unavailable. Further half hours are left out.
const COUNTS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub struct RecentRejections(Mutex<Rejected>);

/// What was rejected.
#[derive(Debug, Default)]
struct Rejected {
    by_source: BTreeMap<SourceName, VecDeque<KeptRecord>>,
    /// All rejected webhooks since the last batch. Apart from the records: a flood displaces those.
    counts: BTreeMap<(SourceName, HalfHour), u64>,
}

#[derive(Debug)]
struct KeptRecord {
    record: RejectionRecord,
    /// Whether no batch has it as it is now.
    is_unwritten: bool,
}

impl RecentRejections {
    /// Counts the rejection, and adds it to an equal one. If there is none, adds it as a record, but only if
    /// `is_logged`.
    pub fn add(&self, record: RejectionRecord, is_logged: bool) {
        let mut rejected = self.rejected();
        rejected.count(&record.source, record.at);
        let kept = rejected.by_source.entry(record.source.clone()).or_default();
        let repeated = |it: &&mut KeptRecord| is_repeated_by(&it.record, &record);
        if let Some(same) = kept.iter_mut().rev().take(MERGED_AMONG).find(repeated) {
            (same.record.at, same.record.count) = (record.at, same.record.count + 1);
            same.is_unwritten = true;
            return;
        }
        // The limit of the log bounds the list too: a flood from many addresses is all new records.
        if !is_logged {
            return;
        }
        if kept.len() == KEPT_MAX {
            make_room(kept);
        }
        kept.push_back(KeptRecord { record, is_unwritten: true });
    }

    /// Returns the records that match, newest first.
    pub fn latest(&self, filter: &RejectionFilter) -> Vec<RejectionRecord> {
        let rejected = self.rejected();
        let all = rejected.by_source.values().flat_map(|kept| kept.iter().rev());
        let mut latest: Vec<RejectionRecord> =
            all.map(|it| &it.record).filter(|it| filter.matches(it)).cloned().collect();
        // A repeat moves the time of its record, not its place in the queue.
        latest.sort_by_key(|record| Reverse(record.at));
        latest
    }

    /// Returns what was rejected since the last batch; none if nothing was.
    pub(super) fn take_batch(&self) -> Option<RejectionBatch> {
        let mut rejected = self.rejected();
        if rejected.counts.is_empty() {
            return None;
        }
        let counts = std::mem::take(&mut rejected.counts);
        let mut records = Vec::new();
        for kept in rejected.by_source.values_mut().flatten().filter(|it| it.is_unwritten) {
            kept.is_unwritten = false;
            records.push(kept.record.clone());
        }
        Some(RejectionBatch { id: Uuid::new_v4(), records, counts })
    }

    fn rejected(&self) -> MutexGuard<'_, Rejected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rejected {
    fn count(&mut self, source: &SourceName, at: Timestamp) {
        let key = (source.clone(), HalfHour::of(at));
        if self.counts.len() < COUNTS_MAX || self.counts.contains_key(&key) {
            *self.counts.entry(key).or_default() += 1;
        }
    }
}

fn is_repeated_by(record: &RejectionRecord, other: &RejectionRecord) -> bool {
    // Not the reason: it may name numbers of the request, such as a position, that differ each time.
    let same = |it: &RejectionRecord| (it.error.clone(), it.client, it.hint.clone());
    let within = other.at.duration_since(record.first_at).unsigned_abs() < MERGED_WITHIN;
    within && same(record) == same(other)
}

/// Removes the oldest record of the most frequent error.
// Not the oldest of all: a flood of one error would displace the others.
fn make_room(rows: &mut VecDeque<KeptRecord>) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter() {
        *counts.entry(&row.record.error).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(error, _)| error);
    if let Some(at) = rows.iter().position(|row| Some(&*row.record.error) == most) {
        rows.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn rejection(second: i64, error: &'static str, client: u8) -> RejectionRecord {
        let at = Timestamp::from_second(second).unwrap();
        RejectionRecord {
            source: "form".parse().unwrap(),
            at,
            first_at: at,
            count: 1,
            status: 401,
            error: error.into(),
            reason: "the signature is wrong".to_owned(),
            hint: None,
            client: Some([10, 0, 0, client].into()),
            bytes: 2,
            headers: Vec::new(),
        }
    }

    fn latest(rejected: &RecentRejections) -> Vec<RejectionRecord> {
        rejected.latest(&RejectionFilter::default())
    }

    fn shown(records: &[RejectionRecord]) -> Vec<(i64, u8, u64)> {
        let client = |it: &RejectionRecord| match it.client {
            Some(IpAddr::V4(address)) => address.octets()[3],
            _ => 0,
        };
        records.iter().map(|it| (it.at.as_second(), client(it), it.count)).collect()
    }

    /// Checks the records, newest first: second, client, count.
    #[track_caller]
    fn check(rejections: &[(i64, &'static str, u8)], expected: &[(i64, u8, u64)]) {
        let rejected = RecentRejections::default();
        for (second, error, client) in rejections {
            rejected.add(rejection(*second, error, *client), true);
        }
        assert_eq!(shown(&latest(&rejected)), expected);
    }

    #[test]
    fn equal_rejections_within_a_minute_are_merged() {
        check(&[(0, "a", 1), (1, "a", 2), (50, "a", 1)], &[(50, 1, 2), (1, 2, 1)]);
        // From the first on: otherwise one row could be of a whole day.
        check(&[(0, "a", 1), (59, "a", 1), (118, "a", 1)], &[(118, 1, 1), (59, 1, 2)]);
        check(&[(0, "a", 1), (60, "a", 1), (60, "b", 1)], &[(60, 1, 1), (60, 1, 1), (0, 1, 1)]);
    }

    #[test]
    fn latest_200_rejections_are_kept() {
        let rejected = RecentRejections::default();

        for second in 0..250 {
            rejected.add(rejection(second * 100, "signature wrong", 1), true);
        }

        let last = latest(&rejected);
        let seconds = |at: usize| last[at].at.as_second();
        assert_eq!((last.len(), seconds(0), seconds(199)), (200, 24_900, 5_000));
    }

    #[test]
    fn flood_of_one_error_does_not_displace_others() {
        let rejected = RecentRejections::default();
        rejected.add(rejection(0, "too large", 1), true);

        for second in 1..1_000 {
            rejected.add(rejection(second * 100, "signature missing", 1), true);
        }
        rejected.add(rejection(200_000, "signature wrong", 2), false);

        let last = latest(&rejected);
        assert_eq!((last.len(), &*last[199].error), (200, "too large"));
        assert!(last.iter().all(|it| it.error != "signature wrong"), "its line was left out");
        let counted: u64 = rejected.take_batch().unwrap().counts.values().sum();
        assert_eq!(counted, 1_001, "each counts, also without a record");
    }

    #[test]
    fn batch_has_what_changed_since_the_one_before() {
        let rejected = RecentRejections::default();
        rejected.add(rejection(0, "a", 1), true);
        rejected.add(rejection(0, "a", 2), true);
        let batch = rejected.take_batch().unwrap();
        assert_eq!((shown(&batch.records).len(), batch.counts.values().sum::<u64>()), (2, 2));
        assert_eq!(rejected.take_batch(), None);

        rejected.add(rejection(1, "a", 2), true);

        let batch = rejected.take_batch().unwrap();
        assert_eq!(shown(&batch.records), [(1, 2, 2)]);
        assert_eq!(batch.counts.values().sum::<u64>(), 1);
    }

    #[test]
    fn counts_that_wait_are_bounded() {
        let rejected = RecentRejections::default();
        for half_hour in 0..2 * i64::try_from(COUNTS_MAX).unwrap() {
            rejected.add(rejection(half_hour * 1_800, "a", 1), false);
        }
        assert_eq!(rejected.take_batch().unwrap().counts.len(), COUNTS_MAX);
    }
}
