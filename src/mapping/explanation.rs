//! Records how each value was found: for `explain`; `apply` runs the same code and records nothing.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::language::query_log::{QueryLog, QueryResult, QueryTrace};
use super::result::{MappedRequests, MappingError};

const REASONS_MAX: usize = 100;

/// Record of a mapping of one event.
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
    /// The query or template that gave the value.
    pub query: Option<String>,
    /// All that were asked, in order.
    pub tried: Vec<QueryTrace>,
    /// Why the field was left out, or what delivery does with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One block: how many requests it made, and why not more.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BlockTrace {
    /// Such as `feedback[0]`.
    pub block: String,
    pub requests: usize,
    /// Why it made none, or none for some item.
    pub reasons: Vec<String>,
}

/// Collects an explanation, if one is wanted.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    kept: Option<Explanation>,
}

impl Recorder {
    pub(super) fn keeping() -> Recorder {
        Recorder { kept: Some(Explanation::default()) }
    }

    pub(super) fn into_explanation(self) -> Explanation {
        self.kept.unwrap_or_default()
    }

    pub(super) fn tries(&self) -> QueryLog {
        if self.kept.is_some() { QueryLog::keeping() } else { QueryLog::default() }
    }

    pub(super) fn field(
        &mut self,
        field: impl FnOnce() -> String,
        tries: QueryLog,
        told: FieldResult<'_>,
    ) {
        let Some(kept) = &mut self.kept else {
            return;
        };
        let (value, note) = match told {
            FieldResult::Value(value) => (value.clone(), None),
            FieldResult::Note(note) => (Value::Null, Some(note.to_owned())),
        };
        let asked = tries.into_traces();
        let gave = |tried: &&QueryTrace| matches!(tried.gave, QueryResult::Value(_));
        let queries: Vec<&str> = asked.iter().filter(gave).map(|tried| &*tried.query).collect();
        let query = (!queries.is_empty() && !value.is_null()).then(|| queries.join(", "));
        kept.fields.push(FieldTrace { field: field(), value, query, tried: asked, note });
    }

    /// Adds a note to the most recent field.
    pub(super) fn remark(&mut self, remark: &str) {
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
