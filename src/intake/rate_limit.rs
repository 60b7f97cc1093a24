//! How often a source may do something: token buckets, as many tokens as the rate's count.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::event::SourceName;
use crate::rate::client_key::ClientKey;
use crate::rate::{Rate, TokenBucket};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LimitedAction {
    Webhook,
    Hint,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct RateLimit {
    action: LimitedAction,
    rate: Rate,
}

/// For looking into wrong signatures.
pub(super) const HINTS: RateLimit = RateLimit { action: LimitedAction::Hint, rate: per_second(2) };

pub(super) fn webhooks(rate: Rate) -> RateLimit {
    RateLimit { action: LimitedAction::Webhook, rate }
}

const fn per_second(count: u32) -> Rate {
    Rate { count, period: Duration::from_secs(1) }
}

#[derive(Debug, Default)]
pub(super) struct RateLimiters(Mutex<BTreeMap<(SourceName, LimitedAction), TokenBucket>>);

impl RateLimiters {
    /// Otherwise says how long to wait.
    pub(super) fn take(
        &self,
        source: &SourceName,
        RateLimit { action: deed, rate }: RateLimit,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = TokenBucket::full(rate, now);
        buckets.entry((source.clone(), deed)).or_insert(full).take(rate, now)
    }
}

/// From one unsigned handshake of a client to the next.
const HANDSHAKES_APART: Duration = Duration::from_secs(1);

/// How many clients are remembered; of more the oldest are forgotten, who may then ask sooner.
const CLIENTS_MAX: usize = 4_096;

/// A client of a source; none: a proxy that stands for its clients, or nobody known.
type SourceClient = (SourceName, Option<ClientKey>);

/// Unsigned handshakes, at most one a second for each client of a source: one client alone cannot keep
/// a provider from testing the address.
#[derive(Debug, Default)]
pub(super) struct Handshakes(Mutex<LastHandshakes>);

#[derive(Debug, Default)]
struct LastHandshakes {
    /// When it was, for those of the last second.
    last: BTreeMap<SourceClient, Instant>,
    /// The same, oldest first.
    order: VecDeque<(Instant, SourceClient)>,
}

impl Handshakes {
    /// Otherwise says how long to wait.
    pub(super) fn take(
        &self,
        source: &SourceName,
        client: Option<ClientKey>,
        now: Instant,
    ) -> Result<(), Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take((source.clone(), client), now)
    }
}

impl LastHandshakes {
    fn take(&mut self, client: SourceClient, now: Instant) -> Result<(), Duration> {
        let passed = |at: Instant| now.saturating_duration_since(at);
        while self.order.front().is_some_and(|(at, _)| passed(*at) >= HANDSHAKES_APART) {
            self.forget_oldest();
        }
        if let Some(at) = self.last.get(&client) {
            return Err(HANDSHAKES_APART.saturating_sub(passed(*at)));
        }
        while self.order.len() >= CLIENTS_MAX {
            self.forget_oldest();
        }
        self.last.insert(client.clone(), now);
        self.order.push_back((now, client));
        Ok(())
    }

    fn forget_oldest(&mut self) {
        if let Some((_, client)) = self.order.pop_front() {
            self.last.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(last: &mut LastHandshakes, client: u32, at: Instant) -> bool {
        let address = std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(client));
        let client = ("form".parse().unwrap(), Some(address.into()));
        last.take(client, at).is_ok()
    }

    #[test]
    fn each_client_has_one_handshake_a_second() {
        let (mut last, start) = (LastHandshakes::default(), Instant::now());
        let tries = [(1, 0), (1, 999), (2, 999), (1, 1_000), (1, 1_999), (2, 1_999), (1, 2_000)];
        let taken =
            tries.map(|(client, ms)| ask(&mut last, client, start + Duration::from_millis(ms)));
        assert_eq!(taken, [true, false, true, true, false, true, true]);
    }

    #[test]
    fn flood_of_clients_is_remembered_within_bounds() {
        let (mut last, now) = (LastHandshakes::default(), Instant::now());
        let many = u32::try_from(CLIENTS_MAX).unwrap() + 10;

        assert!((0..many).all(|client| ask(&mut last, client, now)));

        assert_eq!((last.last.len(), last.order.len()), (CLIENTS_MAX, CLIENTS_MAX));
        // The oldest were forgotten, the newest were not.
        assert!(ask(&mut last, 0, now) && !ask(&mut last, many - 1, now));
    }

    /// How many of the tries at each of these milliseconds succeed.
    #[track_caller]
    fn check(rate: &str, tries: &[(u64, usize)], expected: &[usize]) {
        let (rate, start): (Rate, _) = (rate.parse().unwrap(), Instant::now());
        let paces = RateLimiters::default();
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
