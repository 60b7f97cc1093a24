//! A mistake in a file that a person wrote: its place, what is wrong, and what to write instead.

use std::ops::Range;

use serde::Serialize;
use utoipa::ToSchema;

pub use super::document::Document;
use super::fix::Fix;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file works, but probably not as meant.
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    /// Byte range in the document's text, which is underlined.
    pub place: Range<usize>,
    /// A few words beside the underlined text.
    pub label: Option<String>,
    /// Advice on what to write instead.
    pub help: Option<String>,
    /// The text that corrects it, if there is exactly one that the help names.
    // In a box, since most mistakes have none.
    pub fix: Option<Box<Fix>>,
    /// Whether the underlined text may hold a secret and is shown as stars.
    pub secret: bool,
    /// Keys of which none is in the table at this place, if that is the mistake.
    missing: Box<[&'static str]>,
    /// Whether other mistakes of the file may only follow from this one.
    is_cause: bool,
}

/// Number of mistakes of one file that are found and shown.
// Each is rendered with its excerpt: a file of 20,000 unknown keys took minutes.
pub const MISTAKES_MAX: usize = 100;

/// Leaves out what may only follow from another mistake. Keeps the first `MISTAKES_MAX`, errors
/// before warnings, and adds how many more there are at least.
pub fn limit(document: &Document, mistakes: &mut Vec<Diagnostic>) {
    if mistakes.iter().any(|mistake| mistake.is_cause) {
        mistakes.retain(|mistake| mistake.is_cause);
    }
    if mistakes.len() <= MISTAKES_MAX {
        return;
    }
    mistakes.sort_by_key(|mistake| (!mistake.is_error(), mistake.place.start));
    // At least, since those who find mistakes stop at this number as well.
    let more = mistakes.len() - MISTAKES_MAX;
    mistakes.truncate(MISTAKES_MAX);
    let end = document.text.len();
    // Sorted: an error if there is any, so that the note does not turn warnings into a failure.
    let severity = mistakes[0].severity;
    let message = format!("and at least {more} more; correct these first");
    mistakes.push(Diagnostic::new(severity, end..end, message));
}

impl Diagnostic {
    pub fn error(place: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, place, message.into())
    }

    /// Returns it as a warning.
    #[must_use]
    pub fn as_warning(self) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self }
    }

    pub fn warning(place: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, place, message.into())
    }

    fn new(severity: Severity, place: Range<usize>, message: String) -> Diagnostic {
        Diagnostic {
            severity,
            message: cut(message),
            place,
            label: None,
            help: None,
            fix: None,
            secret: false,
            missing: Box::default(),
            is_cause: false,
        }
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(cut(help.into()));
        self
    }

    #[must_use]
    pub fn maybe_help(self, help: Option<String>) -> Diagnostic {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    #[must_use]
    pub fn fix(self, place: Range<usize>, text: impl Into<String>) -> Diagnostic {
        self.maybe_fix(Some(Fix { place, text: text.into() }))
    }

    #[must_use]
    pub fn maybe_fix(mut self, fix: Option<Fix>) -> Diagnostic {
        self.fix = fix.map(Box::new);
        self
    }

    /// Marks the underlined text as a secret, which is shown as stars.
    #[must_use]
    pub fn secret(mut self) -> Diagnostic {
        self.secret = true;
        self
    }

    /// Says that the mistake is a missing key, any of these.
    #[must_use]
    pub fn missing(mut self, keys: Vec<&'static str>) -> Diagnostic {
        self.missing = keys.into();
        self
    }

    /// Returns whether the key is missing in the table at this place.
    pub(super) fn is_missing(&self, key: &str, table: &Range<usize>) -> bool {
        self.missing.contains(&key) && self.place == *table
    }

    /// Marks it as the possible cause of all other mistakes of the file.
    #[must_use]
    pub fn cause(mut self) -> Diagnostic {
        self.is_cause = true;
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Returns line and column, both from 1; the column counts characters.
    pub fn line_and_column(&self, document: &Document) -> (usize, usize) {
        let before = &document.text[..document.text.floor_char_boundary(self.place.start)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

/// Truncates a message.
fn cut(mut message: String) -> String {
    // Messages repeat text of the file, such as an unknown key, which may be as long as the file.
    const BYTES_MAX: usize = 1_000;
    if message.len() > BYTES_MAX {
        message.truncate(message.floor_char_boundary(BYTES_MAX));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_shown_before_warnings() {
        let document = Document { name: "m.toml".into(), text: "a = 1\n".repeat(200) };
        let mut mistakes: Vec<Diagnostic> =
            (0..200).map(|at| Diagnostic::warning(at..at + 1, "odd")).collect();
        mistakes.push(Diagnostic::error(700..701, "wrong"));

        limit(&document, &mut mistakes);

        assert_eq!(mistakes[0].message, "wrong");
        assert_eq!(mistakes.len(), 101);
        assert!(mistakes.iter().filter(|mistake| mistake.is_error()).count() == 2);
    }
}
