//! Key `events`: patterns of the event types that a mapping file or a block accepts.

use toml::Spanned;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::TypePattern;

/// Reads `events` of a mapping file or of a block; `None` if the key is absent.
pub fn events(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<Vec<TypePattern>> {
    let written = table.texts("events", mistakes)?;
    if written.is_empty() {
        let place = table.value("events").map_or_else(|| table.place.clone(), Spanned::span);
        let help = "name the types of events, as in [\"issues.opened\"], or leave `events` out";
        mistakes.push(Diagnostic::error(place, "`events` names no event").help(help));
    }
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
