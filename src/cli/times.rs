//! Times for people, with their zone: local on a terminal, UTC in a pipe or on request.

use std::io::{IsTerminal, stdout};

use jiff::Timestamp;
use jiff::tz::TimeZone;

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct TimeOptions {
    /// Show times in UTC, as in a pipe (default on a terminal: local time)
    #[arg(long)]
    utc: bool,
}

/// Zone in which a command shows times.
#[derive(Debug, Clone)]
pub(super) struct TimeFormat {
    zone: TimeZone,
}

impl TimeOptions {
    pub(super) fn format(self) -> TimeFormat {
        // What reads a pipe compares and sorts times, on machines of any zone.
        let local = stdout().is_terminal() && !self.utc;
        TimeFormat { zone: if local { TimeZone::system() } else { TimeZone::UTC } }
    }
}

impl TimeFormat {
    /// Formats a moment with its offset, such as `2026-03-10 12:00:00 +01:00`.
    pub(super) fn moment(&self, time: Timestamp) -> String {
        format!("{}{}", self.without_offset(time), self.offset(time))
    }

    /// Formats a time that is near `now`: without the date on the same day.
    pub(super) fn near(&self, time: Timestamp, now: Timestamp) -> String {
        let date = |time: Timestamp| time.to_zoned(self.zone.clone()).date();
        if date(time) != date(now) {
            return self.moment(time);
        }
        let local = time.to_zoned(self.zone.clone());
        format!("{}{}", local.strftime("%H:%M:%S"), self.offset(time))
    }

    /// Returns a column of times and its name. The offset is in the name, unless the times have
    /// several.
    pub(super) fn column(&self, name: &str, times: &[Timestamp]) -> (String, Vec<String>) {
        let offset = |time: &Timestamp| self.offset(*time);
        match times.first().map(offset) {
            Some(first) if times.iter().all(|time| offset(time) == first) => {
                let zone = if first == "Z" { "UTC" } else { first.trim() };
                let times = times.iter().map(|time| self.without_offset(*time)).collect();
                (format!("{name} ({zone})"), times)
            }
            _ => (name.to_owned(), times.iter().map(|time| self.moment(*time)).collect()),
        }
    }

    fn without_offset(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// `Z`, or the offset of this moment behind a space.
    fn offset(&self, time: Timestamp) -> String {
        if self.zone == TimeZone::UTC {
            return "Z".to_owned();
        }
        time.to_zoned(self.zone.clone()).strftime(" %:z").to_string()
    }
}

/// Formats an age in the largest unit of which there is more than one.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeFormat {
        // As `TZ` may give it where no data of time zones is installed.
        let rules = "CET-1CEST,M3.5.0,M10.5.0/3";
        TimeFormat { zone: TimeZone::posix(rules).expect("it is a rule of POSIX") }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn moment_has_the_offset_of_its_day() {
        assert_eq!(berlin().moment(at("2026-01-10T12:00:00Z")), "2026-01-10 13:00:00 +01:00");
        assert_eq!(berlin().moment(at("2026-07-10T12:00:00Z")), "2026-07-10 14:00:00 +02:00");
        let utc = TimeFormat { zone: TimeZone::UTC };
        assert_eq!(utc.moment(at("2026-07-10T12:00:00Z")), "2026-07-10 12:00:00Z");
    }

    #[test]
    fn near_time_has_no_date_on_the_same_local_day() {
        let now = at("2026-01-10T12:00:00Z");
        assert_eq!(berlin().near(at("2026-01-10T12:10:00Z"), now), "13:10:00 +01:00");
        assert_eq!(berlin().near(at("2026-01-10T23:10:00Z"), now), "2026-01-11 00:10:00 +01:00");
    }

    #[test]
    fn column_names_its_offset_unless_summer_time_begins_in_it() {
        let (before, after) = (at("2026-03-29T00:59:59Z"), at("2026-03-29T01:00:00Z"));

        let (name, times) = berlin().column("received", &[before]);
        assert_eq!(
            (name.as_str(), times[0].as_str()),
            ("received (+01:00)", "2026-03-29 01:59:59")
        );

        let (name, times) = berlin().column("received", &[after, before]);
        assert_eq!(name, "received");
        assert_eq!(times, ["2026-03-29 03:00:00 +02:00", "2026-03-29 01:59:59 +01:00"]);
    }

    #[test]
    fn age_is_short() {
        for (seconds, expected) in
            [(5, "5 s"), (119, "119 s"), (600, "10 min"), (7_200, "2 h"), (200_000, "2 d")]
        {
            assert_eq!(age(seconds), expected);
        }
    }
}
