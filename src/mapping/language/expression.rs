//! One value of a mapping file: a query, a template, a literal, alternatives, or a table of steps.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::query::{Query, QueryError};
use super::scope::ItemScope;
use super::steps::ValueSteps;
use super::template::{Template, Templates, Variable};
use super::validators::Validator;
use super::value::{Scalar, ScalarList, ValueError};
use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable, text_of, wrong_type};
use crate::mapping::explanation::QueryLog;

/// Tables in tables and lists in lists may go this deep.
const DEPTH_MAX: usize = 16;

#[derive(Debug, Clone)]
pub(crate) enum Expression {
    Query {
        query: Query,
        written: String,
    },
    Template {
        template: Template,
        written: String,
    },
    Literal(Scalar),
    /// A text without `{{ }}` that is empty.
    Nothing,
    Alternatives(Vec<Expression>),
    Steps(Box<ValueSteps>),
}

/// How many nodes the place of a value takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cardinality {
    /// One text: alternatives end with the first that is not empty.
    One,
    /// The answer of a form: as one text, but objects count as their entries.
    Answer,
    /// A list: all alternatives count.
    Many,
}

/// Whether Savio would take the nodes as the value of a field, else why not.
pub(crate) type NodesCheck<'c> = &'c dyn Fn(&[Scalar]) -> Result<(), ValueError>;

#[derive(Debug, Default)]
pub(crate) struct ValidNodes {
    pub(crate) nodes: Vec<Scalar>,
    /// What is wrong with the value whose place `default` took.
    pub(crate) replaced: Option<ValueError>,
}

impl From<Vec<Scalar>> for ValidNodes {
    fn from(nodes: Vec<Scalar>) -> ValidNodes {
        ValidNodes { nodes, replaced: None }
    }
}

/// What is needed to read values, and what can be looked up where they stand.
pub(crate) struct ValueReader<'r> {
    pub(crate) document: &'r Document,
    pub(crate) templates: &'r mut Templates,
    pub(crate) known: &'r [Variable],
    pub(crate) mistakes: &'r mut Diagnostics,
    /// What the value is to be exactly one of, such as a URL: several would be joined, and are none.
    pub(crate) one: Option<&'static Validator>,
    pub(super) depth: usize,
}

impl<'r> ValueReader<'r> {
    pub(crate) fn new(
        document: &'r Document,
        templates: &'r mut Templates,
        known: &'r [Variable],
        mistakes: &'r mut Diagnostics,
    ) -> ValueReader<'r> {
        ValueReader { document, templates, known, mistakes, one: None, depth: 0 }
    }

    /// Reads the value of a key; nothing if it is a mistake.
    pub(crate) fn read(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Expression> {
        if self.depth == DEPTH_MAX {
            let message = format!("`{key}` is nested too deep");
            self.mistakes.push(Diagnostic::error(value.span(), message));
            return None;
        }
        self.depth += 1;
        let read = match value.get_ref() {
            DeValue::String(_) => text_of(self.document, value).and_then(|text| self.text(&text)),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                let literal = self.literal(key, value)?;
                self.warn_of_refused(&literal, value.span());
                Some(Expression::Literal(literal))
            }
            DeValue::Datetime(time) => Some(Expression::Literal(Scalar::Text(time.to_string()))),
            DeValue::Array(items) => self.alternatives(key, items, value.span()),
            DeValue::Table(entries) => {
                let table = TomlTable::new(self.document, entries, value.span());
                self.steps(key, table).map(|steps| Expression::Steps(Box::new(steps)))
            }
        };
        self.depth -= 1;
        read
    }

    pub(crate) fn text(&mut self, text: &SpannedText) -> Option<Expression> {
        if self.is_query(&text.text) {
            let query = self.query(text)?;
            self.warn_of_several(text, &query);
            return Some(Expression::Query { query, written: text.text.clone() });
        }
        if !["{{", "{%", "{#"].iter().any(|open| text.text.contains(open)) {
            let literal = super::template::literal(&text.text);
            if let Some(literal) = &literal {
                self.warn_of_refused(literal, text.place.clone());
            }
            return Some(literal.map_or(Expression::Nothing, Expression::Literal));
        }
        let template = self.templates.add(text, self.known, self.mistakes)?;
        if let Some(one) = self.one {
            for query in &template.several {
                let message = several(query, one);
                let quote = if query.contains('\'') { '"' } else { '\'' };
                let help = format!("write jsonpath({quote}{query}{quote}) | first");
                self.mistakes.push(Diagnostic::warning(text.place.clone(), message).help(help));
            }
        }
        Some(Expression::Template { template, written: text.text.clone() })
    }

    fn warn_of_several(&mut self, text: &SpannedText, query: &Query) {
        let Some(one) = self.one.filter(|_| !query.is_singular()) else { return };
        let message = several(&text.text, one);
        let query = text.text.replace('\\', "\\\\");
        let quote = if query.contains('"') { '\'' } else { '"' };
        let first = format!("{{{{ jsonpath({quote}{query}{quote}) | first }}}}");
        let first = first.replace('\\', "\\\\").replace('"', "\\\"");
        let help = format!("for the first of them write \"{first}\"");
        self.mistakes.push(Diagnostic::warning(text.place.clone(), message).help(help));
    }

    /// A literal that is left out of every request.
    pub(crate) fn warn_of_refused(&mut self, literal: &Scalar, place: Range<usize>) {
        let text = literal.text();
        let text = text.trim();
        let Some(one) = self.one.filter(|one| !text.is_empty() && !(one.is_valid)(text)) else {
            return;
        };
        let message = format!("`{text}` is no {}, and Savio takes nothing else here", one.what);
        self.mistakes.push(Diagnostic::warning(place, message));
    }

    /// Where there is no item, a text such as `@home` is no query of it that was put at the wrong place.
    fn is_query(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix('@') else { return text.starts_with('$') };
        self.known.contains(&Variable::Item) || rest.is_empty() || rest.starts_with(['.', '['])
    }

    /// A query at its place: `@` only where there is an item.
    pub(crate) fn query(&mut self, text: &SpannedText) -> Option<Query> {
        let has_item = self.known.contains(&Variable::Item);
        if text.text.starts_with('@') && !has_item {
            let message = "`@` is the item of a for_each, and there is none here";
            let help = format!("begin with `$`, the payload; {}", literal_help(&text.text));
            self.mistakes.push(Diagnostic::error(text.part(0..1), message).help(help));
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
        // All are read, so that all mistakes are found.
        let read: Vec<_> = items.iter().map(|item| self.read(key, item)).collect();
        read.into_iter().collect::<Option<Vec<_>>>().map(Expression::Alternatives)
    }

    /// A literal of a `map` or `default`, or a number or boolean by itself.
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
        if literal.is_none() {
            self.mistakes.push(wrong_type(key, value, "a text, a number, true or false"));
        }
        literal
    }
}

