//! Rate limits: token buckets for each source, and one unsigned handshake a second for each client.

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

/// Limit for diagnoses of wrong signatures. A sender needs one to fix its signature, and each takes up to 60 ms.
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
    /// Takes a token, or returns the wait for the next one.
    pub(super) fn take(
        &self,
        source: &SourceName,
        RateLimit { action, rate }: RateLimit,
        now: Instant,
    ) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = TokenBucket::full(rate, now);
        // The bucket stays when a reload changes the rate: a new one would be full again at each
        // reload.
        buckets.entry((source.clone(), action)).or_insert(full).try_take(rate, now)
    }
}

/// Interval between unsigned handshakes of one client.
const HANDSHAKES_APART: Duration = Duration::from_secs(1);

/// Number of clients that are remembered. With more, the oldest are forgotten and may repeat sooner, which
/// needs 4,096 addresses within a second.
const CLIENTS_MAX: usize = 4_096;

/// A client of a source; none for all clients that are not known, such as those of one proxy.
type SourceClient = (SourceName, Option<ClientKey>);

/// Unsigned handshakes: at most one a second for each client of a source.
// For each client, since with one limit for all, anybody could keep a provider from testing the
// address.
#[derive(Debug, Default)]
pub(super) struct Handshakes(Mutex<LastHandshakes>);

#[derive(Debug, Default)]
struct LastHandshakes {
    /// The last handshake of each client, for those of the last second.
    last: BTreeMap<SourceClient, Instant>,
    /// The same, oldest first.
    order: VecDeque<(Instant, SourceClient)>,
}

impl Handshakes {
    /// Records a handshake, or returns the wait for the next one.
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

    fn is_admitted(last: &mut LastHandshakes, client: u32, at: Instant) -> bool {
        let address = std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(client));
        let client = ("form".parse().unwrap(), Some(address.into()));
        last.take(client, at).is_ok()
    }

    #[test]
    fn each_client_has_one_handshake_a_second() {
        let (mut last, start) = (LastHandshakes::default(), Instant::now());
        let tries = [(1, 0), (1, 999), (2, 999), (1, 1_000), (1, 1_999), (2, 1_999), (1, 2_000)];
        let taken = tries
            .map(|(client, ms)| is_admitted(&mut last, client, start + Duration::from_millis(ms)));
        assert_eq!(taken, [true, false, true, true, false, true, true]);
    }

    #[test]
    fn flood_of_clients_is_remembered_within_bounds() {
        let (mut last, now) = (LastHandshakes::default(), Instant::now());
        let many = u32::try_from(CLIENTS_MAX).unwrap() + 10;

        assert!((0..many).all(|client| is_admitted(&mut last, client, now)));

        assert_eq!((last.last.len(), last.order.len()), (CLIENTS_MAX, CLIENTS_MAX));
        // The oldest were forgotten, the newest were not.
        assert!(is_admitted(&mut last, 0, now) && !is_admitted(&mut last, many - 1, now));
    }

    /// Counts how many of the tries at each of these milliseconds are admitted.
    #[track_caller]
    fn check(rate: &str, tries: &[(u64, usize)], expected: &[usize]) {
        let (rate, start): (Rate, _) = (rate.parse().unwrap(), Instant::now());
        let limiters = RateLimiters::default();
        let source: SourceName = "form".parse().unwrap();
        let taken = tries.iter().map(|(at, count)| {
            let now = start + Duration::from_millis(*at);
            let take = || limiters.take(&source, webhooks(rate), now).is_ok();
            (0..*count).filter(|_| take()).count()
        });
        assert_eq!(taken.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn webhooks_within_the_rate_are_admitted() {
        check("2/s", &[(0, 5), (499, 1), (500, 1), (9_000, 5)], &[2, 0, 1, 2]);
        check("60/m", &[(0, 100), (1_000, 5)], &[60, 1]);
        check("1/h", &[(0, 2), (3_599_999, 1), (3_600_000, 1)], &[1, 0, 1]);
    }

    #[test]
    fn time_that_was_read_earlier_adds_no_token() {
        check("1/s", &[(5_000, 2), (0, 1), (900, 1), (5_900, 1), (6_000, 1)], &[1, 0, 0, 0, 1]);
    }
}
