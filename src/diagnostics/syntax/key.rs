//! The key at the start of a line, and the line to write with it.

use super::quotes::closing;
use crate::diagnostics::redaction::resembles_secret;

/// The key at the start of a line.
pub(super) struct EntryKey<'l> {
    pub(super) name: &'l str,
    pub(super) start: usize,
    /// Behind the key and its quotes.
    pub(super) end: usize,
}

impl<'l> EntryKey<'l> {
    pub(super) fn of(line: &'l str) -> Option<EntryKey<'l>> {
        let start = line.len() - line.trim_start().len();
        let rest = &line[start..];
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let end = closing(rest, quote)?;
            return Some(EntryKey { name: &rest[1..end], start, end: start + end + 1 });
        }
        let is_key = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let length = rest.find(|c| !is_key(c)).unwrap_or(rest.len());
        (length > 0).then(|| EntryKey { name: &rest[..length], start, end: start + length })
    }

    /// Returns the advice to write the key with this value.
    pub(super) fn help(&self, value: &str) -> String {
        match self.entry(value) {
            Some(entry) => format!("write {entry}"),
            None => format!("write {} = \"…\"", self.name),
        }
    }

    /// Returns the entry to write, with the value in quotes if it needs them; `None` if it has none
    /// or if that may be a secret, which no message repeats.
    pub(super) fn entry(&self, value: &str) -> Option<String> {
        let name = self.name;
        if value.is_empty() || name.split('.').any(resembles_secret) {
            return None;
        }
        let is_quoted = value.starts_with(['"', '\'', '['])
            || value.starts_with('{') && !value.starts_with("{{") && !value.starts_with("{%");
        let is_literal =
            value == "true" || value == "false" || value.parse::<f64>().is_ok_and(f64::is_finite);
        if is_quoted || is_literal {
            return Some(format!("{name} = {value}"));
        }
        let quote = if value.contains('"') { '\'' } else { '"' };
        Some(format!("{name} = {quote}{value}{quote}"))
    }
}
