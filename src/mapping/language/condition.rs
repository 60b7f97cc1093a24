//! `when`: a JSONPath condition, or an expression of a template.

use serde_json::Value;

use super::item_values::ItemValues;
use super::query::{Condition, Lint};
use super::template::{self, Template};
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
        let has_code = |text: &str| text.contains("{{") || text.contains("{%");
        let parts = QuotedParts::of(&text.text);
        let is_template = match &parts {
            Some(parts) => has_code(&parts.around),
            None => has_code(&text.text),
        };
        if is_template {
            return WhenClause::template(&text, reader);
        }
        let condition = match Condition::parse_within(&text.text, &reader.templates.patterns) {
            Ok(condition) => condition,
            Err(error) => {
                reader.mistakes.push(query_mistake(&text, error));
                return None;
            }
        };
        if has_code(&text.text) && parts.is_some_and(|parts| parts.may_be_meant_as_template()) {
            reader.mistakes.push(quoted_template(&text));
            return None;
        }
        Some(WhenClause::Condition { condition, text })
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
    pub(crate) fn lints(&self, payload: &Value, current: &Value) -> Vec<Diagnostic> {
        let WhenClause::Condition { condition, text } = self else {
            return Vec::new();
        };
        let lints = condition.lints(payload, current).into_iter();
        let warning =
            |lint: Lint| Diagnostic::warning(text.part(lint.at), lint.message).help(lint.help);
        lints.map(warning).collect()
    }
}

/// The texts in quotes of a condition, and what stands around them.
struct QuotedParts<'t> {
    quoted: Vec<&'t str>,
    around: String,
}

impl<'t> QuotedParts<'t> {
    /// Cuts the text at its quotes; `None` if one is not closed.
    fn of(text: &'t str) -> Option<QuotedParts<'t>> {
        let mut parts = QuotedParts { quoted: Vec::new(), around: String::new() };
        let mut open: Option<(char, usize)> = None;
        let mut is_escaped = false;
        for (at, c) in text.char_indices() {
            match open {
                None if matches!(c, '\'' | '"') => open = Some((c, at + 1)),
                None => parts.around.push(c),
                Some(_) if is_escaped => is_escaped = false,
                Some((quote, start)) if c == quote => {
                    parts.quoted.push(&text[start..at]);
                    open = None;
                }
                Some(_) => is_escaped = c == '\\',
            }
        }
        open.is_none().then_some(parts)
    }

    /// Returns whether a text in quotes may be meant as a template, although it is compared as it
    /// is: it looks up a variable, or nothing else in the condition reads the payload.
    fn may_be_meant_as_template(&self) -> bool {
        self.quoted.iter().any(|text| template::looks_up_variable(text))
            || !self.around.contains(['$', '@'])
    }
}

fn quoted_template(text: &SpannedText) -> Diagnostic {
    let message = "the braces are in quotes, where they are text and no template";
    let help = "write \"{{ payload.path == payload.other }}\" or \"@.path == $.other\"; for the \
                braces themselves write '\\u007b{'";
    Diagnostic::error(text.place.clone(), message).help(help)
}
