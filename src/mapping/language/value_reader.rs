//! Reads the values of a mapping file and reports the mistakes in them.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::expression::Expression;
use super::foreign_syntax::{foreign_syntax, in_payload, is_path};
use super::literal_path::WrittenLiteral;
use super::query::{Query, QueryError};
use super::steps::{Markup, ValueSteps};
use super::template::{self, Templates, Variable};
use super::validator::Validator;
use super::value::{Scalar, SpannedScalar};
use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable, as_text, word, wrong_type};
use crate::mapping::result::LinkMode;

/// Levels of nested tables and lists.
// Reading and evaluating a value recurse.
const DEPTH_MAX: usize = 16;

/// The one field whose value delivery may look up.
const TITLE: &str = "feature_request_title";

/// Reads the values of one table of a file.
pub(crate) struct ValueReader<'r> {
    pub(crate) document: &'r Document,
    pub(crate) templates: &'r mut Templates,
    pub(crate) known: &'r [Variable],
    pub(crate) mistakes: &'r mut Diagnostics,
    /// Validator of the field being read, if it holds exactly one value, such as a URL.
    // Several URLs would be joined to a text that is no URL.
    pub(crate) single_value: Option<&'static Validator>,
    /// The texts that are sent as they are.
    pub(crate) literals: Vec<WrittenLiteral>,
    depth: usize,
}

