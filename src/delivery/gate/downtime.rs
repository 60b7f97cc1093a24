//! The times in which nothing could be sent to a destination. They do not count towards
//! `give_up_after`.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Number of spans that are kept; the two oldest are merged beyond it.
// Merging keeps the sum, and thus is exact for all events except those whose first attempt was
// between the two.
const SPANS_MAX: usize = 64;

/// Spans of time, oldest first, without overlap; the last one may end in the future.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Downtime(Vec<DowntimeSpan>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct DowntimeSpan {
    from: Timestamp,
    until: Timestamp,
}

impl Downtime {
    /// Replaces what was foreseen from `now` on: downtime until then, or none.
    pub(super) fn set(&mut self, now: Timestamp, until: Option<Timestamp>) {
        if let Some(last) = self.0.last_mut() {
            last.until = last.until.min(now);
        }
        self.0.retain(|span| span.from < span.until);
        let Some(until) = until.filter(|until| *until > now) else { return };
        match self.0.last_mut() {
            Some(last) if last.until == now => last.until = until,
            _ => self.0.push(DowntimeSpan { from: now, until }),
        }
        if self.0.len() > SPANS_MAX {
            let oldest = self.0.remove(0);
            let next = &mut self.0[0];
            // Moved next to the later one, so that the spans stay sorted and without overlap.
            next.from = next.from.saturating_sub(oldest.length()).unwrap_or(next.from);
        }
    }

    /// Returns when the last span began.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.0.last().map(|span| span.from)
    }

    /// Returns whether the last span begins in the future because the clock was set back.
    pub(super) fn begins_after(&self, now: Timestamp) -> bool {
        self.0.last().is_some_and(|span| span.from > now)
    }

    /// Returns the total downtime between the two times.
    pub(super) fn between(&self, since: Timestamp, now: Timestamp) -> Duration {
        let within = |span: &DowntimeSpan| DowntimeSpan {
            from: span.from.max(since),
            until: span.until.min(now),
        };
        self.0.iter().map(|span| within(span).length()).sum()
    }
}

impl DowntimeSpan {
    fn length(&self) -> Duration {
        Duration::try_from(self.until.duration_since(self.from)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Checks the downtime between two times after these changes: the time of each, and the end of
    /// downtime from then on.
    fn check(changes: &[(i64, Option<i64>)], (since, now): (i64, i64), seconds: u64) {
        let mut downtime = Downtime::default();
        for (at_second, until) in changes {
            downtime.set(at(*at_second), until.map(at));
        }
        let total = downtime.between(at(since), at(now));
        assert_eq!(total, Duration::from_secs(seconds), "{changes:?}");
    }

    #[test]
    fn downtime_is_summed_between_two_times() {
        check(&[], (0, 100), 0);
        check(&[(10, Some(30))], (0, 100), 20);
        check(&[(10, Some(30))], (20, 25), 5);
        check(&[(10, Some(30))], (40, 100), 0);
        check(&[(10, Some(30)), (50, Some(60))], (0, 55), 25);
    }

    #[test]
    fn later_change_replaces_foreseen_downtime() {
        check(&[(10, Some(1_000)), (20, None)], (0, 100), 10);
        check(&[(10, Some(30)), (20, Some(50))], (0, 100), 40);
        check(&[(10, Some(30)), (10, None)], (0, 100), 0);
        check(&[(10, Some(5))], (0, 100), 0);
    }

    proptest! {
        #[test]
        fn merged_spans_keep_the_total_downtime(gaps in prop::collection::vec((1_i64..9, 1_i64..9), 0..300)) {
            let (mut downtime, mut now, mut sum) = (Downtime::default(), 0, 0);
            for (up, down) in gaps {
                downtime.set(at(now + up), Some(at(now + up + down)));
                now += up + down;
                sum += down;
            }
            prop_assert!(downtime.0.len() <= SPANS_MAX);
            prop_assert_eq!(downtime.between(at(-10_000), at(now)).as_secs(), sum.unsigned_abs());
        }
    }
}
