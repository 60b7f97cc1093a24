//! Exponential backoff: waits between attempts that double up to a maximum.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Wait before the second attempt.
    pub wait_min: Duration,
    pub wait_max: Duration,
}

impl Backoff {
    /// Returns the wait after a failure that `failures` others preceded: 0 after the first.
    pub fn wait(self, failures: u32) -> Duration {
        self.wait_min.saturating_mul(2_u32.saturating_pow(failures)).min(self.wait_max)
    }

    /// Returns the same wait, longer by up to half of it; `chance` is a random number.
    pub fn wait_with_jitter(self, failures: u32, chance: u32) -> Duration {
        // Requests that failed together, as in an outage of Savio, would else be retried together.
        let wait = self.wait(failures);
        let part = f64::from(chance) / f64::from(u32::MAX);
        wait.saturating_add((wait / 2).mul_f64(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_doubles_to_its_limit_and_jitter_adds_at_most_half() {
        let [one, five] = [1, 5].map(Duration::from_secs);
        let backoff = Backoff { wait_min: one, wait_max: five };

        let waits = [0, 1, 2, 3, u32::MAX].map(|failures| backoff.wait(failures).as_secs());
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert_eq!(backoff.wait_with_jitter(9, 0), five);
        assert_eq!(backoff.wait_with_jitter(9, u32::MAX), five + five / 2);
    }
}
