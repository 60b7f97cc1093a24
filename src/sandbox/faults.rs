//! Faults on demand: which requests fail, and how.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use fastrand::Rng;

use crate::rate::{Rate, TokenBucket};

/// Faults to inject. Shares are of all requests that the rate admits.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// Requests that are answered with these statuses and have no effect.
    pub fail: Vec<FailureRate>,
    /// Delay before each request is handled.
    pub latency: Duration,
    /// Requests that are never answered and have no effect.
    pub hang: Share,
    /// Requests whose connection is reset, half of them after they took effect.
    pub reset: Share,
    /// Rate above which requests are answered 429.
    pub rate: Option<Rate>,
    /// Seed of the random numbers. The same seed gives the same faults, in order of the requests.
    pub seed: u64,
}

/// A share of all requests, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Share(f64);

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FailureRate {
    pub status: StatusCode,
    pub share: Share,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFaults {
    #[error("a share of the requests is a number from 0 to 1, such as 0.1")]
    Share,
    #[error("write a status from 300 to 599 and the share of the requests, such as 500:0.1")]
    Failing,
    #[error("the shares of --fail, --hang and --reset are more than 1 together")]
    TooMany,
}

impl FromStr for Share {
    type Err = InvalidFaults;

    fn from_str(text: &str) -> Result<Share, InvalidFaults> {
        let share = text.trim().parse().ok().filter(|share| (0.0..=1.0).contains(share));
        share.map(Share).ok_or(InvalidFaults::Share)
    }
}

impl FromStr for FailureRate {
    type Err = InvalidFaults;

    fn from_str(text: &str) -> Result<FailureRate, InvalidFaults> {
        let (status, share) = text.split_once(':').ok_or(InvalidFaults::Failing)?;
        let status: u16 = status.trim().parse().map_err(|_| InvalidFaults::Failing)?;
        let status = StatusCode::from_u16(status).map_err(|_| InvalidFaults::Failing)?;
        if !(300..600).contains(&status.as_u16()) {
            return Err(InvalidFaults::Failing);
        }
        Ok(FailureRate { status, share: share.parse()? })
    }
}

impl Faults {
    /// Fails if the shares are more than 1 together.
    pub fn check(&self) -> Result<(), InvalidFaults> {
        // The sum of ten times 0.1 is not exactly 1.
        const ROUNDING: f64 = 1e-9;
        if self.shares() > 1.0 + ROUNDING { Err(InvalidFaults::TooMany) } else { Ok(()) }
    }

    /// Returns whether the faults depend on the seed.
    pub fn is_random(&self) -> bool {
        self.shares() > 0.0
    }

    fn shares(&self) -> f64 {
        let fail: f64 = self.fail.iter().map(|failing| failing.share.0).sum();
        fail + self.hang.0 + self.reset.0
    }
}

/// Fault that one request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Fail(StatusCode),
    Hang,
    ResetBefore,
    ResetAfter,
}

/// Chooses the fault of each request.
#[derive(Debug)]
pub(super) struct FaultInjector {
    faults: Faults,
    sequence: Mutex<FaultSequence>,
}

#[derive(Debug)]
struct FaultSequence {
    random: Rng,
    bucket: Option<(Rate, TokenBucket)>,
}

impl FaultInjector {
    pub(super) fn new(faults: Faults, now: Instant) -> FaultInjector {
        let random = Rng::with_seed(faults.seed);
        let bucket = faults.rate.map(|rate| (rate, TokenBucket::full(rate, now)));
        FaultInjector { faults, sequence: Mutex::new(FaultSequence { random, bucket }) }
    }

    pub(super) fn latency(&self) -> Duration {
        self.faults.latency
    }

    /// Returns the fault of the next request, if any. The error is the time until the rate admits
    /// one.
    pub(super) fn next(&self, now: Instant) -> Result<Option<Fault>, Duration> {
        let mut sequence = self.sequence.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the draw: how many requests the rate refuses depends on timing, and should not
        // change the faults of the others.
        if let Some((rate, bucket)) = &mut sequence.bucket {
            bucket.try_take(*rate, now)?;
        }
        Ok(self.draw(&mut sequence.random))
    }

