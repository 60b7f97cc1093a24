//! The half hours by which is counted what happens.

use jiff::Timestamp;

const MICROSECONDS: i64 = 30 * 60 * 1_000_000;

/// Half an hour, from a full or half hour of UTC on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HalfHour(i64);

impl HalfHour {
    /// Returns the half hour that the time is in.
    pub fn of(time: Timestamp) -> HalfHour {
        HalfHour(time.as_microsecond().div_euclid(MICROSECONDS))
    }

    pub fn begins_at(self) -> Timestamp {
        let begin = self.0.saturating_mul(MICROSECONDS);
        let limit = if begin < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_microsecond(begin).unwrap_or(limit)
    }

    /// Returns the half hour that begins so many half hours later.
    #[must_use]
    pub fn plus(self, half_hours: i64) -> HalfHour {
        HalfHour(self.0.saturating_add(half_hours))
    }

    /// Returns how many half hours it begins after another one.
    pub fn since(self, other: HalfHour) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_one_half_hour_have_its_begin() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        for (at, begin) in [
            ("2026-11-30T18:00:00Z", "2026-11-30T18:00:00Z"),
            ("2026-11-30T18:29:59.999999Z", "2026-11-30T18:00:00Z"),
            ("2026-11-30T18:30:00Z", "2026-11-30T18:30:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12-31T23:30:00Z"),
        ] {
            assert_eq!(HalfHour::of(time(at)).begins_at(), time(begin), "{at}");
        }
        let last = HalfHour::of(Timestamp::MAX);
        assert_eq!(last.plus(9).begins_at(), Timestamp::MAX);
        assert_eq!(last.plus(2).since(last), 2);
    }
}
