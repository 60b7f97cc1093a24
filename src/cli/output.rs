//! Output of commands: tables, requests field by field, and texts of strangers made safe for a
//! terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::Value;

use super::error::CommandError;
use crate::diagnostics::report::OutputStyle;
pub(super) use crate::diagnostics::{
    in_one_line as line, one_line, shorten, visible, visible_json as json,
};
use crate::event::Request;

/// Style for standard output.
pub(super) fn stdout_style() -> OutputStyle {
    if std::io::stdout().is_terminal() { OutputStyle::Terminal } else { OutputStyle::Plain }
}

/// Style for standard error.
pub(super) fn stderr_style() -> OutputStyle {
    if std::io::stderr().is_terminal() { OutputStyle::Terminal } else { OutputStyle::Plain }
}

/// Returns the text in bold on a terminal.
pub(super) fn bold(text: &str, look: OutputStyle) -> String {
    match look {
        OutputStyle::Terminal => format!("\u{1b}[1m{text}\u{1b}[0m"),
        OutputStyle::Plain => text.to_owned(),
    }
}

/// Prints a text to standard output. A closed pipe, such as that of `head`, is no failure.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    write(text).map(|_| ())
}

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Whole,
    /// Nobody reads the pipe any more.
    Closed,
}

/// Prints a text as [`print`] does, and tells a closed pipe.
pub(super) fn write(text: &str) -> Result<Written, CommandError> {
    // Flushed at once, so that a full disk is this command's failure; `println!` would panic.
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Written::Whole),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Written::Closed),
        Err(error) => Err(CommandError::Failed(format!("standard output: {error}"))),
    }
}

/// Returns whether nobody reads the pipe any more, without writing to it.
pub(super) fn is_closed(output: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&output, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Prints a value as indented JSON, safe for a terminal.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| CommandError::Failed(error.to_string()))?;
    print(&json(&(text + "\n")))
}

/// Prints a line to standard error.
pub(super) fn print_error(text: &str) {
    // A closed standard error is no reason to stop.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Returns the text for a cell of a table, shortened on a terminal.
pub(super) fn cell(text: &str, chars_max: usize, look: OutputStyle) -> String {
    match look {
        OutputStyle::Terminal => shorten(&one_line(text), chars_max),
        OutputStyle::Plain => one_line(text),
    }
}

/// Formats a request: its kind, and below it its fields.
pub(super) fn request(request: &Request, look: OutputStyle) -> String {
    let mut shown = bold(request.kind.as_str(), look) + "\n";
    shown += &fields(request.body.iter());
    shown
}

/// Formats names and values in two columns, indented by two spaces.
pub(super) fn fields<'a>(fields: impl Iterator<Item = (&'a String, &'a Value)> + Clone) -> String {
    let fields = fields.map(|(name, value)| (line(name), value));
    let width = fields.clone().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut shown = String::new();
    for (name, value) in fields {
        for (index, line) in printed(value).lines().enumerate() {
            let name = if index == 0 { name.as_str() } else { "" };
            let line = format!("  {name:width$}  {line}");
            writeln!(shown, "{}", line.trim_end()).expect("writing to a String cannot fail");
        }
    }
    shown
}

fn printed(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(printed).collect::<Vec<_>>().join(", "),
        Value::Object(entries) => entries
            .iter()
            .map(|(name, value)| format!("{name} = {}", printed(value)))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    visible(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::RequestKind;

    #[test]
    fn request_is_shown_field_by_field() {
        let body = json!({"problem": "Slow\u{1b}[2J\nreally", "tags": ["a", "b"]});
        let body = body.as_object().unwrap().clone();

        let shown =
            super::request(&Request { kind: RequestKind::Feedback, body }, OutputStyle::Plain);

        assert_eq!(
            shown,
            "feedback\n  problem  Slow\u{fffd}[2J\n           really\n  tags     a, b\n"
        );
    }
}