impl<'r> ValueReader<'r> {
    pub(crate) fn new(
        document: &'r Document,
        templates: &'r mut Templates,
        known: &'r [Variable],
        mistakes: &'r mut Diagnostics,
    ) -> ValueReader<'r> {
        ValueReader {
            document,
            templates,
            known,
            mistakes,
            single_value: None,
            literals: Vec::new(),
            depth: 0,
        }
    }

    /// Reads the value of a key; `None` if it is wrong, which is reported.
    pub(crate) fn read(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Expression> {
        if self.depth == DEPTH_MAX {
            let message = format!("`{key}` is nested too deep");
            self.mistakes.push(Diagnostic::error(value.span(), message));
            return None;
        }
        self.depth += 1;
        let read = self.nested(key, value);
        self.depth -= 1;
        read
    }

    // A function of its own: an early return in `read` would leave the depth increased for all
    // values after it.
    fn nested(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Expression> {
        match value.get_ref() {
            DeValue::String(_) => as_text(self.document, value).and_then(|text| self.text(&text)),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                let place = value.span();
                let literal = self.sent_literal(key, value)?;
                Some(Expression::Literal(SpannedScalar { value: literal, place }))
            }
            DeValue::Datetime(time) => {
                let literal = Scalar::Text(time.to_string());
                Some(Expression::Literal(SpannedScalar { value: literal, place: value.span() }))
            }
            DeValue::Array(items) => self.alternatives(key, items, value.span()),
            DeValue::Table(entries) => {
                let table = TomlTable::new(self.document, entries, value.span());
                self.table(key, table)
            }
        }
    }

    pub(crate) fn text(&mut self, text: &SpannedText) -> Option<Expression> {
        if self.is_query(&text.text) {
            let query = self.query(text)?;
            self.warn_of_several(text, &query);
            let (written, place) = (text.text.clone(), text.place.clone());
            return Some(Expression::Query { query, written, place });
        }
        if !["{{", "{%", "{#"].iter().any(|open| text.text.contains(open)) {
            let literal = template::literal(&text.text);
            if let Some(mut warning) = foreign_syntax(text) {
                // Without [answers] the template would be another mistake.
                let has_answers = self.known.contains(&Variable::Answers);
                warning.fix =
                    warning.fix.filter(|fix| has_answers || !fix.text.contains("answers"));
                self.mistakes.push(warning);
            } else if literal.is_some() {
                self.literals
                    .push(WrittenLiteral { text: text.clone(), is_whole: self.depth == 1 });
            }
            if let Some(literal) = &literal {
                self.warn_of_refused(literal, text.place.clone());
            }
            return Some(literal.map_or(Expression::Nothing, |value| {
                Expression::Literal(SpannedScalar { value, place: text.place.clone() })
            }));
        }
        let template = self.templates.add(text, self.known, self.mistakes)?;
        if let Some(one) = self.single_value {
            for query in &template.multi_value_queries {
                let message = multi_value_message(query, one);
                let quote = if query.contains('\'') { '"' } else { '\'' };
                let help = format!("write jsonpath({quote}{query}{quote}) | first");
                self.mistakes.push(Diagnostic::warning(text.place.clone(), message).help(help));
            }
        }
        let (written, place) = (text.text.clone(), text.place.clone());
        Some(Expression::Template { template, written, place })
    }

    fn warn_of_several(&mut self, text: &SpannedText, query: &Query) {
        let Some(one) = self.single_value.filter(|_| !query.is_singular()) else { return };
        let message = multi_value_message(&text.text, one);
        let query = text.text.replace('\\', "\\\\");
        let quote = if query.contains('"') { '\'' } else { '"' };
        let first = format!("{{{{ jsonpath({quote}{query}{quote}) | first }}}}");
        let fix = text.written(&first);
        // Escaped once more: the template is in a TOML string.
        let first = first.replace('\\', "\\\\").replace('"', "\\\"");
        let help = format!("for the first of them write \"{first}\"");
        let warning = Diagnostic::warning(text.place.clone(), message);
        self.mistakes.push(warning.help(help).maybe_fix(fix));
    }

    /// Warns of a literal that Savio refuses, as it would be left out of every request.
    pub(crate) fn warn_of_refused(&mut self, literal: &Scalar, place: Range<usize>) {
        let text = literal.text();
        let text = text.trim();
        let Some(one) = self.single_value.filter(|one| !text.is_empty() && !(one.is_valid)(text))
        else {
            return;
        };
        let message = format!("`{text}` is no {}, and Savio takes nothing else here", one.what);
        self.mistakes.push(Diagnostic::warning(place, message));
    }

    /// Returns whether the text is meant as a query.
    fn is_query(&self, text: &str) -> bool {
        // Without an item, `@`, `@.a` and `@[0]` are queries in the wrong place and get a message;
        // `@home` is a text.
        let Some(rest) = text.strip_prefix('@') else { return text.starts_with('$') };
        self.known.contains(&Variable::Item) || rest.is_empty() || rest.starts_with(['.', '['])
    }

    /// Parses a query; `@` is an error where there is no item.
    pub(crate) fn query(&mut self, text: &SpannedText) -> Option<Query> {
        let has_item = self.known.contains(&Variable::Item);
        if text.text.starts_with('@') && !has_item {
            let message = "`@` is the item of a for_each, and there is none here";
            let help = format!("begin with `$`, the payload; {}", literal_help(&text.text));
            let fix = text.replaced(0..1, "$");
            self.mistakes
                .push(Diagnostic::error(text.part(0..1), message).help(help).maybe_fix(fix));
            return None;
        }
        match Query::parse_within(&text.text, &self.templates.patterns) {
            Ok(query) => Some(query),
            Err(error) => {
                self.mistakes.push(query_mistake(text, error));
                None
            }
        }
    }

    fn alternatives(
        &mut self,
        key: &str,
        items: &[Spanned<DeValue<'_>>],
        place: Range<usize>,
    ) -> Option<Expression> {
        if items.is_empty() {
            self.mistakes.push(Diagnostic::warning(place, format!("`{key}` is always empty")));
        }
        // First all are read: collecting into an Option would stop at the first mistake.
        let read: Vec<_> = items.iter().map(|item| self.read(key, item)).collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Expression::Alternatives)
    }

    /// Reads a literal of `map` or `default`, or a number or boolean by itself.
    pub(crate) fn literal(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Scalar> {
        let literal = match value.get_ref() {
            DeValue::String(text) => Some(Scalar::Text(text.to_string())),
            DeValue::Boolean(boolean) => Some(Scalar::Boolean(*boolean)),
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|number| Scalar::Number(number.into())),
            DeValue::Float(float) => float
                .as_str()
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map(Scalar::Number),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
        };
        if let Some(Scalar::Text(text)) = &literal
            && (["$.", "$[", "@."].iter().any(|start| text.starts_with(start))
                || template::looks_up_variable(text))
        {
            let message = "this is sent as it is written: only `from` looks something up";
            let help = "write from = [\"$.a\", \"$.b\"] for the first that is not empty";
            self.mistakes.push(Diagnostic::warning(value.span(), message).help(help));
        }
        if literal.is_none() {
            self.mistakes.push(wrong_type(key, value, "a text, a number, true or false"));
        }
        literal
    }

    /// Reads the table form of a value.
    fn table(&mut self, key: &str, mut table: TomlTable<'_>) -> Option<Expression> {
        let written = table.value("from");
        let one = self.single_value;
        if table.value("map").is_some() {
            // The values of `map` are sent and checked; that of `from` is only looked up in it.
            self.single_value = None;
        }
        let from = written.and_then(|value| self.read("from", value));
        self.single_value = one;
        let markup = self.markup(&mut table);
        let map = table.table("map", self.mistakes).map(|map| self.map(&map));
        let join = table.text("join", self.mistakes).map(|text| text.text);
        let default = table.value("default").and_then(|value| {
            let literal = self.sent_literal("default", value)?;
            Some(SpannedScalar { value: literal, place: value.span() })
        });
        let number = table.boolean("number", self.mistakes).unwrap_or(false);
        let max = self.max(&mut table);
        let existing = self.existing(key, &mut table);
        if written.is_none() {
            let message = format!("`{key}` has no `from`");
            let help = "write from = \"$.path\", the value that the other keys change";
            let mistake = Diagnostic::error(table.place.clone(), message).help(help);
            self.mistakes.push(mistake.missing(vec!["from"]));
        }
        table.finish(self.mistakes);
        let default = default.filter(|default| !default.value.text().trim().is_empty());
        let steps = ValueSteps { markup, map, join, default, number, max, existing };
        Some(Expression::Table { from: Box::new(from?), steps: Box::new(steps) })
    }

    fn markup(&mut self, table: &mut TomlTable<'_>) -> Option<Markup> {
        let text = table.text("markup", self.mistakes)?;
        match text.text.as_str() {
            "html" => Some(Markup::Html),
            "slack" => Some(Markup::Slack),
            other => {
                let message = format!("there is no markup `{other}`");
                let meant = nearest(other, ["html", "slack"]);
                let help = match meant {
                    Some(meant) => format!("did you mean \"{meant}\"?"),
                    None => "write \"html\" or \"slack\"".to_owned(),
                };
                let fix = meant.and_then(|meant| text.written(meant));
                let mistake = Diagnostic::error(text.place.clone(), message);
                self.mistakes.push(mistake.help(help).maybe_fix(fix));
                None
            }
        }
    }

    fn map(&mut self, table: &TomlTable<'_>) -> HashMap<String, Scalar> {
        let mut map = HashMap::new();
        for (key, value) in table.entries() {
            if let Some(literal) = self.sent_literal(&key.text, value) {
                map.insert(key.text, literal);
            }
        }
        map
    }

    fn sent_literal(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Scalar> {
        let literal = self.literal(key, value)?;
        self.warn_of_refused(&literal, value.span());
        Some(literal)
    }

    /// Reads `existing`, which is permitted only at the title itself.
    fn existing(&mut self, key: &str, table: &mut TomlTable<'_>) -> Option<LinkMode> {
        let text = table.text("existing", self.mistakes)?;
        // Inside of alternatives it would depend on the payload whether the title is looked up.
        if key != TITLE || self.depth != 1 {
            let message = format!("`existing` belongs to `{TITLE}` itself");
            let help =
                format!("write {TITLE} = {{ from = [\"$.a\", \"$.b\"], existing = \"prefer\" }}");
            self.mistakes.push(Diagnostic::error(table.key_place("existing"), message).help(help));
            return None;
        }
        let words = [("prefer", LinkMode::Prefer), ("only", LinkMode::Only)];
        word(&text, &words, self.mistakes)
    }

    fn max(&mut self, table: &mut TomlTable<'_>) -> Option<NonZeroUsize> {
        let max = table.number("max", self.mistakes)?;
        let max = NonZeroUsize::new(usize::try_from(max).unwrap_or(usize::MAX));
        if max.is_none() {
            let place = table.key_place("max");
            self.mistakes.push(Diagnostic::error(place, "`max` is 1 or more"));
        }
        max
    }
}

fn multi_value_message(query: &str, one: &Validator) -> String {
    format!("`{query}` may give several values, and Savio takes one {}", one.what_briefly)
}

/// Returns advice how to write a text that would be read as a query.
fn literal_help(text: &str) -> String {
    format!("for the text itself write {}", quoted_literal(text))
}

fn quoted_literal(text: &str) -> String {
    format!("{{{{ '{}' }}}}", text.replace('\'', "\\'"))
}

/// Converts the error of a query or condition to a mistake in the file.
pub(crate) fn query_mistake(text: &SpannedText, error: QueryError) -> Diagnostic {
    let mistake = Diagnostic::error(text.part(error.at), error.message);
    if text.text.starts_with("${") {
        let (inner, rest) = text.text[2..].split_once('}').unwrap_or((&text.text[2..], ""));
        let template = format!("{{{{ {} }}}}", in_payload(inner.trim()));
        let fix = is_path(inner.trim()).then(|| text.written(&format!("{template}{rest}")));
        let mistake = Diagnostic::error(text.place.clone(), "a template has double braces");
        return mistake.help(format!("write {template}")).maybe_fix(fix.flatten());
    }
    // `$5` is more likely a price than a query.
    let rest = text.text.strip_prefix('$').unwrap_or_default();
    if !rest.is_empty() && !rest.starts_with(['.', '[']) {
        let fix = text.written(&quoted_literal(&text.text));
        return mistake.help(literal_help(&text.text)).maybe_fix(fix);
    }
    let fix = error.fix.and_then(|(at, by)| text.replaced(at, &by));
    mistake.maybe_help(error.help).maybe_fix(fix)
}
