//! How often a source may do something: token buckets, as many tokens as the rate's count.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::SourceName;
use crate::rate::{Bucket, Rate};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Webhook,
    Handshake,
    Hint,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    deed: Deed,
    rate: Rate,
}

/// For those that nobody signed.
pub(super) const HANDSHAKES: Pace = Pace { deed: Deed::Handshake, rate: per_second(1) };

/// For looking into wrong signatures.
pub(super) const HINTS: Pace = Pace { deed: Deed::Hint, rate: per_second(2) };

pub(super) fn webhooks(rate: Rate) -> Pace {
    Pace { deed: Deed::Webhook, rate }
}

const fn per_second(count: u32) -> Rate {
    Rate { count, period: Duration::from_secs(1) }
}

#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<BTreeMap<(SourceName, Deed), Bucket>>);

impl Paces {
    /// Otherwise says how long to wait.
    pub(super) fn take(
        &self,
        source: &SourceName,
        Pace { deed, rate }: Pace,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket::full(rate, now);
        buckets.entry((source.clone(), deed)).or_insert(full).take(rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the tries at each of these milliseconds succeed.
    #[track_caller]
    fn check(rate: &str, tries: &[(u64, usize)], expected: &[usize]) {
        let (rate, start): (Rate, _) = (rate.parse().unwrap(), Instant::now());
        let paces = Paces::default();
        let source: SourceName = "form".parse().unwrap();
        let taken = tries.iter().map(|(at, count)| {
            let now = start + Duration::from_millis(*at);
            let take = || paces.take(&source, webhooks(rate), now).is_ok();
            (0..*count).filter(|_| take()).count()
        });
        assert_eq!(taken.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn as_many_as_the_rate_says_may_pass() {
        check("2/s", &[(0, 5), (499, 1), (500, 1), (9_000, 5)], &[2, 0, 1, 2]);
        check("60/m", &[(0, 100), (1_000, 5)], &[60, 1]);
        check("1/h", &[(0, 2), (3_599_999, 1), (3_600_000, 1)], &[1, 0, 1]);
    }

    #[test]
    fn a_time_that_was_read_earlier_fills_nothing() {
        check("1/s", &[(5_000, 2), (0, 1), (900, 1), (5_900, 1), (6_000, 1)], &[1, 0, 0, 0, 1]);
    }
}
