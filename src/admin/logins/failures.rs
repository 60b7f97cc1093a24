//! Limits of failed logins, for each client and for all. Logins that succeed are not counted.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::rate::Rate;
use crate::rate::client_key::ClientKey;

/// Failures of all clients. A guess costs nothing else, so this is what bounds guessing.
const ALL: Rate = Rate { count: 5, period: Duration::from_secs(1) };

/// Failures of one client: some at once, as people mistype, and fewer in the long run.
const OF_ONE: Rate = Rate { count: 5, period: Duration::from_secs(10) };

/// A client; none for those of a proxy, which are not told apart.
type LoginClient = Option<ClientKey>;

/// The failures of the last ten seconds, oldest first.
// `ALL` bounds them: 5 in each second make at most 55.
#[derive(Debug, Default)]
pub(super) struct LoginFailures(Mutex<VecDeque<(Instant, LoginClient)>>);

impl LoginFailures {
    /// Checks what a client presents, unless it or all together failed too often: then returns the
    /// wait. A check that returns none counts as a failure.
    // Checked under the lock: requests at the same time would otherwise all be within the limits.
    pub(super) fn attempt<T>(
        &self,
        client: LoginClient,
        now: Instant,
        check: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, Duration> {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = |at: Instant| now.saturating_duration_since(at);
        while failures.front().is_some_and(|(at, _)| passed(*at) >= OF_ONE.period) {
            failures.pop_front();
        }
        let wait = |rate: Rate, is_counted: &dyn Fn(LoginClient) -> bool| {
            let newest = failures.iter().rev().filter(|(_, client)| is_counted(*client));
            let count = usize::try_from(rate.count).unwrap_or(usize::MAX);
            // The last of as many as are allowed: when it has passed, the next one may fail.
            let (at, _) = newest.take(count).nth(count.saturating_sub(1))?;
            rate.period.checked_sub(passed(*at)).filter(|wait| !wait.is_zero())
        };
        let of_all = wait(ALL, &|_| true);
        let own = client.and_then(|own| wait(OF_ONE, &|it| it == Some(own)));
        if let Some(wait) = of_all.max(own) {
            return Err(wait);
        }
        let checked = check();
        if checked.is_none() {
            failures.push_back((now, client));
        }
        Ok(checked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct LoginAttempts {
        failures: LoginFailures,
        start: Instant,
    }

    impl LoginAttempts {
        fn new() -> LoginAttempts {
            LoginAttempts { failures: LoginFailures::default(), start: Instant::now() }
        }

        fn attempt(&self, client: &str, ms: u64, is_right: bool) -> Result<bool, Duration> {
            let client = Some(client.parse::<std::net::IpAddr>().unwrap().into());
            let now = self.start + Duration::from_millis(ms);
            self.failures.attempt(client, now, || is_right.then_some(())).map(|it| it.is_some())
        }
    }

    #[test]
    fn successes_are_not_counted() {
        let door = LoginAttempts::new();
        for _ in 0..100 {
            assert_eq!(door.attempt("10.0.0.1", 0, true), Ok(true));
        }
        assert_eq!(door.attempt("10.0.0.1", 0, false), Ok(false));
    }

    #[test]
    fn client_that_failed_often_waits_and_others_do_not() {
        let door = LoginAttempts::new();
        for number in 0..5 {
            assert_eq!(door.attempt("10.0.0.1", number * 300, false), Ok(false));
        }
        let wait = door.attempt("10.0.0.1", 3_000, true).unwrap_err();
        assert_eq!(wait, Duration::from_secs(7));
        assert_eq!(door.attempt("10.0.0.2", 3_000, true), Ok(true));
        assert_eq!(door.attempt("10.0.0.1", 10_000, true), Ok(true));
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let door = LoginAttempts::new();
        for number in 0..5 {
            let client = format!("2001:db8::{number}");
            assert_eq!(door.attempt(&client, number * 300, false), Ok(false));
        }
        assert!(door.attempt("2001:db8::ffff", 3_000, true).is_err());
    }

    #[test]
    fn failures_of_all_clients_are_limited_and_few_are_kept() {
        let door = LoginAttempts::new();
        let mut failed = 0;
        for number in 0..10_000_u64 {
            let client = format!("10.1.{}.{}", number / 256 % 256, number % 256);
            failed += u32::from(door.attempt(&client, number, false) == Ok(false));
        }
        assert_eq!(failed, 50);
        assert!(door.failures.0.lock().unwrap().len() <= 55);
        assert!(door.attempt("10.9.9.9", 9_999, true).unwrap_err() < Duration::from_secs(1));
    }
}
