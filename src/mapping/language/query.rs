//! JSONPath (RFC 9535): parsed by jsonpath-rust, checked at load, evaluated here within a budget.
//! Narrower than the RFC in one point: the pattern of `match` and `search` has to be a literal,
//! which is compiled at load; a pattern from the payload is refused.

mod advice;
mod ast;
mod compiler;
mod error;
mod evaluator;
mod lexer;
mod lint;
mod number;
mod pattern;

use jsonpath_rust::parser::errors::JsonPathError;
use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use pest::error::InputLocation;
use serde_json::Value;

use ast::{Logical, QueryPath, Start};
use compiler::QueryCompiler;
pub use error::QueryError;
pub use evaluator::BudgetExceeded;
use evaluator::{Evaluation, NODES_MAX, STEPS_MAX};
use lexer::QueryTokens;
pub use lint::Lint;
pub use pattern::Patterns;

/// Longer queries are refused, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// Query: `$...` on the payload, or `@...` on the item of a `for_each`.
#[derive(Debug, Clone)]
pub struct Query {
    path: QueryPath,
}

/// Condition of a `when`: a logical expression of RFC 9535, as inside of `[?...]`.
#[derive(Debug, Clone)]
pub struct Condition {
    logical: Logical,
}

impl Query {
    /// Parses a query; white space around it is an error, as in the RFC.
    pub fn parse(text: &str) -> Result<Query, QueryError> {
        Query::parse_within(text, &Patterns::of_file())
    }

    /// Parses a query; its regular expressions count against the budget `patterns`.
    pub(crate) fn parse_within(text: &str, patterns: &Patterns) -> Result<Query, QueryError> {
        let scan = QueryTokens::new(checked_length(text)?)?;
        advice::check_query(&scan)?;
        // The parser knows `@` only in filters. `$` is as long, so its positions stay right.
        let parsed = match text.strip_prefix('@') {
            Some(rest) => parse_json_path(&format!("${rest}")),
            None => parse_json_path(text),
        };
        let parsed = parsed.map_err(|error| unparsed(&error, 0, &scan))?;
        let start = if text.starts_with('@') { Start::Current } else { Start::Root };
        let path = QueryCompiler::new(&scan, patterns).path(start, &parsed.segments)?;
        Ok(Query { path })
    }

    /// Returns the nodes in the order of the RFC; `$` is `root`, `@` is `current`.
    pub fn nodes<'v>(
        &self,
        root: &'v Value,
        current: &'v Value,
    ) -> Result<Vec<&'v Value>, BudgetExceeded> {
        self.nodes_within(root, current, &mut { STEPS_MAX })
    }

    /// Returns the nodes; the steps are taken from a budget that several queries share.
    pub(crate) fn nodes_within<'v>(
        &self,
        root: &'v Value,
        current: &'v Value,
        budget: &mut usize,
    ) -> Result<Vec<&'v Value>, BudgetExceeded> {
        let nodes = within(root, budget, |evaluation| evaluation.nodes(&self.path, current))?;
        if nodes.len() > NODES_MAX { Err(BudgetExceeded) } else { Ok(nodes) }
    }

    /// Returns whether it starts at `@`.
    pub fn is_relative(&self) -> bool {
        self.path.start == Start::Current
    }

    /// Returns the member of the payload's root object below which it stays.
    pub(crate) fn member(&self) -> Option<&str> {
        // Only of singular queries, since a filter may refer to any part of the payload by `$`.
        let first = self.path.segments.first().filter(|_| self.is_singular())?;
        match &first.selectors[..] {
            [ast::Selector::Name(name)] if !self.is_relative() => Some(name),
            _ => None,
        }
    }

    /// Returns whether it gives at most one node for any payload.
    pub fn is_singular(&self) -> bool {
        self.path.is_singular()
    }
}

impl Condition {
    // The parser knows a condition only as the filter of a query.
    const BEFORE: &str = "$[?";
    const AFTER: &str = "]";

    pub fn parse(text: &str) -> Result<Condition, QueryError> {
        Condition::parse_within(text, &Patterns::of_file())
    }

    /// Parses a condition; its regular expressions count against the budget `patterns`.
    pub(crate) fn parse_within(text: &str, patterns: &Patterns) -> Result<Condition, QueryError> {
        let scan = QueryTokens::new(checked_length(text)?)?;
        advice::check_condition(&scan)?;
        let wrapped = format!("{}{text}{}", Condition::BEFORE, Condition::AFTER);
        let parsed = parse_json_path(&wrapped)
            .map_err(|error| unparsed(&error, Condition::BEFORE.len(), &scan))?;
        let JpQuery { segments } = parsed;
        let [Segment::Selector(Selector::Filter(filter))] = segments.as_slice() else {
            return Err(QueryError::new("this is not one condition", scan.whole()));
        };
        let logical = QueryCompiler::new(&scan, patterns).logical(filter)?;
        Ok(Condition { logical })
    }

    pub fn holds(&self, root: &Value, current: &Value) -> Result<bool, BudgetExceeded> {
        self.holds_within(root, current, &mut { STEPS_MAX })
    }

    /// Evaluates it; the steps are taken from a budget that several conditions share.
    pub(crate) fn holds_within(
        &self,
        root: &Value,
        current: &Value,
        budget: &mut usize,
    ) -> Result<bool, BudgetExceeded> {
        within(root, budget, |evaluation| evaluation.holds(&self.logical, current))
    }

    /// Returns what is probably not meant, by the text and by a sample payload.
    pub fn lints(&self, root: &Value, current: &Value) -> Vec<Lint> {
        lint::lints(&self.logical, root, current)
    }
}

/// Evaluates within a budget and deducts the steps from it.
fn within<'v, T>(
    root: &'v Value,
    budget: &mut usize,
    evaluate: impl FnOnce(&mut Evaluation<'v>) -> Result<T, BudgetExceeded>,
) -> Result<T, BudgetExceeded> {
    let mut evaluation = Evaluation::within(root, *budget);
    let before = evaluation.steps_left();
    let result = evaluate(&mut evaluation);
    // A query that fails has used up its own limit, whatever its last step would have cost.
    *budget -= before - result.as_ref().map_or(0, |_| evaluation.steps_left());
    result
}

fn checked_length(text: &str) -> Result<&str, QueryError> {
    if text.len() <= TEXT_BYTES_MAX {
        return Ok(text);
    }
    let message = format!("longer than {TEXT_BYTES_MAX} bytes");
    Err(QueryError::new(message, 0..text.len()))
}

/// Converts the parser's error; `shift` is the length of what was put before the text.
fn unparsed(error: &JsonPathError, shift: usize, scan: &QueryTokens<'_>) -> QueryError {
    match error {
        JsonPathError::PestError(error) => {
            let position = match error.location {
                InputLocation::Pos(position) | InputLocation::Span((position, _)) => position,
            };
            advice::unexpected(scan, position.saturating_sub(shift))
        }
        other => QueryError::new(format!("not JSONPath (RFC 9535): {other}"), scan.whole()),
    }
}

#[cfg(test)]
mod tests;
