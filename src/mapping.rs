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
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::{Event, RequestKind, TypePattern};
use explanation::Recorder;
pub use explanation::{BlockTrace, Explanation, FieldTrace};
pub use extractor::{ExtractError, Extractor};
pub use language::query::Patterns;
pub use language::query_log::{QueryResult, QueryTrace};
use language::scope::{AnswerSource, Scope};
use language::template::Templates;
pub use language::template::{TEMPLATE_FUNCTIONS, TemplateFunction};
pub use result::{FeatureRequestLink, LinkMode, MappedRequests, MappingError};
pub use rules::answers::AnswerRules;
use rules::block::{BlockCompiler, MappingRun, RuleBlock};
pub use rules::event_filter::events;

/// The compiled blocks of one mapping file.
#[derive(Debug)]
pub struct Mapping {
    /// In the order in which their requests go out.
    blocks: Vec<RuleBlock>,
    templates: Templates,
    answers: Option<AnswerRules>,
}

/// A block of the file, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockName {
    /// Such as `feedback[0]`.
    pub name: String,
    pub place: Range<usize>,
}

impl Mapping {
    /// Takes the blocks `[[feedback]]`, `[[contact]]` and `[[company]]` out of a mapping file.
    pub fn compile(
        file: &mut TomlTable<'_>,
        answers: Option<AnswerRules>,
        mistakes: &mut Diagnostics,
    ) -> Mapping {
        Mapping::compile_within(file, answers, &Patterns::of_file(), mistakes)
    }

    /// The same, with patterns that the rest of the file shares the costs of.
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
        for kind in [RequestKind::Company, RequestKind::Contact, RequestKind::Feedback] {
            let tables = file.tables(kind.as_str(), compiler.mistakes);
            for (position, table) in tables.into_iter().enumerate() {
                blocks.push(compiler.block((kind, position), table));
            }
        }
        Mapping { blocks, templates: templates.seal(), answers }
    }

    pub fn apply(
        &self,
        event: &Event,
        payload: &Arc<Value>,
    ) -> Result<MappedRequests, MappingError> {
        self.run(event, payload, Recorder::default()).0
    }

    /// Does what `apply` does, and records how each value was found.
    pub fn explain(&self, event: &Event, payload: &Arc<Value>) -> Explanation {
        let (mapped, recorder) = self.run(event, payload, Recorder::keeping());
        Explanation { mapped: Some(mapped), ..recorder.into_explanation() }
    }

    fn run(
        &self,
        event: &Event,
        payload: &Arc<Value>,
        recorder: Recorder,
    ) -> (Result<MappedRequests, MappingError>, Recorder) {
        let scope = self.scope(event, payload);
        let mapped = MappedRequests::default();
        let mut run = MappingRun { scope: &scope, templates: &self.templates, mapped, recorder };
        for (position, block) in self.blocks.iter().enumerate() {
            run.recorder.block(&block.name);
            if !block.takes(event) {
                run.recorder.reason("it is for other events");
                continue;
            }
            if let Err(unmappable) = block.run(position, &mut run) {
                run.recorder.reason(&unmappable.to_string());
                return (Err(unmappable), run.recorder);
            }
        }
        for note in scope.answer_notes() {
            run.note(note);
        }
        (Ok(run.mapped), run.recorder)
    }

    fn scope<'a>(&'a self, event: &'a Event, payload: &'a Arc<Value>) -> Scope<'a> {
        let answers = self.answers.as_ref().map(|rules| rules as &dyn AnswerSource);
        Scope::of_event(event, payload, answers)
    }

    /// The patterns that the blocks' own `events` name; `None` when a block takes every event.
    pub fn events(&self) -> Option<Vec<TypePattern>> {
        let mut named: Vec<TypePattern> = Vec::new();
        for block in &self.blocks {
            for pattern in block.events.as_ref()? {
                if !named.contains(pattern) {
                    named.push(pattern.clone());
                }
            }
        }
        (!named.is_empty()).then_some(named)
    }

    /// The blocks in the order in which their requests go out.
    pub fn blocks(&self) -> Vec<BlockName> {
        let name =
            |block: &RuleBlock| BlockName { name: block.name.clone(), place: block.place.clone() };
        self.blocks.iter().map(name).collect()
    }

    /// Warns of what is probably not meant, as far as only a sample can show it.
    pub fn doubts(&self, event: &Event, payload: &Arc<Value>) -> Vec<Diagnostic> {
        let scope = self.scope(event, payload);
        let blocks = self.blocks.iter().filter(|block| block.takes(event));
        blocks.flat_map(|block| block.doubts(&scope)).collect()
    }
}

#[cfg(test)]
mod tests;
