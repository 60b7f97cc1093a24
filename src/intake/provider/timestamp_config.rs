//! `timestamp` of `[signature]`: location and unit of the time, and how old it may be.

use std::time::Duration;

use super::location_config::{body_field, header_name};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
use crate::intake::signature::{TimestampLocation, TimestampRule, TimestampUnit};

/// Leeway for a JWT's times if `[signature]` sets none.
// For the difference of two clocks; RFC 7519, section 4.1.4, suggests no more than a few minutes.
const LEEWAY: Duration = Duration::from_mins(1);

pub(super) fn timestamp_rule(
    signature: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> Option<TimestampRule> {
    let mut table = signature.table("timestamp", mistakes)?;
    let from = table.texts("from", mistakes);
    if from.is_none() {
        let message = "`timestamp` does not say where the time is";
        let help = "write from = \"header:NAME\" or from = \"part:t\"";
        mistakes.push(Diagnostic::error(table.place.clone(), message).help(help));
    }
    let places = from.iter().flatten().filter_map(|from| location(from, mistakes)).collect();
    let units = TimestampUnit::ALL.map(|unit| (unit.as_str(), unit));
    let unit = table.keyword("unit", &units, mistakes).unwrap_or(TimestampUnit::Seconds);
    let window = table.duration("window", mistakes);
    table.finish(mistakes);
    Some(TimestampRule { places, unit, window })
}

/// Reads the leeway of a scheme whose proof contains its times.
pub(super) fn leeway(signature: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Duration {
    let Some(mut table) = signature.table("timestamp", mistakes) else { return LEEWAY };
    let window = table.duration("window", mistakes);
    // Reported here with the reason: `finish` would call them unknown.
    for key in ["from", "unit"] {
        if let Some(value) = table.value(key) {
            let message = format!("`{key}` has no effect here: the times are in the token");
            mistakes.push(Diagnostic::error(value.span(), message).help("leave it out"));
        }
    }
    table.finish(mistakes);
    window.unwrap_or(LEEWAY)
}

fn location(from: &SpannedText, mistakes: &mut Diagnostics) -> Option<TimestampLocation> {
    match from.text.split_once(':') {
        Some(("header", name)) => {
            header_name(name, &from.place, mistakes).map(TimestampLocation::Header)
        }
        Some(("part", name)) => Some(TimestampLocation::Part(name.to_owned())),
        Some((kind @ "field", _)) => {
            body_field(from, kind.len() + 1, mistakes).map(TimestampLocation::Field)
        }
        _ => {
            let message = "`from` does not name where a time is";
            let help = "write \"header:NAME\", \"part:t\" for the part `t=...` of the header, or \
                        \"field:$.time\" for a field of the body";
            mistakes.push(Diagnostic::error(from.place.clone(), message).help(help));
            None
        }
    }
}
