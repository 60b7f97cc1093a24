//! Turns an event's payload into requests, by the rules of a mapping file.

mod explanation;
mod extractor;
pub mod language;
mod markup;
mod result;
mod rules;

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::line_index::LineIndex;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::{Event, RequestKind, TypePattern};
use explanation::Recorder;
pub use explanation::{AnswerTrace, BlockTrace, Explanation, FieldTrace};
pub use extractor::{ExtractError, Extractor};
pub use language::query::Patterns;
pub use language::query_log::{QueryResult, QueryTrace};
use language::scope::{AnswerSource, Scope};
use language::taken::TakenNodes;
use language::template::Templates;
pub use language::template::{TEMPLATE_FUNCTIONS, TemplateFunction};
pub use result::{FailedMapping, FeatureRequestLink, LinkMode, MappedRequests, MappingError};
pub use rules::answers::AnswerRules;
use rules::block::{BlockCompiler, BlockPlace, MappingRun, RuleBlock};
pub use rules::event_filter::events;

/// The compiled blocks of one mapping file.
#[derive(Debug)]
pub struct Mapping {
    /// In the order in which their requests are sent.
    blocks: Vec<RuleBlock>,
    templates: Templates,
    answers: Option<AnswerRules>,
}

/// Name of a block and its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockName {
    /// Such as `feedback[0]`.
    pub name: String,
    /// The same in each text of the file in which it runs for the same events, with as many blocks
    /// of its kind: begins with its name.
    pub id: Arc<str>,
    pub place: Range<usize>,
    /// The fields that the file fills, by their positions in a `FieldSet`.
    pub fields: Vec<(usize, &'static str)>,
}

impl Mapping {
    /// Compiles the blocks `[[feedback]]`, `[[contact]]` and `[[company]]` of a mapping file.
    pub fn compile(
        file: &mut TomlTable<'_>,
        answers: Option<AnswerRules>,
        mistakes: &mut Diagnostics,
    ) -> Mapping {
        Mapping::compile_within(file, answers, &Patterns::of_file(), mistakes)
    }

    /// Compiles the blocks; their regular expressions count against the budget `patterns`.
    pub fn compile_within(
        file: &mut TomlTable<'_>,
        answers: Option<AnswerRules>,
        patterns: &Patterns,
        mistakes: &mut Diagnostics,
    ) -> Mapping {
        let mut templates = Templates::new(patterns);
        let has_answers = answers.is_some();
        let mut compiler = BlockCompiler { templates: &mut templates, has_answers, mistakes };
        let mut blocks = Vec::new();
        // A contact names its company and a feedback its person: what is named is sent first.
        for kind in [RequestKind::Company, RequestKind::Contact, RequestKind::Feedback] {
            let tables = file.tables(kind.as_str(), compiler.mistakes);
            let of_kind = tables.len();
            for (position, table) in tables.into_iter().enumerate() {
                blocks.push(compiler.block(BlockPlace { kind, position, of_kind }, table));
            }
        }
        Mapping { blocks, templates: templates.seal(), answers }
    }

    /// Maps one event. If one block fails, the event has no requests at all.
    pub fn apply(
        &self,
        event: &Event,
        payload: &Arc<Value>,
    ) -> Result<MappedRequests, MappingError> {
        self.run(event, payload, (Recorder::default(), false)).0.map_err(|failed| failed.error)
    }

    /// Maps one event as `apply` does. Where that fails, goes on to find what the event says.
    pub fn apply_or_rest(
        &self,
        event: &Event,
        payload: &Arc<Value>,
    ) -> Result<MappedRequests, Box<FailedMapping>> {
        self.run(event, payload, (Recorder::default(), true)).0
    }

    /// Maps one event as `apply` does, and records how each value was found; `lines` are those of
    /// the mapping file.
    pub fn explain(
        &self,
        event: &Event,
        payload: &Arc<Value>,
        lines: &LineIndex<'_>,
    ) -> Explanation {
        let (mapped, recorder) = self.run(event, payload, (Recorder::recording(lines), false));
        let mapped = mapped.map_err(|failed| failed.error);
        Explanation { mapped: Some(mapped), ..recorder.into_explanation(payload) }
    }