fn several(query: &str, one: &Validator) -> String {
    format!("`{query}` may give several values, and Savio takes one {}", one.what_briefly)
}

/// How to write a text that would be read as a query.
fn literal_help(text: &str) -> String {
    format!("for the text itself write {{{{ '{}' }}}}", text.replace('\'', "\\'"))
}

/// A query's or condition's error as a mistake in the file.
pub(crate) fn query_mistake(text: &SpannedText, error: QueryError) -> Diagnostic {
    let mistake = Diagnostic::error(text.part(error.at), error.message);
    let rest = text.text.strip_prefix('$').unwrap_or_default();
    if !rest.is_empty() && !rest.starts_with(['.', '[']) {
        return mistake.help(literal_help(&text.text));
    }
    Diagnostic { help: error.help, ..mistake }
}

impl Expression {
    /// The members of the payload's outermost object that it looks at; none if it may look at all.
    pub(crate) fn members(&self) -> Option<Vec<String>> {
        match self {
            Expression::Query { query, .. } => Some(vec![query.member()?.to_owned()]),
            Expression::Template { template, .. } => template.members.clone(),
            Expression::Literal(_) | Expression::Nothing => Some(Vec::new()),
            Expression::Alternatives(alternatives) => {
                let all: Option<Vec<_>> = alternatives.iter().map(Expression::members).collect();
                all.map(|members| members.concat())
            }
            Expression::Steps(_) => None,
        }
    }

    /// The nodes that this value comes to; each leaf that was asked is noted in `tries`.
    pub(crate) fn nodes(
        &self,
        view: &ItemScope<'_>,
        takes: Cardinality,
        tries: &mut QueryLog,
    ) -> Result<Vec<Scalar>, ValueError> {
        match self {
            Expression::Query { query, written } => {
                let found = view.nodes(query).and_then(|values| match takes {
                    Cardinality::One | Cardinality::Many => ScalarList::of_json(values),
                    Cardinality::Answer => ScalarList::of_answer(values),
                });
                let found = found.and_then(|nodes| view.scope.charge(nodes));
                tries.add(written, &found);
                found
            }
            Expression::Template { template, written } => {
                let found = view.templates.nodes(template, view);
                let found = found.and_then(|nodes| view.scope.charge(nodes));
                tries.add(written, &found);
                found
            }
            Expression::Literal(literal) => {
                let found = Ok(vec![literal.clone()]);
                tries.add(&literal.text(), &found);
                found
            }
            Expression::Nothing => Ok(Vec::new()),
            Expression::Alternatives(alternatives) => {
                let mut all = Vec::new();
                for alternative in alternatives {
                    all.extend(alternative.nodes(view, takes, tries)?);
                    if takes != Cardinality::Many && !all.is_empty() {
                        break;
                    }
                }
                Ok(all)
            }
            Expression::Steps(steps) => steps.nodes(view, takes, tries),
        }
    }

    /// Returns the nodes of the first alternative that `check` takes; where it takes none, what the first gives that
    /// is not empty, or its failure.
    pub(crate) fn valid_nodes(
        &self,
        view: &ItemScope<'_>,
        check: NodesCheck<'_>,
        tries: &mut QueryLog,
    ) -> Result<ValidNodes, ValueError> {
        let alternatives = match self {
            Expression::Alternatives(alternatives) => alternatives,
            Expression::Steps(steps) => return steps.valid_nodes(view, check, tries),
            _ => return self.nodes(view, Cardinality::One, tries).map(ValidNodes::from),
        };
        let mut refused = None;
        for alternative in alternatives {
            match alternative.valid_nodes(view, check, tries) {
                Ok(found) if found.nodes.is_empty() => {}
                Ok(found) if check(&found.nodes).is_ok() => return Ok(found),
                other => drop(refused.get_or_insert(other)),
            }
        }
        refused.unwrap_or_else(|| Ok(ValidNodes::default()))
    }
}
