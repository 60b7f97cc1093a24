//! `when`: a JSONPath condition, or an expression of a template.

use serde_json::Value;

use crate::mistake::Mistake;
use crate::table::{Table, Text};

use super::expression::{Reader, query_mistake};
use super::plain::Failure;
use super::query::{Condition, Doubt};
use super::scope::View;
use super::template::Template;

#[derive(Debug, Clone)]
pub(super) enum When {
    Condition { condition: Condition, text: Text },
    Template(Template),
}

impl When {
    /// Reads the key `when`; nothing if it is not there, or a mistake.
    pub(super) fn read(table: &mut Table<'_>, reader: &mut Reader<'_>) -> Option<When> {
        let text = table.text("when", reader.mistakes)?;
        if text.text.contains("{{") || text.text.contains("{%") {
            return When::template(&text, reader);
        }
        match Condition::parse_within(&text.text, &reader.templates.patterns) {
            Ok(condition) => Some(When::Condition { condition, text }),
            Err(error) => {
                reader.mistakes.push(query_mistake(&text, error));
                None
            }
        }
    }

    fn template(text: &Text, reader: &mut Reader<'_>) -> Option<When> {
        let template = reader.templates.add(text, reader.known, reader.mistakes)?;
        if template.is_expression() {
            return Some(When::Template(template));
        }
        let message = "`when` wants one condition, or one {{ expression }}";
        let help = "write \"@.path == 'text'\" or \"{{ payload.path == 'text' }}\"";
        reader.mistakes.push(Mistake::error(text.place.clone(), message).help(help));
        None
    }

    pub(super) fn holds(&self, view: &View<'_>) -> Result<bool, Failure> {
        match self {
            When::Condition { condition, .. } => view.holds(condition),
            When::Template(template) => view.templates.holds(template, view),
        }
    }

    /// What is probably not meant, seen with a sample; `current` is what `@` is.
    pub(super) fn doubts(&self, payload: &Value, current: &Value) -> Vec<Mistake> {
        let When::Condition { condition, text } = self else {
            return Vec::new();
        };
        let doubts = condition.doubts(payload, current).into_iter();
        let warning =
            |doubt: Doubt| Mistake::warning(text.part(doubt.at), doubt.message).help(doubt.help);
        doubts.map(warning).collect()
    }
}