    fn draw(&self, random: &mut Rng) -> Option<Fault> {
        // Both are drawn for each request, so that a change of one share does not shift the faults
        // of the others.
        let (mut drawn, is_late) = (random.f64(), random.bool());
        let mut hits = |share: Share| {
            drawn -= share.0;
            drawn < 0.0
        };
        if hits(self.faults.hang) {
            return Some(Fault::Hang);
        }
        if hits(self.faults.reset) {
            return Some(if is_late { Fault::ResetAfter } else { Fault::ResetBefore });
        }
        let failing = self.faults.fail.iter().find(|failing| hits(failing.share));
        failing.map(|failing| Fault::Fail(failing.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(faults: &Faults, count: usize) -> Vec<Option<Fault>> {
        let now = Instant::now();
        let injector = FaultInjector::new(faults.clone(), now);
        (0..count).map(|_| injector.next(now).unwrap()).collect()
    }

    fn faults() -> Faults {
        let fail = vec!["500:0.2".parse().unwrap(), "429:0.1".parse().unwrap()];
        let tenth = "0.1".parse().unwrap();
        Faults { fail, hang: tenth, reset: "0.2".parse().unwrap(), seed: 7, ..Faults::default() }
    }

    #[test]
    fn each_fault_occurs_by_its_share() {
        let drawn = drawn(&faults(), 10_000);

        let share =
            |fault: Option<Fault>| drawn.iter().filter(|drawn| **drawn == fault).count() / 100;
        for (fault, around) in [
            (Some(Fault::Fail(StatusCode::INTERNAL_SERVER_ERROR)), 20),
            (Some(Fault::Fail(StatusCode::TOO_MANY_REQUESTS)), 10),
            (Some(Fault::Hang), 10),
            (Some(Fault::ResetBefore), 10),
            (Some(Fault::ResetAfter), 10),
            (None, 40),
        ] {
            assert!(share(fault).abs_diff(around) < 3, "{fault:?}: {}", share(fault));
        }
    }

    #[test]
    fn same_seed_gives_the_same_faults() {
        let other = Faults { seed: 8, ..faults() };

        assert_eq!(drawn(&faults(), 100), drawn(&faults(), 100));
        assert_ne!(drawn(&faults(), 100), drawn(&other, 100));
    }

    #[test]
    fn shares_of_zero_and_one_are_exact() {
        let all = Faults { hang: "1".parse().unwrap(), ..Faults::default() };

        assert!(drawn(&Faults::default(), 1_000).iter().all(Option::is_none));
        assert!(drawn(&all, 1_000).iter().all(|fault| *fault == Some(Fault::Hang)));
    }

    #[test]
    fn request_beyond_the_rate_gets_the_time_to_wait() {
        let rate = Rate { count: 2, period: Duration::from_secs(10) };
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let injector = FaultInjector::new(Faults { rate: Some(rate), ..Faults::default() }, start);

        let admitted: Vec<bool> = [0, 0, 1, 6, 7].map(|s| injector.next(at(s)).is_ok()).to_vec();

        assert_eq!(admitted, [true, true, false, true, false]);
        assert_eq!(injector.next(at(8)), Err(Duration::from_secs(2)));
    }

    fn check(text: &str, expected: Result<u16, InvalidFaults>) {
        assert_eq!(text.parse::<FailureRate>().map(|it| it.status.as_u16()), expected, "{text}");
    }

    #[test]
    fn invalid_status_or_share_is_refused() {
        check("503:0.25", Ok(503));
        check("302:1", Ok(302));
        for text in ["", "500", "0.1", "200:0.1", "600:0.1", "5e2:0.1"] {
            check(text, Err(InvalidFaults::Failing));
        }
        for text in ["500:", "500:-0.1", "500:1.1", "500:NaN", "500:ten", "500:0,1"] {
            check(text, Err(InvalidFaults::Share));
        }
    }

    #[test]
    fn shares_above_one_together_are_refused() {
        let tenths = vec!["500:0.1".parse().unwrap(); 10];
        let all = Faults { fail: tenths, ..Faults::default() };

        assert_eq!(all.check(), Ok(()));
        let more = Faults { hang: "0.01".parse().unwrap(), ..all };
        assert_eq!(more.check(), Err(InvalidFaults::TooMany));
    }
}
