//! Mistakes as JSON, for programs.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::diagnostic::{Diagnostic, Document, Severity};
use super::line_index::LineIndex;

/// A mistake in a file. Lines and columns count from 1, columns in characters; the end is the column
/// behind the last character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DiagnosticView {
    /// A file with an error is not used; one with a warning is, but probably not as meant.
    severity: Severity,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    message: String,
    /// A few words on what is at this place.
    label: Option<String>,
    /// What to write instead.
    help: Option<String>,
    /// The text that corrects it, where there is one.
    fix: Option<FixView>,
}

/// Replacement of a part of the file that corrects a mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FixView {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    /// Text to write there.
    text: String,
    /// Name of the correction, for a button.
    label: String,
}

impl fmt::Display for DiagnosticView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DiagnosticView { line, column, message, .. } = self;
        write!(formatter, "line {line}, column {column}: {message}")
    }
}

impl DiagnosticView {
    /// Returns the mistakes of one file, errors before warnings, each in order of their places.
    pub fn all(document: &Document, mistakes: &[Diagnostic]) -> Vec<DiagnosticView> {
        let lines = LineIndex::of(&document.text);
        let mut ordered: Vec<&Diagnostic> = mistakes.iter().collect();
        ordered.sort_by_key(|mistake| (!mistake.is_error(), mistake.place.start));
        ordered.into_iter().map(|mistake| DiagnosticView::of(mistake, document, &lines)).collect()
    }

    fn of(mistake: &Diagnostic, document: &Document, lines: &LineIndex<'_>) -> DiagnosticView {
        let at = lines.span(&mistake.place);
        DiagnosticView {
            severity: mistake.severity,
            line: at.line,
            column: at.column,
            end_line: at.end_line,
            end_column: at.end_column,
            message: mistake.message.clone(),
            label: mistake.label.clone(),
            help: mistake.help.clone(),
            fix: mistake.fix.as_ref().map(|fix| {
                let at = lines.span(&fix.place);
                FixView {
                    line: at.line,
                    column: at.column,
                    end_line: at.end_line,
                    end_column: at.end_column,
                    text: fix.text.clone(),
                    label: fix.label(&document.text),
                }
            }),
        }
    }
}
