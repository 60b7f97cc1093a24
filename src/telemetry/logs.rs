//! Logs on standard error, as text or JSON: one line for each request and attempt.

use std::io::IsTerminal;
use std::panic::PanicHookInfo;
use std::str::FromStr;

use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub format: LogFormat,
    pub filter: LogFilter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A level, or directives such as `info,savio_relay::delivery=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown log level")]
pub struct InvalidLogFilter;

impl Default for Settings {
    fn default() -> Settings {
        Settings { format: LogFormat::Text, filter: LogFilter("info".to_owned()) }
    }
}

impl FromStr for LogFilter {
    type Err = InvalidLogFilter;

    fn from_str(text: &str) -> Result<LogFilter, InvalidLogFilter> {
        // `EnvFilter` accepts any bare word as the name of a module, which changes nothing: `warning`
        // would be a mistake without an error.
        let mut directives = text.split(',').map(str::trim);
        let has_levels = directives.all(|it| it.contains('=') || it.parse::<LevelFilter>().is_ok());
        if has_levels && parse(text).is_ok() {
            Ok(LogFilter(text.to_owned()))
        } else {
            Err(InvalidLogFilter)
        }
    }
}

fn parse(filter: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(filter)
}

/// Sends the logs of this process to standard error. Only the first call has an effect.
pub fn start(settings: &Settings) {
    let filter = parse(&settings.filter.0).expect("a LogFilter was parsed when it was read");
    // No internal errors: a failed write would be reported by `eprintln!`, which panics if standard
    // error is closed, and ends the request or the relay.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // Fails for a second call, which finds the subscriber of the first.
    let started = match settings.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Logs a panic by its place and thread.
// Not its message, which may quote a payload or a secret.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current().name().map(str::to_owned);
    error!(place, thread, "the relay panicked: a bug");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_filter_names_known_levels() {
        for known in ["warn", "INFO", "off", "info,savio_relay::delivery=debug"] {
            assert!(known.parse::<LogFilter>().is_ok(), "{known}");
        }
        for unknown in ["warning", "loud", "info, loud", "info,savio_relay=loud"] {
            assert_eq!(unknown.parse::<LogFilter>(), Err(InvalidLogFilter), "{unknown}");
        }
    }
}
