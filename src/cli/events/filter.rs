//! Filter options of commands on events.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::cli::error::CommandError;
use crate::clock;
use crate::diagnostics::table::parse_duration;
use crate::event::{EventId, SourceName, State};
use crate::store::{EventFilter, StoppedAt};

#[derive(Debug, clap::Args)]
pub(super) struct FilterOptions {
    /// Only events in this state, or in one of several: dead,held
    #[arg(long, value_delimiter = ',', value_parser = state_parser())]
    pub(super) state: Vec<State>,
    #[command(flatten)]
    pub(super) chosen: CommonFilterOptions,
}

#[derive(Debug, clap::Args)]
pub(super) struct CommonFilterOptions {
    /// Only events of this source
    #[arg(long)]
    source: Option<SourceName>,
    /// Only events of sources that send to this destination
    #[arg(long)]
    destination: Option<String>,
    #[command(flatten)]
    conditions: ConditionOptions,
}

/// Conditions on events, whatever their source and state.
#[derive(Debug, Default, clap::Args)]
struct ConditionOptions {
    /// Received since: an age (2h, 7d), a date (2026-01-31, in UTC) or a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Received before this time; a date includes the whole day
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,
    /// Text in the id, delivery id, type, reason, summary, person or company
    #[arg(long = "q", value_name = "TEXT")]
    text: Option<String>,
    /// Text in the payload
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// Only events of exactly this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events that were not delivered, by where they stopped: at their mapping, at Savio (refused or not
    /// answered), or for time (given up)
    #[arg(long, value_parser = stage_parser())]
    stage: Option<StoppedAt>,
    /// Only events with at least so many attempts, of all their requests together
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    attempts_min: Option<u32>,
    /// Only events with fields left out because Savio would not accept their values
    #[arg(long)]
    left_out: bool,
    /// Only events of which Savio may have, or may get, a request twice
    #[arg(long)]
    may_repeat: bool,
    /// Only events that were imported
    #[arg(long)]
    imported: bool,
}

impl ConditionOptions {
    fn filter(self) -> EventFilter {
        let ConditionOptions { since, until, text, contains, event_type, stage, .. } = self;
        let ConditionOptions { attempts_min, left_out, may_repeat, imported, .. } = self;
        EventFilter {
            since,
            until,
            text,
            contains,
            event_type,
            stage,
            attempts_min,
            left_out: left_out.then_some(true),
            may_repeat: may_repeat.then_some(true),
            imported: imported.then_some(true),
            ..EventFilter::default()
        }
    }
}

/// Which events of one source a command looks at.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SourceFilterOptions {
    /// Only events in this state, or in one of several: dead,held
    #[arg(long, value_delimiter = ',', value_parser = state_parser())]
    state: Vec<State>,
    #[command(flatten)]
    conditions: ConditionOptions,
}

impl SourceFilterOptions {
    pub(in crate::cli) fn filter(self, source: SourceName) -> EventFilter {
        let SourceFilterOptions { state: states, conditions } = self;
        EventFilter { states, sources: Some(vec![source]), ..conditions.filter() }
    }
}

/// Which events `tail` follows.
#[derive(Debug, clap::Args)]
pub(super) struct TailFilterOptions {
    /// Only events in this state, or in one of several: dead,held
    #[arg(long, value_delimiter = ',', value_parser = state_parser())]
    state: Vec<State>,
    /// Only events of this source
    #[arg(long)]
    source: Option<SourceName>,
    /// Only events of sources that send to this destination
    #[arg(long)]
    destination: Option<String>,
}

impl From<TailFilterOptions> for FilterOptions {
    fn from(options: TailFilterOptions) -> FilterOptions {
        let TailFilterOptions { state, source, destination } = options;
        let conditions = ConditionOptions::default();
        FilterOptions { state, chosen: CommonFilterOptions { source, destination, conditions } }
    }
}

impl FilterOptions {
    /// Returns the source that the events are of.
    pub(super) fn source(&self) -> Option<&SourceName> {
        self.chosen.source.as_ref()
    }

    /// Returns the filter. `senders` returns the sources of a destination.
    pub(super) fn filter(
        self,
        ids: Vec<EventId>,
        senders: impl FnOnce(&str) -> Result<Vec<SourceName>, CommandError>,
    ) -> Result<EventFilter, CommandError> {
        let CommonFilterOptions { source, destination, conditions } = self.chosen;
        let mut sources = destination.as_deref().map(senders).transpose()?;
        if let Some(source) = source {
            let sent_there = sources.is_none_or(|sources| sources.contains(&source));
            sources = Some(if sent_there { vec![source] } else { Vec::new() });
        }
        Ok(EventFilter { ids, states: self.state, sources, ..conditions.filter() })
    }
}

// By clap's list of values, which suggests the nearest one and completes them in a shell.
fn state_parser() -> impl TypedValueParser<Value = State> {
    PossibleValuesParser::new(State::ALL.map(State::as_str)).map(|name| {
        let named = State::ALL.into_iter().find(|state| state.as_str() == name);
        named.expect("the values are the states' names")
    })
}

fn stage_parser() -> impl TypedValueParser<Value = StoppedAt> {
    PossibleValuesParser::new(StoppedAt::ALL.map(StoppedAt::as_str)).map(|name| {
        let named = StoppedAt::ALL.into_iter().find(|stage| stage.as_str() == name);
        named.expect("the values are the stages' names")
    })
}

pub(in crate::cli) fn since(text: &str) -> Result<Timestamp, String> {
    time(text, clock::now()).map(|(begin, _)| begin)
}

pub(in crate::cli) fn until(text: &str) -> Result<Timestamp, String> {
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
    time.map(moment).ok_or_else(|| {
        "write an age (2h, 7d), a date (2026-01-31) or a time (2026-01-31T12:00:00Z)".to_owned()
    })
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
