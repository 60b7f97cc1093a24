//! Records how each value was found, for `explain`; `apply` runs the same code without a record.

use std::ops::Range;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::language::form_answers::FormAnswers;
use super::language::query_log::{LoggedQuery, QueryLog, QueryTrace, shortened};
use super::language::taken::{NodePlace, TakenNodes, normalized_paths};
use super::result::{MappedRequests, MappingError};
use crate::diagnostics::line_index::LineIndex;

// A `for_each` may give 100,000 items, each with a reason of its own.
const REASONS_MAX: usize = 100;
/// Fields that are explained: those of the most requests that an event may become.
const FIELDS_MAX: usize = 10_000;
/// Answers that are listed.
const ANSWERS_MAX: usize = 500;

/// Record of mapping one event.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Explanation {
    pub fields: Vec<FieldTrace>,
    pub blocks: Vec<BlockTrace>,
    /// Answers of the form, if the file has `[answers]`.
    pub answers: Vec<AnswerTrace>,
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
    /// Line in the mapping file of the query, template or text that gave the value; of all that is
    /// written for the field, if several did or none. Lines and columns count from 1.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
    pub end_line: usize,
    /// Column behind the last character.
    pub end_column: usize,
    /// Normalized paths (RFC 9535) of the values of the payload that were read for it, at most 100 for
    /// a query or template.
    pub nodes: Vec<String>,
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

/// One question of a form and its answer, as templates look them up.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AnswerTrace {
    pub question: String,
    /// The answer, cut if it is long.
    pub answer: String,
    /// Normalized paths of the values that it was read from.
    pub nodes: Vec<String>,
}

/// Collects an explanation; the default recorder discards everything.
#[derive(Debug, Default)]
pub(crate) struct Recorder<'r> {
    kept: Option<Record<'r>>,
}

#[derive(Debug)]
struct Record<'r> {
    explanation: Explanation,
    /// What each field took, in the same order.
    places: Vec<Vec<NodePlace>>,
    taken: TakenNodes,
    lines: &'r LineIndex<'r>,
}

impl<'r> Recorder<'r> {
    /// Returns a recorder; `lines` are those of the mapping file.
    pub(super) fn recording(lines: &'r LineIndex<'r>) -> Recorder<'r> {
        let taken = TakenNodes::recording();
        let explanation = Explanation::default();
        Recorder { kept: Some(Record { explanation, places: Vec::new(), taken, lines }) }
    }

    /// Returns the record of what the values take of the payload.
    pub(super) fn taken(&self) -> TakenNodes {
        self.kept.as_ref().map(|record| record.taken.clone()).unwrap_or_default()
    }

    pub(super) fn is_recording(&self) -> bool {
        self.kept.is_some()
    }

    pub(super) fn into_explanation(self, payload: &Value) -> Explanation {
        let Some(Record { mut explanation, mut places, .. }) = self.kept else {
            return Explanation::default();
        };
        let mut paths = normalized_paths(payload, &places).into_iter();
        places.clear();
        for field in &mut explanation.fields {
            field.nodes = paths.next().unwrap_or_default();
        }
        for answer in &mut explanation.answers {
            answer.nodes = paths.next().unwrap_or_default();
        }
        explanation
    }

    pub(super) fn query_log(&self) -> QueryLog {
        if self.kept.is_some() { QueryLog::recording() } else { QueryLog::default() }
    }

    // `field` is a closure, so that `apply`, which records nothing, formats no names.
    pub(super) fn field(
        &mut self,
        (field, place): (impl FnOnce() -> String, &Range<usize>),
        log: QueryLog,
        result: FieldResult<'_>,
    ) {
        let Some(record) = &mut self.kept else {
            return;
        };
        if record.explanation.fields.len() == FIELDS_MAX {
            return;
        }
        let (value, note) = match result {
            FieldResult::Value(value) => (value.clone(), None),
            FieldResult::Note(note) => (Value::Null, Some(note.to_owned())),
        };
        let mut entries = log.into_entries();
        // Several, where the values of all alternatives count, as in `tags`.
        let used = || entries.iter().filter(|entry| entry.is_used && !value.is_null());
        let queries: Vec<&str> = used().map(|entry| &*entry.trace.query).collect();
        let query = (!queries.is_empty()).then(|| queries.join(", "));
        let place = match used().collect::<Vec<&LoggedQuery>>().as_slice() {
            [only] => &only.place,
            [] | [_, ..] => place,
        };
        let at = record.lines.span(place);
        let is_empty = value.is_null();
        let nodes = entries.iter_mut().filter(|entry| entry.is_used && !is_empty);
        record.places.push(nodes.flat_map(|entry| std::mem::take(&mut entry.nodes)).collect());
        record.explanation.fields.push(FieldTrace {
            field: field(),
            value,
            query,
            line: at.line,
            column: at.column,
            end_line: at.end_line,
            end_column: at.end_column,
            nodes: Vec::new(),
            tried: entries.into_iter().map(|entry| entry.trace).collect(),
            note,
        });
    }

    /// Adds a note to the most recent field.
    pub(super) fn add_note(&mut self, remark: &str) {
        if let Some(field) = self.kept.as_mut().and_then(|kept| kept.explanation.fields.last_mut())
        {
            field.note = Some(remark.to_owned());
        }
    }

    pub(super) fn block(&mut self, name: &str) {
        if let Some(kept) = &mut self.kept {
            kept.explanation.blocks.push(BlockTrace {
                block: name.to_owned(),
                requests: 0,
                reasons: Vec::new(),
            });
        }
    }

    /// Adds a reason why the current block makes no request.
    pub(super) fn reason(&mut self, reason: &str) {
        if let Some(block) = self.current_block()
            && block.reasons.len() < REASONS_MAX
        {
            block.reasons.push(reason.to_owned());
        }
    }

    pub(super) fn request(&mut self) {
        if let Some(block) = self.current_block() {
            block.requests += 1;
        }
    }

    /// Adds the answers of the form; call it once, after the last field.
    pub(super) fn answers(&mut self, answers: &FormAnswers) {
        let Some(record) = &mut self.kept else { return };
        for (question, answer, places) in answers.texts().take(ANSWERS_MAX) {
            record.places.push(places.to_vec());
            record.explanation.answers.push(AnswerTrace {
                question: question.to_owned(),
                answer: shortened(&answer),
                nodes: Vec::new(),
            });
        }
    }

    fn current_block(&mut self) -> Option<&mut BlockTrace> {
        self.kept.as_mut().and_then(|kept| kept.explanation.blocks.last_mut())
    }
}

/// Result of filling a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum FieldResult<'t> {
    Value(&'t Value),
    Note(&'t str),
}
