//! Log of the queries and templates that a value evaluated: kept for an explanation, else empty.

use serde::Serialize;
use utoipa::ToSchema;

use super::value::{Scalar, ValueError, joined};

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

/// Queries and templates that one field evaluated.
#[derive(Debug, Default)]
pub(crate) struct QueryLog {
    kept: Option<Vec<QueryTrace>>,
}

impl QueryLog {
    /// Returns a log that records; the default one discards.
    pub(crate) fn recording() -> QueryLog {
        QueryLog { kept: Some(Vec::new()) }
    }

    pub(crate) fn into_traces(self) -> Vec<QueryTrace> {
        self.kept.unwrap_or_default()
    }

    pub(crate) fn add(&mut self, written: &str, found: &Result<Vec<Scalar>, ValueError>) {
        let Some(kept) = &mut self.kept else {
            return;
        };
        let gave = match found {
            Ok(nodes) if nodes.is_empty() => QueryResult::Nothing,
            Ok(nodes) => QueryResult::Value(shortened(&joined(nodes, ", "))),
            Err(failure) => QueryResult::Failure(failure.0.clone()),
        };
        kept.push(QueryTrace { query: written.to_owned(), gave });
    }

    pub(crate) fn add_default(&mut self, default: &Scalar) {
        if let Some(kept) = &mut self.kept {
            let gave = QueryResult::Value(shortened(&default.text()));
            kept.push(QueryTrace { query: "default".to_owned(), gave });
        }
    }
}

fn shortened(text: &str) -> String {
    if text.chars().nth(SHOWN_MAX).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(SHOWN_MAX - 1).collect();
    format!("{kept}…")
}
