//! A wait with its beginning, so that a clock that is set back does not make it longer.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wait {
    #[serde(rename = "due_at")]
    until: Timestamp,
    /// Missing in states that were stored before this field existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
}

impl Wait {
    pub(super) fn new(since: Timestamp, until: Timestamp) -> Wait {
        Wait { until, since: Some(since) }
    }

    /// Restores a stored wait.
    pub(super) fn stored(until: Timestamp, since: Option<Timestamp>) -> Wait {
        Wait { until, since }
    }

    pub(super) fn until(&self) -> Timestamp {
        self.until
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Ends the wait earlier.
    pub(super) fn shorten(&mut self, by: Duration) {
        self.until = self.until.saturating_sub(by).unwrap_or(self.until);
    }

    /// Limits the wait to its original length if the clock was set back to before its beginning,
    /// and to `longest`. Returns whether it changed.
    pub(super) fn follow(&mut self, now: Timestamp, longest: Duration) -> bool {
        // A wait that an older version stored has no beginning. It begins now, and only `longest`
        // limits it.
        let from = self.since.map_or(now, |since| since.max(now));
        let left = Duration::try_from(self.until.duration_since(from)).unwrap_or_default();
        if self.since.is_some_and(|since| since <= now) && left <= longest {
            return false;
        }
        let until = now.saturating_add(left.min(longest)).unwrap_or(self.until);
        *self = Wait::new(now, until);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[track_caller]
    fn check((since, until): (Option<i64>, i64), now: i64, expected: (i64, bool)) {
        let mut wait = Wait::stored(at(until), since.map(at));
        let changed = wait.follow(at(now), Duration::from_mins(1));
        assert_eq!((wait.until(), changed), (at(expected.0), expected.1));
    }

    #[test]
    fn clock_set_back_keeps_the_length_of_a_wait() {
        check((Some(100), 130), 100, (130, false));
        check((Some(100), 130), 120, (130, false));
        check((Some(100), 130), 99, (129, true));
        check((Some(100), 130), -86_400, (-86_370, true));
    }

    #[test]
    fn wait_is_limited_to_the_longest() {
        check((Some(100), 500), 110, (170, true));
        check((Some(100), 500), -110, (-50, true));
        check((None, 130), 120, (130, true));
        check((None, 86_400), 100, (160, true));
        check((None, 50), 100, (100, true));
    }
}
