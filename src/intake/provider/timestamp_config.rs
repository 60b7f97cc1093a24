//! `timestamp` of a signature's table: where the time is, how it is written, how long it counts.

use std::ops::Range;
use std::time::Duration;

use super::keywords::{field, header_name, word};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
use crate::intake::signature::{TimestampLocation, TimestampRule, TimestampUnit};

#[derive(Debug, Clone, Default)]
pub(crate) struct TimestampConfig {
    from: Option<Vec<SpannedText>>,
    unit: Option<SpannedText>,
    window: Option<Duration>,
    pub(crate) place: Option<Range<usize>>,
}

impl TimestampConfig {
    pub(crate) fn read(
        signature: &mut TomlTable<'_>,
        mistakes: &mut Diagnostics,
    ) -> TimestampConfig {
        let Some(mut table) = signature.table("timestamp", mistakes) else {
            return TimestampConfig::default();
        };
        let times = TimestampConfig {
            from: table.texts("from", mistakes),
            unit: table.text("unit", mistakes),
            window: table.duration("window", mistakes),
            place: Some(table.place.clone()),
        };
        table.finish(mistakes);
        times
    }

    pub(crate) fn over(self, base: TimestampConfig) -> TimestampConfig {
        TimestampConfig {
            from: self.from.or(base.from),
            unit: self.unit.or(base.unit),
            window: self.window.or(base.window),
            place: self.place.or(base.place),
        }
    }

    pub(crate) fn clock(&self, mistakes: &mut Diagnostics) -> Option<TimestampRule> {
        let place = self.place.as_ref()?;
        let from = self.from.iter().flatten();
        let places = from.filter_map(|from| clock_place(from, mistakes)).collect();
        if self.from.is_none() {
            let message = "`timestamp` does not say where the time is";
            let help = "write from = \"header:NAME\" or from = \"part:t\"";
            mistakes.push(Diagnostic::error(place.clone(), message).help(help));
        }
        let units = TimestampUnit::ALL.map(|unit| (unit.as_str(), unit));
        let unit = word(self.unit.as_ref(), &units, TimestampUnit::Seconds, mistakes);
        Some(TimestampRule { places, unit, window: self.window })
    }

    /// For a scheme that says itself where its times are.
    pub(crate) fn leeway(&self, mistakes: &mut Diagnostics) -> Option<Duration> {
        let from = self.from.iter().flatten().map(|text| ("from", text));
        for (key, text) in from.chain(self.unit.iter().map(|text| ("unit", text))) {
            let message = format!("`{key}` means nothing here: the times are in the token");
            mistakes.push(Diagnostic::error(text.place.clone(), message).help("leave it out"));
        }
        self.window
    }
}

fn clock_place(from: &SpannedText, mistakes: &mut Diagnostics) -> Option<TimestampLocation> {
    match from.text.split_once(':') {
        Some(("header", name)) => {
            header_name(name, &from.place, mistakes).map(TimestampLocation::Header)
        }
        Some(("part", name)) => Some(TimestampLocation::Part(name.to_owned())),
        Some((kind @ "field", _)) => {
            field(from, kind.len() + 1, mistakes).map(TimestampLocation::Field)
        }
        _ => {
            let message = "`from` is no place of a time";
            let help = "write \"header:NAME\", \"part:t\" for the part `t=...` of the header, or \
                        \"field:$.time\" for a field of the body";
            mistakes.push(Diagnostic::error(from.place.clone(), message).help(help));
            None
        }
    }
}
