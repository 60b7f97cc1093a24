//! Extracts one value outside of a block, as a provider's file does for an event's id and type.

use serde_json::Value;

use super::language::expression::Expression;
use super::language::item_values::ItemValues;
use super::language::query::Patterns;
use super::language::query_log::QueryLog;
use super::language::scope::Scope;
use super::language::template::{Templates, Variable};
use super::language::value::{Cardinality, clean, joined};
use super::language::value_reader::ValueReader;
use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::diagnostics::table::{Diagnostics, SpannedText};
use crate::event::Headers;

/// Value outside of a block, such as a provider file's `id` or `type`: a query `$...`, a template
/// with `payload` and `headers`, or `header:X-Name`.
#[derive(Debug, Clone)]
pub struct Extractor {
    templates: Templates,
    origin: ExtractorSource,
}

/// Reason why a value cannot be extracted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExtractError(String);

#[derive(Debug, Clone)]
enum ExtractorSource {
    Header(String),
    Expression(Expression),
    /// The text was a mistake, which is reported.
    Nothing,
}

impl Extractor {
    pub fn compile(text: &SpannedText, mistakes: &mut Diagnostics) -> Extractor {
        Extractor::compile_within(text, &Patterns::of_file(), mistakes)
    }

    /// Compiles the text; its regular expressions count against the budget `patterns`.
    pub fn compile_within(
        text: &SpannedText,
        patterns: &Patterns,
        mistakes: &mut Diagnostics,
    ) -> Extractor {
        let mut templates = Templates::new(patterns);
        let origin = match text.text.strip_prefix("header:") {
            Some(name) => header(name, text, mistakes),
            None => expression(text, &mut templates, mistakes),
        };
        Extractor { templates: templates.seal(), origin }
    }

    /// Returns the members of the payload's root object that the value depends on; `None` if it
    /// may depend on any of them.
    pub fn members(&self) -> Option<Vec<String>> {
        match &self.origin {
            ExtractorSource::Header(_) | ExtractorSource::Nothing => Some(Vec::new()),
            ExtractorSource::Expression(expression) => expression.members(),
        }
    }

    /// Returns whether it gives the same text for every payload.
    pub fn is_literal(&self) -> bool {
        matches!(&self.origin, ExtractorSource::Expression(Expression::Literal(_)))
    }

    /// Extracts the text; `None` if it is empty or evaluation fails.
    pub fn select(&self, payload: &Value, headers: &Headers) -> Option<String> {
        self.text(payload, headers).ok().filter(|text| !text.is_empty())
    }

    /// Extracts the text, which may be empty.
    pub fn text(&self, payload: &Value, headers: &Headers) -> Result<String, ExtractError> {
        match &self.origin {
            ExtractorSource::Header(name) => {
                Ok(headers.get(name).map(|value| clean(value)).unwrap_or_default())
            }
            ExtractorSource::Expression(expression) => {
                let scope = Scope::new(payload, headers);
                let view = ItemValues::new(&scope, &self.templates, None);
                let nodes = expression.nodes(&view, Cardinality::One, &mut QueryLog::default());
                nodes.map(|nodes| joined(&nodes, ", ")).map_err(|failure| ExtractError(failure.0))
            }
            ExtractorSource::Nothing => Ok(String::new()),
        }
    }
}

fn header(name: &str, text: &SpannedText, mistakes: &mut Diagnostics) -> ExtractorSource {
    let name = name.trim();
    // A token of RFC 9110, section 5.6.2.
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_!#$%&'*+.^`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        let mistake =
            Diagnostic::error(text.place.clone(), format!("`{name}` is not the name of a header"));
        mistakes.push(mistake.help("write \"header:X-Name\""));
        return ExtractorSource::Nothing;
    }
    // Headers are stored by their lower-case names.
    ExtractorSource::Header(name.to_ascii_lowercase())
}

fn expression(
    text: &SpannedText,
    templates: &mut Templates,
    mistakes: &mut Diagnostics,
) -> ExtractorSource {
    let known = [Variable::Payload, Variable::Headers, Variable::Jsonpath];
    // Only the table form of a value reads the document, and an extractor is a single text.
    let document = Document { name: String::new(), text: String::new() };
    let read = ValueReader::new(&document, templates, &known, mistakes).text(text);
    read.map_or(ExtractorSource::Nothing, ExtractorSource::Expression)
}
