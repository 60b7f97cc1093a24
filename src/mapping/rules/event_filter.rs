//! Key `events`: patterns of the event types that a mapping file or a block accepts.

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::TypePattern;

/// Reads `events` of a mapping file or of a block; `None` if the key is absent.
pub fn events(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<Vec<TypePattern>> {
    let written = table.texts("events", mistakes)?;
    let mut patterns = Vec::new();
    for text in written {
        match text.text.parse::<TypePattern>() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let message = format!("`{}` is not an event type", text.text);
                mistakes.push(Diagnostic::error(text.place, message).help(error.to_string()));
            }
        }
    }
    Some(patterns)
}
