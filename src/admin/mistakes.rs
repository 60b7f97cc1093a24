//! Mistakes in a mapping file, as responses show them.

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::view::DiagnosticView;

/// Returns the errors among the mistakes of a file.
pub(super) fn errors(document: &Document, mistakes: &[Diagnostic]) -> Vec<DiagnosticView> {
    let errors = mistakes.iter().filter(|mistake| mistake.is_error()).cloned();
    DiagnosticView::all(document, &errors.collect::<Vec<_>>())
}
