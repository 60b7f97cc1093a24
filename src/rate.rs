//! Rates as people write them ("300/m"), and the token bucket that enforces them.

pub mod client_key;

use std::str::FromStr;
use std::time::{Duration, Instant};

/// A number of actions in a period. Its interval is at least one nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub period: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number and a time, such as \"10/s\", \"300/m\" or \"5000/h\"")]
pub struct InvalidRate;

impl Rate {
    /// Returns the time from one action to the next if they are evenly spaced.
    pub fn interval(self) -> Duration {
        self.period / self.count
    }

    /// Returns how many evenly spaced actions fit into this time; the first is at its start.
    pub fn tokens_within(self, time: Duration) -> usize {
        let more = time.as_nanos() / self.interval().as_nanos().max(1);
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Rate, InvalidRate> {
        let (count, unit) = text.trim().split_once('/').ok_or(InvalidRate)?;
        let period = match unit.trim() {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(InvalidRate),
        };
        let count: u32 = count.trim().parse().map_err(|_| InvalidRate)?;
        let interval = period.checked_div(count).ok_or(InvalidRate)?;
        // More than one in a nanosecond: a token bucket would divide by zero.
        if interval.is_zero() { Err(InvalidRate) } else { Ok(Rate { count, period }) }
    }
}

/// Holds at most as many tokens as the rate's count, and regains them as time passes.
#[derive(Debug, Clone, Copy)]
pub struct TokenBucket {
    tokens: f64,
    // The steady clock: a wall clock that is set forth and back would mint tokens, and one that is
    // set back would give none for that long.
    at: Instant,
}

impl TokenBucket {
    pub fn full(rate: Rate, now: Instant) -> TokenBucket {
        TokenBucket { tokens: f64::from(rate.count), at: now }
    }

    /// Takes a token. If there is none, returns the time until the next one.
    pub fn try_take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let count = f64::from(rate.count);
        let token = rate.period.as_secs_f64() / count;
        // Two callers may take the lock in another order than they read the clock.
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed / token).min(count);
        self.at = self.at.max(now);
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) * token));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_a_number_and_a_period() {
        let interval = |text: &str| text.parse::<Rate>().map(Rate::interval);

        assert_eq!(interval("10/s"), Ok(Duration::from_millis(100)));
        assert_eq!(interval(" 30 / m "), Ok(Duration::from_secs(2)));
        assert_eq!(interval("1/h"), Ok(Duration::from_hours(1)));
        for bad in ["", "10", "0/s", "-1/s", "1.5/s", "10/d", "/s", "99999999999/s"] {
            assert_eq!(interval(bad), Err(InvalidRate), "{bad}");
        }
    }

    #[test]
    fn tokens_within_a_time_are_counted() {
        let within =
            |rate: &str| rate.parse::<Rate>().unwrap().tokens_within(Duration::from_secs(1));

        assert_eq!((within("10/s"), within("1/s"), within("1/h")), (11, 2, 1));
    }

    /// Returns how many of the attempts at these seconds get a token.
    fn taken(rate: &str, seconds: &[u64]) -> usize {
        let (rate, start) = (rate.parse().unwrap(), Instant::now());
        let mut bucket = TokenBucket::full(rate, start);
        let mut take = |second: &u64| bucket.try_take(rate, start + Duration::from_secs(*second));
        seconds.iter().filter(|second| take(second).is_ok()).count()
    }

    #[test]
    fn clock_that_jumps_mints_no_extra_tokens() {
        assert_eq!(taken("1/m", &[0, 60, 0, 60, 0, 60, 0, 60]), 2);
        assert_eq!(taken("2/m", &[30, 0, 30, 0, 30, 60, 0, 60]), 3);
    }

    #[test]
    fn wait_lasts_until_the_next_token() {
        let now = Instant::now();
        let mut bucket = TokenBucket { tokens: 0.5, at: now };
        let rate = "1/m".parse().unwrap();

        assert_eq!(bucket.try_take(rate, now), Err(Duration::from_secs(30)));
    }
}
