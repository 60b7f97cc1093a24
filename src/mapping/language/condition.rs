//! `when`: a JSONPath condition, or an expression of a template.

use serde_json::Value;

use super::item_values::ItemValues;
use super::query::{Condition, Lint};
use super::template::Template;
use super::value::ValueError;
use super::value_reader::{ValueReader, query_mistake};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{SpannedText, TomlTable};

#[derive(Debug, Clone)]
pub(crate) enum WhenClause {
    Condition { condition: Condition, text: SpannedText },
    Template(Template),
}

impl WhenClause {
    /// Reads the key `when`; `None` if it is absent or wrong.
    pub(crate) fn read(
        table: &mut TomlTable<'_>,
        reader: &mut ValueReader<'_>,
    ) -> Option<WhenClause> {
        let text = table.text("when", reader.mistakes)?;
        if text.text.contains("{{") || text.text.contains("{%") {
            return WhenClause::template(&text, reader);
        }
        match Condition::parse_within(&text.text, &reader.templates.patterns) {
            Ok(condition) => Some(WhenClause::Condition { condition, text }),
            Err(error) => {
                reader.mistakes.push(query_mistake(&text, error));
                None
            }
        }
    }

    fn template(text: &SpannedText, reader: &mut ValueReader<'_>) -> Option<WhenClause> {
        let template = reader.templates.add(text, reader.known, reader.mistakes)?;
        // Text around an expression would make the condition true, whatever the expression gives.
        if template.is_expression() {
            return Some(WhenClause::Template(template));
        }
        let message = "`when` must be one condition, or one {{ expression }}";
        let help = "write \"@.path == 'text'\" or \"{{ payload.path == 'text' }}\"";
        reader.mistakes.push(Diagnostic::error(text.place.clone(), message).help(help));
        None
    }

    pub(crate) fn holds(&self, view: &ItemValues<'_>) -> Result<bool, ValueError> {
        match self {
            WhenClause::Condition { condition, .. } => view.scope.holds(condition),
            WhenClause::Template(template) => view.templates.holds(template, &view.scope),
        }
    }

    /// Returns warnings about what, by this sample, is probably not meant; `@` is `current`.
    pub(crate) fn doubts(&self, payload: &Value, current: &Value) -> Vec<Diagnostic> {
        let WhenClause::Condition { condition, text } = self else {
            return Vec::new();
        };
        let lints = condition.doubts(payload, current).into_iter();
        let warning =
            |lint: Lint| Diagnostic::warning(text.part(lint.at), lint.message).help(lint.help);
        lints.map(warning).collect()
    }
}
