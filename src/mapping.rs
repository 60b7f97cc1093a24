//! The rules that turn an event's payload into requests.

mod explanation;
mod extractor;
pub(crate) mod rules;
pub mod language;
mod markup;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::{Event, Request, RequestKind, TypePattern};
use explanation::Recorder;
pub use explanation::{BlockTrace, Explanation, FieldTrace, QueryResult, QueryTrace};
pub use extractor::{ExtractError, Extractor};
pub use language::query::Patterns;
use language::scope::Scope;
use language::template::Templates;
pub use language::template::{TEMPLATE_FUNCTIONS, TemplateFunction};
pub use rules::answers::AnswerRules;
use rules::block::{BlockCompiler, MappingRun, RuleBlock};

/// The compiled blocks of one mapping file.
#[derive(Debug)]
pub struct Mapping {
    /// In the order in which their requests go out.
    blocks: Vec<RuleBlock>,
    templates: Templates,
    answers: Option<AnswerRules>,
}

/// What an event became.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MappedRequests {
    /// In the order in which they go out; none when the event is ignored.
    pub requests: Vec<Request>,
    /// Which of `Mapping::blocks` made each request.
    pub made_by: Vec<usize>,
    /// Fields that were left out, and why.
    pub notes: Vec<String>,
    /// The names of fields that were left out since Savio would not take their values.
    pub left_out: BTreeSet<String>,
    /// Titles that delivery is to look up; here they are as the event has them.
    pub links: Vec<FeatureRequestLink>,
}

/// The wish to link a request to a feature request that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureRequestLink {
    /// Which of `MappedRequests::requests`.
    pub request: usize,
    /// Such as `feedback[0].feature_request_title`.
    pub field: String,
    pub existing: LinkMode,
}

/// What becomes of a title that no feature request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMode {
    /// It is sent, and makes one.
    Prefer,
    /// It is left out.
    Only,
}

/// Why an event cannot be mapped: which field, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct MappingError {
    /// Such as `feedback[0].problem`.
    pub field: String,
    pub reason: String,
}

/// A block of the file, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockName {
    /// Such as `feedback[0]`.
    pub name: String,
    pub place: Range<usize>,
}

impl LinkMode {
    fn remark(self) -> &'static str {
        match self {
            LinkMode::Prefer => "delivery takes the spelling of a feature request that is there",
            LinkMode::Only => "delivery leaves it out unless a feature request is there",
        }
    }
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

    /// What `apply` does with the event, and how each value was found.
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
        let scope = Scope::of_event(event, payload, self.answers.as_ref());
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

    /// What is probably not meant, as far as only a sample can show it.
    pub fn doubts(&self, event: &Event, payload: &Arc<Value>) -> Vec<Diagnostic> {
        let scope = Scope::of_event(event, payload, self.answers.as_ref());
        let blocks = self.blocks.iter().filter(|block| block.takes(event));
        blocks.flat_map(|block| block.doubts(&scope, &self.templates)).collect()
    }
}

/// The key `events` of a mapping file or of a block.
pub fn events(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<Vec<TypePattern>> {
    let written = table.texts("events", mistakes)?;
    let mut patterns = Vec::new();
    for text in written {
        match text.text.parse::<TypePattern>() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let message = format!("`{}` is no event type", text.text);
                mistakes.push(Diagnostic::error(text.place, message).help(error.to_string()));
            }
        }
    }
    Some(patterns)
}

#[cfg(test)]
mod tests;