    fn run<'r>(
        &self,
        event: &Event,
        payload: &Arc<Value>,
        (recorder, keeps_rest): (Recorder<'r>, bool),
    ) -> (Result<MappedRequests, Box<FailedMapping>>, Recorder<'r>) {
        // One scope for all blocks: the budgets of work and memory are those of the event.
        let scope = self.scope(event, payload, recorder.taken());
        let (scope, templates, mapped) = (&scope, &self.templates, MappedRequests::default());
        let mut run = MappingRun { scope, templates, mapped, recorder, keeps_rest };
        let result = self.blocks_of(event, &mut run);
        if run.recorder.is_recording()
            && let Ok(Some(answers)) = scope.form_answers()
        {
            run.recorder.answers(&answers);
        }
        let MappingRun { mapped: rest, recorder, .. } = run;
        match result {
            Ok(()) => (Ok(rest), recorder),
            Err(error) => (Err(Box::new(FailedMapping { error, rest })), recorder),
        }
    }

    /// Runs the blocks that accept the event, and returns the first failure.
    fn blocks_of(&self, event: &Event, run: &mut MappingRun<'_, '_>) -> Result<(), MappingError> {
        let mut failure = None;
        for (position, block) in self.blocks.iter().enumerate() {
            run.recorder.block(&block.name);
            if !block.accepts(event) {
                run.recorder.reason("it is for other events");
                continue;
            }
            if let Err(unmappable) = block.run(position, run) {
                run.recorder.reason(&unmappable.to_string());
                failure.get_or_insert(unmappable);
                if !run.keeps_rest {
                    break;
                }
            }
        }
        // Answers are read when the first value needs them, so their notes exist only now.
        for note in run.scope.answer_notes() {
            run.note(note);
        }
        run.mapped.said = said(run);
        failure.map_or(Ok(()), Err)
    }

    fn scope<'a>(
        &'a self,
        event: &'a Event,
        payload: &'a Arc<Value>,
        taken: TakenNodes,
    ) -> Scope<'a> {
        let answers = self.answers.as_ref().map(|rules| rules as &dyn AnswerSource);
        Scope::of_event(event, payload, answers, taken)
    }

    /// Returns the event types that the blocks name; `None` if a block takes every event, or if
    /// there is no block.
    pub fn events(&self) -> Option<Vec<TypePattern>> {
        // A source without blocks stores its events until a mapping is written for them.
        if self.blocks.is_empty() {
            return None;
        }
        let mut named: Vec<TypePattern> = Vec::new();
        for block in &self.blocks {
            for pattern in block.events.as_ref()? {
                if !named.contains(pattern) {
                    named.push(pattern.clone());
                }
            }
        }
        Some(named)
    }

    /// Returns the blocks in the order in which their requests are sent.
    pub fn blocks(&self) -> Vec<BlockName> {
        let name = |block: &RuleBlock| BlockName {
            name: block.name.clone(),
            id: Arc::clone(&block.id),
            place: block.place.clone(),
            fields: block.field_names(),
        };
        self.blocks.iter().map(name).collect()
    }

    /// Returns warnings about conditions that are valid but, by this sample, probably not meant.
    pub fn lints(&self, event: &Event, payload: &Arc<Value>) -> Vec<Diagnostic> {
        let scope = self.scope(event, payload, TakenNodes::default());
        let blocks = self.blocks.iter().filter(|block| block.accepts(event));
        blocks.flat_map(|block| block.lints(&scope)).collect()
    }
}

/// Returns what a person said, if the first feedback begins with a question of the form.
fn said(run: &MappingRun<'_, '_>) -> Option<String> {
    let mut requests = run.mapped.requests.iter();
    let feedback = requests.find(|request| request.kind == RequestKind::Feedback)?;
    run.scope.used_answers()?.said_in(feedback.body.get("problem")?.as_str()?)
}

#[cfg(test)]
mod tests;
