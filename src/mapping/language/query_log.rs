//! Log of the queries and templates that a value evaluated: kept for an explanation, else empty.

use std::ops::Range;

use serde::Serialize;
use utoipa::ToSchema;

use super::taken::{NodePlace, TakenNodes};
use super::value::{Scalar, SpannedScalar, ValueError, joined};

/// Characters of a value that an explanation shows.
const SHOWN_MAX: usize = 200;

/// One query or template, and its result.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AskedQuery)]
pub struct QueryTrace {
    pub query: String,
    pub gave: QueryResult,
}

#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueryResult {
    /// The value, cut if it is long.
    Value(String),
    Nothing,
    Failure(String),
}

/// One entry of a log, with what the value of the field was taken from.
#[derive(Debug)]
pub(crate) struct LoggedQuery {
    pub(crate) trace: QueryTrace,
    /// Place in the mapping file.
    pub(crate) place: Range<usize>,
    pub(crate) nodes: Vec<NodePlace>,
    /// Whether the field's value is made of it.
    pub(crate) is_used: bool,
}

/// Queries and templates that one field evaluated.
#[derive(Debug, Default)]
pub(crate) struct QueryLog {
    kept: Option<Vec<LoggedQuery>>,
}

impl QueryLog {
    /// Returns a log that records; the default one discards.
    pub(crate) fn recording() -> QueryLog {
        QueryLog { kept: Some(Vec::new()) }
    }

    pub(crate) fn into_entries(self) -> Vec<LoggedQuery> {
        self.kept.unwrap_or_default()
    }

    /// Evaluates a query or template, and adds it.
    pub(crate) fn evaluate(
        &mut self,
        (written, place): (&str, &Range<usize>),
        taken: &TakenNodes,
        evaluate: impl FnOnce() -> Result<Vec<Scalar>, ValueError>,
    ) -> Result<Vec<Scalar>, ValueError> {
        if self.kept.is_none() {
            return evaluate();
        }
        let (found, nodes) = taken.during(evaluate);
        self.add((written, place), &found, nodes);
        found
    }

    pub(crate) fn add_literal(&mut self, literal: &SpannedScalar) {
        if self.kept.is_some() {
            let found = Ok(vec![literal.value.clone()]);
            self.add((&literal.value.text(), &literal.place), &found, Vec::new());
        }
    }

    pub(crate) fn add_default(&mut self, default: &SpannedScalar) {
        if self.kept.is_some() {
            let found = Ok(vec![default.value.clone()]);
            self.add(("default", &default.place), &found, Vec::new());
        }
    }

    fn add(
        &mut self,
        (written, place): (&str, &Range<usize>),
        found: &Result<Vec<Scalar>, ValueError>,
        nodes: Vec<NodePlace>,
    ) {
        let gave = match found {
            Ok(nodes) if nodes.is_empty() => QueryResult::Nothing,
            Ok(nodes) => QueryResult::Value(shortened(&joined(nodes, ", "))),
            Err(failure) => QueryResult::Failure(failure.0.clone()),
        };
        let is_used = matches!(gave, QueryResult::Value(_));
        let trace = QueryTrace { query: written.to_owned(), gave };
        let entry = LoggedQuery { trace, place: place.clone(), nodes, is_used };
        self.kept.get_or_insert_default().push(entry);
    }

    /// Returns the number of entries so far.
    pub(crate) fn len(&self) -> usize {
        self.kept.as_ref().map_or(0, Vec::len)
    }

    /// Notes that the entries from this one on gave nothing that the value is made of.
    pub(crate) fn unused_from(&mut self, first: usize) {
        let entries = self.kept.iter_mut().flatten().skip(first);
        entries.for_each(|entry| entry.is_used = false);
    }

    /// Notes that of the entries from `first` on only those from `used` on gave the value.
    pub(crate) fn unused_between(&mut self, first: usize, used: usize) {
        let entries = self.kept.iter_mut().flatten().take(used).skip(first);
        entries.for_each(|entry| entry.is_used = false);
    }
}

/// Returns the beginning of a long text.
pub(crate) fn shortened(text: &str) -> String {
    if text.chars().nth(SHOWN_MAX).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(SHOWN_MAX - 1).collect();
    format!("{kept}…")
}
