//! A mistake in a file that a person wrote: where it is, what is wrong, what to write instead.

use std::ops::Range;

pub use super::document::Document;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Bytes of the document's text; what is underlined.
    pub place: Range<usize>,
    /// A few words at the underlined text.
    pub label: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
    /// The place holds a secret: it is shown as stars.
    pub secret: bool,
}

/// So many mistakes of one file are shown; whoever has more corrects these first.
pub const MISTAKES_MAX: usize = 100;

/// Leaves no more than that, errors before warnings, and says how many more there are at least: whoever
/// finds mistakes stops at this number too.
pub fn limit(document: &Document, mistakes: &mut Vec<Diagnostic>) {
    if mistakes.len() <= MISTAKES_MAX {
        return;
    }
    mistakes.sort_by_key(|mistake| (!mistake.is_error(), mistake.place.start));
    let more = mistakes.len() - MISTAKES_MAX;
    mistakes.truncate(MISTAKES_MAX);
    let end = document.text.len();
    let severity = mistakes[0].severity;
    let message = format!("and at least {more} more; correct these first");
    mistakes.push(Diagnostic::new(severity, end..end, message));
}

impl Diagnostic {
    pub fn error(place: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, place, message.into())
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
            secret: false,
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

    /// Shows stars in place of the text that is wrong.
    #[must_use]
    pub fn secret(mut self) -> Diagnostic {
        self.secret = true;
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Line and column, both from 1, the column in characters.
    pub fn line_and_column(&self, document: &Document) -> (usize, usize) {
        let before = &document.text[..document.text.floor_char_boundary(self.place.start)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

/// Cuts a message: it may repeat text of the file, however long that is.
fn cut(mut message: String) -> String {
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
