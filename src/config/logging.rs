//! `[log]`: the format and the level of the logs.

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::telemetry::logs::{LogFormat, Settings};

/// Applies the section `[log]`.
pub(super) fn take(
    settings: &mut Settings,
    mut section: TomlTable<'_>,
    mistakes: &mut Diagnostics,
) {
    if let Some(format) = section.text("format", mistakes) {
        match format.text.as_str() {
            "text" => settings.format = LogFormat::Text,
            "json" => settings.format = LogFormat::Json,
            _ => mistakes.push(
                Diagnostic::error(format.place, "unknown log format")
                    .help("write \"text\" or \"json\""),
            ),
        }
    }
    if let Some(level) = section.text("level", mistakes) {
        match level.text.parse() {
            Ok(filter) => settings.filter = filter,
            Err(error) => {
                let help = "write \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
                mistakes.push(Diagnostic::error(level.place, error.to_string()).help(help));
            }
        }
    }
    section.finish(mistakes);
}
