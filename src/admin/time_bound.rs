//! Times from which and until which something is looked for, as people write them: in parameters and bodies
//! of the API, and in options of commands.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::clock;
use crate::diagnostics::table::parse_duration;

const FORMATS: &str = "write an age (2h, 7d), a date (2026-01-31) or a time (2026-01-31T12:00:00Z)";

/// The time from which on: an age (`2h`, `7d`), a date (`2026-01-31`, in UTC) or a time
/// (`2026-01-31T12:00:00Z`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Cow<'_, str>")]
#[schema(value_type = String, examples("7d", "2026-01-31", "2026-01-31T12:00:00Z"))]
pub(crate) struct Since(pub(super) Timestamp);

/// The time before which: an age, a date, which includes the whole day, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Cow<'_, str>")]
#[schema(value_type = String, examples("2h", "2026-01-31", "2026-01-31T12:00:00Z"))]
pub(crate) struct Until(pub(super) Timestamp);

/// A day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Cow<'_, str>")]
#[schema(value_type = String, format = Date)]
pub(crate) struct Day(pub(super) Date);

impl TryFrom<Cow<'_, str>> for Day {
    type Error = &'static str;

    fn try_from(text: Cow<'_, str>) -> Result<Day, &'static str> {
        text.parse().map(Day).map_err(|_| "write a date such as 2026-01-31")
    }
}

impl TryFrom<Cow<'_, str>> for Since {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<Since, String> {
        since(&text).map(Since)
    }
}

impl TryFrom<Cow<'_, str>> for Until {
    type Error = String;

    fn try_from(text: Cow<'_, str>) -> Result<Until, String> {
        until(&text).map(Until)
    }
}

pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    time(text, clock::now()).map(|(begin, _)| begin)
}

pub(crate) fn until(text: &str) -> Result<Timestamp, String> {
    time(text, clock::now()).map(|(_, end)| end)
}

/// Parses a time and returns its beginning and end: a date is a whole day in UTC, all else a
/// moment.
fn time(text: &str, now: Timestamp) -> Result<(Timestamp, Timestamp), String> {
    let text = text.trim();
    let moment = |time: Timestamp| (time, time);
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    if let Some(ago) = parse_duration(text) {
        return Ok(moment(now.saturating_sub(ago).unwrap_or(Timestamp::MIN)));
    }
    if let Ok(time) = text.parse() {
        return Ok(moment(time));
    }
    // jiff reads the date of longer texts too, such as of a date with a time.
    let is_date = text.len() == "2026-01-31".len();
    let day = text.parse::<Date>().ok().filter(|_| is_date);
    if let Some((day, next)) = day.and_then(|day| Some((day, day.tomorrow().ok()?))) {
        let begin = utc(day.at(0, 0, 0, 0));
        return begin.zip(utc(next.at(0, 0, 0, 0))).ok_or_else(|| "no such day".to_owned());
    }
    let time = text.parse::<DateTime>().ok().and_then(utc);
    time.map(moment).ok_or_else(|| FORMATS.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str)>) {
        let now = "2026-03-10T12:00:00Z".parse().unwrap();
        let expected = expected.map(|(begin, end)| (begin.parse().unwrap(), end.parse().unwrap()));
        assert_eq!(time(text, now).ok(), expected, "{text}");
    }

    #[test]
    fn time_is_accepted_in_many_formats() {
        let moment = |text| Some((text, text));
        check("2h", moment("2026-03-10T10:00:00Z"));
        check("7d", moment("2026-03-03T12:00:00Z"));
        check("1h 30m", moment("2026-03-10T10:30:00Z"));
        check("2026-01-31", Some(("2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z")));
        check("2026-01-31T12:00:00Z", moment("2026-01-31T12:00:00Z"));
        check("2026-01-31T12:00:00+02:00", moment("2026-01-31T10:00:00Z"));
        check("2026-01-31T12:00", moment("2026-01-31T12:00:00Z"));
        check("2026-01-31 12:00:00", moment("2026-01-31T12:00:00Z"));
    }

    #[test]
    fn invalid_time_is_refused() {
        for bad in ["", "soon", "7", "-2h", "2026-13-01", "31.01.2026", "9999999999999d"] {
            check(bad, None);
        }
    }
}
