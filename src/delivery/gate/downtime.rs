//! When a destination could not be tried, so that no event grows old in that time.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Older ones are put together, which is exact for all events but those queued between them.
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
    /// From `now` on it stands still until then, or it goes, whatever was said before.
    pub(super) fn turn(&mut self, now: Timestamp, until: Option<Timestamp>) {
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
            next.from = next.from.saturating_sub(oldest.length()).unwrap_or(next.from);
        }
    }

    /// Whether the last one begins later than now, because the clock was set back.
    pub(super) fn begins_after(&self, now: Timestamp) -> bool {
        self.0.last().is_some_and(|span| span.from > now)
    }

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

    /// Where it stands still and until when, at each turn.
    fn check(turns: &[(i64, Option<i64>)], (since, now): (i64, i64), seconds: u64) {
        let mut standstill = Downtime::default();
        for (turn, until) in turns {
            standstill.turn(at(*turn), until.map(at));
        }
        let still = standstill.between(at(since), at(now));
        assert_eq!(still, Duration::from_secs(seconds), "{turns:?}");
    }

    #[test]
    fn time_within_a_standstill_is_told_from_time_outside() {
        check(&[], (0, 100), 0);
        check(&[(10, Some(30))], (0, 100), 20);
        check(&[(10, Some(30))], (20, 25), 5);
        check(&[(10, Some(30))], (40, 100), 0);
        check(&[(10, Some(30)), (50, Some(60))], (0, 55), 25);
    }

    #[test]
    fn a_later_turn_replaces_what_was_foreseen() {
        check(&[(10, Some(1_000)), (20, None)], (0, 100), 10);
        check(&[(10, Some(30)), (20, Some(50))], (0, 100), 40);
        check(&[(10, Some(30)), (10, None)], (0, 100), 0);
        check(&[(10, Some(5))], (0, 100), 0);
    }

    proptest! {
        #[test]
        fn the_sum_is_kept_however_many_spans_there_were(gaps in prop::collection::vec((1_i64..9, 1_i64..9), 0..300)) {
            let (mut standstill, mut now, mut sum) = (Downtime::default(), 0, 0);
            for (going, still) in gaps {
                standstill.turn(at(now + going), Some(at(now + going + still)));
                now += going + still;
                sum += still;
            }
            prop_assert!(standstill.0.len() <= SPANS_MAX);
            prop_assert_eq!(standstill.between(at(-10_000), at(now)).as_secs(), sum.unsigned_abs());
        }
    }
}
