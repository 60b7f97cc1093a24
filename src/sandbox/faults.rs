//! Trouble on demand: which requests go wrong, and how.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use fastrand::Rng;

use crate::rate::{Rate, TokenBucket};

/// What goes wrong. The shares are of all requests that the rate lets through.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// Answered with these statuses, and not looked at.
    pub fail: Vec<FailureRate>,
    /// Before each request is looked at.
    pub latency: Duration,
    /// Never answered, and not looked at.
    pub hang: Share,
    /// The connection is cut, for half of them after the request did what it does.
    pub reset: Share,
    /// More are answered 429.
    pub rate: Option<Rate>,
    /// The same number gives the same faults, in order of the requests.
    pub seed: u64,
}

/// A part of all requests, from 0 to 1.
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
    /// Whether each of the shares can be kept.
    pub fn check(&self) -> Result<(), InvalidFaults> {
        /// Ten times 0.1 is a little off 1.
        const ROUNDING: f64 = 1e-9;
        if self.shares() > 1.0 + ROUNDING { Err(InvalidFaults::TooMany) } else { Ok(()) }
    }

    /// Whether it depends on the seed what goes wrong.
    pub fn chance(&self) -> bool {
        self.shares() > 0.0
    }

    fn shares(&self) -> f64 {
        let fail: f64 = self.fail.iter().map(|failing| failing.share.0).sum();
        fail + self.hang.0 + self.reset.0
    }
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Well,
    Fail(StatusCode),
    Hang,
    ResetBefore,
    ResetAfter,
}

/// The faults at work.
#[derive(Debug)]
pub(super) struct FaultInjector {
    faults: Faults,
    course: Mutex<FaultSequence>,
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
        FaultInjector { faults, course: Mutex::new(FaultSequence { random, bucket }) }
    }

    pub(super) fn latency(&self) -> Duration {
        self.faults.latency
    }

    /// The fate of the next request; or in how long the rate lets one through.
    pub(super) fn next(&self, now: Instant) -> Result<Fault, Duration> {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((rate, bucket)) = &mut course.bucket {
            bucket.take(*rate, now)?;
        }
        Ok(self.fate(&mut course.random))
    }

    fn fate(&self, random: &mut Rng) -> Fault {
        // Both are drawn for each request, so that one share does not move the others' faults.
        let (mut drawn, is_late) = (random.f64(), random.bool());
        let mut hits = |share: Share| {
            drawn -= share.0;
            drawn < 0.0
        };
        if hits(self.faults.hang) {
            return Fault::Hang;
        }
        if hits(self.faults.reset) {
            return if is_late { Fault::ResetAfter } else { Fault::ResetBefore };
        }
        let failing = self.faults.fail.iter().find(|failing| hits(failing.share));
        failing.map_or(Fault::Well, |failing| Fault::Fail(failing.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(faults: &Faults, count: usize) -> Vec<Fault> {
        let now = Instant::now();
        let trouble = FaultInjector::new(faults.clone(), now);
        (0..count).map(|_| trouble.next(now).unwrap()).collect()
    }

    fn faults() -> Faults {
        let fail = vec!["500:0.2".parse().unwrap(), "429:0.1".parse().unwrap()];
        let tenth = "0.1".parse().unwrap();
        Faults { fail, hang: tenth, reset: "0.2".parse().unwrap(), seed: 7, ..Faults::default() }
    }

    #[test]
    fn each_fault_gets_its_share() {
        let fates = fates(&faults(), 10_000);

        let share = |wanted: Fault| fates.iter().filter(|fate| **fate == wanted).count() / 100;
        for (fate, around) in [
            (Fault::Fail(StatusCode::INTERNAL_SERVER_ERROR), 20),
            (Fault::Fail(StatusCode::TOO_MANY_REQUESTS), 10),
            (Fault::Hang, 10),
            (Fault::ResetBefore, 10),
            (Fault::ResetAfter, 10),
            (Fault::Well, 40),
        ] {
            assert!(share(fate).abs_diff(around) < 3, "{fate:?}: {}", share(fate));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let other = Faults { seed: 8, ..faults() };

        assert_eq!(fates(&faults(), 100), fates(&faults(), 100));
        assert_ne!(fates(&faults(), 100), fates(&other, 100));
    }

    #[test]
    fn shares_of_nothing_and_of_all_are_exact() {
        let all = Faults { hang: "1".parse().unwrap(), ..Faults::default() };

        assert!(fates(&Faults::default(), 1_000).iter().all(|fate| *fate == Fault::Well));
        assert!(fates(&all, 1_000).iter().all(|fate| *fate == Fault::Hang));
    }

    #[test]
    fn what_the_rate_does_not_let_through_is_told_how_long_to_wait() {
        let rate = Rate { count: 2, period: Duration::from_secs(10) };
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let trouble = FaultInjector::new(Faults { rate: Some(rate), ..Faults::default() }, start);

        let admitted: Vec<bool> = [0, 0, 1, 6, 7].map(|s| trouble.next(at(s)).is_ok()).to_vec();

        assert_eq!(admitted, [true, true, false, true, false]);
        assert_eq!(trouble.next(at(8)), Err(Duration::from_secs(2)));
    }

    fn check(text: &str, expected: Result<u16, InvalidFaults>) {
        assert_eq!(text.parse::<FailureRate>().map(|it| it.status.as_u16()), expected, "{text}");
    }

    #[test]
    fn what_is_no_status_or_share_is_refused() {
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
    fn shares_of_more_than_all_are_refused() {
        let tenths = vec!["500:0.1".parse().unwrap(); 10];
        let all = Faults { fail: tenths, ..Faults::default() };

        assert_eq!(all.check(), Ok(()));
        let more = Faults { hang: "0.01".parse().unwrap(), ..all };
        assert_eq!(more.check(), Err(InvalidFaults::TooMany));
    }
}
