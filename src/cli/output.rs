//! How requests look on a terminal: one line per field, longer texts below each other.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use serde_json::Value;

use super::error::CommandError;
use crate::diagnostics::is_terminal_control;
use crate::diagnostics::report::OutputStyle;
pub(super) use crate::diagnostics::visible;
use crate::event::Request;

/// How standard output is looked at.
pub(super) fn stdout_look() -> OutputStyle {
    if std::io::stdout().is_terminal() { OutputStyle::Terminal } else { OutputStyle::Plain }
}

/// How standard error is looked at.
pub(super) fn stderr_look() -> OutputStyle {
    if std::io::stderr().is_terminal() { OutputStyle::Terminal } else { OutputStyle::Plain }
}

/// The text in bold, where that can be shown.
pub(super) fn bold(text: &str, look: OutputStyle) -> String {
    match look {
        OutputStyle::Terminal => format!("\u{1b}[1m{text}\u{1b}[0m"),
        OutputStyle::Plain => text.to_owned(),
    }
}

/// Prints a text to standard output. A reader that went away, as `head` does, is no failure.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CommandError::Failed(format!("standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says something on standard error. That nobody reads it any more is no reason to stop.
pub(super) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// JSON, with terminal control characters written as escapes: serde escapes no more of it than JSON demands.
pub(super) fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_terminal_control(c) && c != '\n' {
            write!(shown, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail");
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A text that may be a stranger's, without line ends, which would make lines that look like ours.
pub(super) fn line(text: &str) -> String {
    visible(text.trim_end()).replace('\n', " ")
}

/// A text in one line, its white space narrowed.
pub(super) fn one_line(text: &str) -> String {
    visible(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text in one line of a table, shortened where the line has to fit a terminal.
pub(super) fn cell(text: &str, chars_max: usize, look: OutputStyle) -> String {
    match look {
        OutputStyle::Terminal => shorten(&one_line(text), chars_max),
        OutputStyle::Plain => one_line(text),
    }
}

fn shorten(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars - 1).chain(['…']).collect()
}

/// Rows in columns, below their names.
pub(super) fn table<const N: usize>(
    names: [&str; N],
    rows: &[[String; N]],
    look: OutputStyle,
) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([names[column].len()]).max().unwrap_or(0)
    };
    let line = |cells: [&str; N]| {
        let padded = cells.iter().enumerate().map(|(i, cell)| format!("{cell:w$}", w = width(i)));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut shown = bold(&line(names), look) + "\n";
    for row in rows {
        shown += &(line(row.each_ref().map(String::as_str)) + "\n");
    }
    shown
}

/// A request with its fields, each line indented by two spaces below the kind.
pub(super) fn request(request: &Request, look: OutputStyle) -> String {
    let mut shown = bold(request.kind.as_str(), look) + "\n";
    shown += &fields(request.body.iter());
    shown
}

/// Names and values in two columns.
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
    fn a_request_is_shown_field_by_field() {
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
