//! Logs: one line per request and attempt, as text or JSON, on standard error. Metrics. Traces.

pub mod metrics;
pub mod traces;

use std::panic::PanicHookInfo;

use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub format: LogFormat,
    /// A level, or directives such as `info,savio_relay::delivery=debug`.
    pub level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { format: LogFormat::Text, level: "info".to_owned() }
    }
}

impl Settings {
    /// Takes over what the section `[log]` sets.
    pub fn take(&mut self, mut section: TomlTable<'_>, mistakes: &mut Diagnostics) {
        if let Some(format) = section.text("format", mistakes) {
            match format.text.as_str() {
                "text" => self.format = LogFormat::Text,
                "json" => self.format = LogFormat::Json,
                _ => mistakes.push(
                    Diagnostic::error(format.place, "unknown log format")
                        .help("write \"text\" or \"json\""),
                ),
            }
        }
        if let Some(level) = section.text("level", mistakes) {
            if filter(&level.text).is_ok() && names_levels(&level.text) {
                self.level = level.text;
            } else {
                let help = "write \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
                mistakes.push(Diagnostic::error(level.place, "unknown log level").help(help));
            }
        }
        section.finish(mistakes);
    }
}

/// A word such as `warning` would be read as the name of a part of the program, and change nothing.
fn names_levels(level: &str) -> bool {
    let mut directives = level.split(',').map(str::trim);
    directives.all(|it| it.contains('=') || it.parse::<LevelFilter>().is_ok())
}

fn filter(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(level)
}

/// Sends the logs of this process to standard error. Only the first call has an effect.
pub fn start(settings: &Settings) {
    let filter = filter(&settings.level).expect("the level was parsed when it was read");
    // Where nobody reads the logs any more, saying so would panic, and end the request or the relay.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // A second call finds the first one's subscriber in place, which is as good.
    let started = match settings.format {
        LogFormat::Text => {
            lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// A line like any other, and without the panic's own words: these may quote what was worked on.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current().name().map(str::to_owned);
    error!(place, thread, "the relay panicked: a bug");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::diagnostic::Document;
    use crate::diagnostics::table;

    #[track_caller]
    fn check(level: &str, is_known: bool) {
        let text = format!("level = \"{level}\"");
        let document = Document { name: "relay.toml".to_owned(), text };
        let mut mistakes = Diagnostics::new();
        let root = table::parse(&document, &mut mistakes);
        Settings::default().take(TomlTable::root(&document, &root), &mut mistakes);
        assert_eq!(mistakes.is_empty(), is_known, "{level}");
    }

    #[test]
    fn what_is_no_level_is_a_mistake() {
        check("warn", true);
        check("INFO", true);
        check("off", true);
        check("info,savio_relay::delivery=debug", true);
        check("warning", false);
        check("loud", false);
        check("info, loud", false);
        check("info,savio_relay=loud", false);
    }
}
