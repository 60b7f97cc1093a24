//! Records how each value was found, for `explain`; `apply` runs the same code without a record.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::language::query_log::{QueryLog, QueryResult, QueryTrace};
use super::result::{MappedRequests, MappingError};

// A `for_each` may give 100,000 items, each with a reason of its own.
const REASONS_MAX: usize = 100;

/// Record of mapping one event.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Explanation {
    pub fields: Vec<FieldTrace>,
    pub blocks: Vec<BlockTrace>,
    /// Result of `apply` for the same event.
    #[serde(skip)]
    pub mapped: Option<Result<MappedRequests, MappingError>>,
}

/// One field of one request.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldTrace {
    /// Such as `feedback[0].problem`.
    pub field: String,
    /// Null if the field is empty.
    pub value: Value,
    /// The queries or templates that gave the value.
    pub query: Option<String>,
    /// All queries and templates that were evaluated, in order.
    pub tried: Vec<QueryTrace>,
    /// Reason why the field was left out, or what delivery does with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Requests of one block, and reasons for those that it did not make.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BlockTrace {
    /// Such as `feedback[0]`.
    pub block: String,
    pub requests: usize,
    /// Reasons why it made no request, or none for an item.
    pub reasons: Vec<String>,
}

/// Collects an explanation; the default recorder discards everything.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    kept: Option<Explanation>,
}

impl Recorder {
    pub(super) fn recording() -> Recorder {
        Recorder { kept: Some(Explanation::default()) }
    }

    pub(super) fn into_explanation(self) -> Explanation {
        self.kept.unwrap_or_default()
    }

    pub(super) fn query_log(&self) -> QueryLog {
        if self.kept.is_some() { QueryLog::recording() } else { QueryLog::default() }
    }

    // `field` is a closure, so that `apply`, which records nothing, formats no names.
    pub(super) fn field(
        &mut self,
        field: impl FnOnce() -> String,
        log: QueryLog,
        result: FieldResult<'_>,
    ) {
        let Some(kept) = &mut self.kept else {
            return;
        };
        let (value, note) = match result {
            FieldResult::Value(value) => (value.clone(), None),
            FieldResult::Note(note) => (Value::Null, Some(note.to_owned())),
        };
        let tried = log.into_traces();
        let has_value = |trace: &&QueryTrace| matches!(trace.gave, QueryResult::Value(_));
        // Several, where the values of all alternatives count, as in `tags`.
        let queries: Vec<&str> =
            tried.iter().filter(has_value).map(|trace| &*trace.query).collect();
        let query = (!queries.is_empty() && !value.is_null()).then(|| queries.join(", "));
        kept.fields.push(FieldTrace { field: field(), value, query, tried, note });
    }

    /// Adds a note to the most recent field.
    pub(super) fn add_note(&mut self, remark: &str) {
        if let Some(field) = self.kept.as_mut().and_then(|kept| kept.fields.last_mut()) {
            field.note = Some(remark.to_owned());
        }
    }

    pub(super) fn block(&mut self, name: &str) {
        if let Some(kept) = &mut self.kept {
            kept.blocks.push(BlockTrace {
                block: name.to_owned(),
                requests: 0,
                reasons: Vec::new(),
            });
        }
    }

    /// Adds a reason why the current block makes no request.
    pub(super) fn reason(&mut self, reason: &str) {
        if let Some(block) = self.kept.as_mut().and_then(|kept| kept.blocks.last_mut())
            && block.reasons.len() < REASONS_MAX
        {
            block.reasons.push(reason.to_owned());
        }
    }

    pub(super) fn request(&mut self) {
        if let Some(block) = self.kept.as_mut().and_then(|kept| kept.blocks.last_mut()) {
            block.requests += 1;
        }
    }
}

/// Result of filling a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum FieldResult<'t> {
    Value(&'t Value),
    Note(&'t str),
}
