//! Drafts of mapping files: a first one from one payload. Guesses its provider, and which values
//! identify the event, are answers of a form, and are the fields of feedback.

mod candidates;
mod clue;
mod draft_file;
mod event_identity;
mod evidence;
mod field_guesses;
mod leaves;
mod provider_guess;
mod question_list;
pub(crate) mod saved_request;
mod signature_comment;
mod surroundings;
mod toml_text;
mod vocabulary;
#[cfg(test)]
mod work_tests;
mod words;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::event::{Event, Headers, InvalidSourceName, Request, SourceName};
use crate::intake::payload::{DecodeError, PayloadLimits};
use crate::intake::provider::Provider;
use crate::mapping::{Mapping, MappingError};
use crate::mapping_file::bundle;
use crate::mapping_file::file::{MappingFile, SamplePayload};
use draft_file::{DraftFile, DraftTest};
use event_identity::EventObjects;
use field_guesses::{FieldGuesses, Form};
use provider_guess::Recognition;

/// Events of a batch that are searched for a text.
const GUESSED_EVENTS_MAX: usize = 20;

/// What a draft is made from.
pub(crate) struct DraftInput<'i> {
    pub(crate) sample: SamplePayload,
    /// A built-in provider; none to guess it.
    pub(crate) provider: Option<String>,
    /// Name of the payload's file, which may be that of a provider; empty if there is none.
    pub(crate) file_name: &'i str,
    /// Name of the source; none for that of the provider.
    pub(crate) name: Option<SourceName>,
    /// Most texts, numbers and other single values of the payload.
    pub(crate) values_max: usize,
}

/// A drafted mapping file.
#[derive(Debug)]
pub(crate) struct Draft {
    file: DraftFile,
    sample: SamplePayload,
    recognition: Option<Recognition>,
    /// What the file makes of the payload.
    pub(crate) requests: Vec<Request>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DraftError {
    #[error(transparent)]
    Undecodable(#[from] DecodeError),
    #[error("no mapping file can be drafted: {0}")]
    NoFile(String),
    #[error("the provider's name is none of a source: {0}")]
    Name(#[from] InvalidSourceName),
    #[error("the payload has more than {0} values: leave a part of it out")]
    TooManyValues(usize),
    #[error(transparent)]
    Unmappable(#[from] MappingError),
}

/// Something about a draft that its user should know or do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advice {
    /// No provider is known that sends this.
    UnknownTool,
    /// It was taken for the provider with this title.
    TakenFor { title: String, why: String },
    /// The program has a finished mapping for the tool.
    Bundled { title: String, name: String },
    /// The tool says in this header what kind of event it is, and the header is not there.
    MissingHeader { title: String, header: String },
    /// Nothing in it reads like the words of a person.
    NoText,
    /// Nothing was found for these fields.
    NotFound(Vec<&'static str>),
}

/// A field of feedback, and what was found for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guess {
    pub(crate) field: &'static str,
    /// As the mapping file writes it; none if nothing was sure enough.
    pub(crate) taken: Option<String>,
    /// Why it was taken.
    pub(crate) why: Option<String>,
    /// Other values that were found, with what they are in the payload.
    pub(crate) others: Vec<(String, String)>,
}

/// The draft with its payload as a test.
pub(crate) struct TestedDraft {
    pub(crate) text: String,
    /// Paths beside the mapping file, each with its content.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// Drafts a mapping file. Blocks: it may compile the file several times.
pub(crate) fn draft(input: DraftInput<'_>, limits: &PayloadLimits) -> Result<Draft, DraftError> {
    let DraftInput { sample, provider, file_name, name, values_max } = input;
    let recognition = match provider {
        Some(provider) => Some(Recognition { provider, why: String::new() }),
        None => provider_guess::recognise(&sample, file_name, limits),
    };
    let name = match name {
        Some(name) => name,
        None => recognition.as_ref().map_or("my-tool", |it| &it.provider).parse()?,
    };
    let mut file = DraftFile::new(name, recognition.as_ref(), &sample);
    let requests = fill(&mut file, &sample, (limits, values_max))?;
    Ok(Draft { file, sample, recognition, requests })
}

impl Draft {
    pub(crate) fn name(&self) -> &SourceName {
        self.file.name()
    }

    /// Returns the provider, and why the payload was taken for its; an empty reason if it was named.
    pub(crate) fn provider(&self) -> Option<(&str, &str)> {
        self.recognition.as_ref().map(|it| (it.provider.as_str(), it.why.as_str()))
    }

    /// Returns the text of the mapping file.
    pub(crate) fn text(&self) -> String {
        self.file.written(None)
    }

    /// Returns the mapping file with its payload as a test; none without a text, since the draft
    /// then maps the payload to nothing, and has no result to test yet.
    pub(crate) fn tested(&self) -> Option<TestedDraft> {
        if !self.file.has_problem() {
            return None;
        }
        let base = format!("samples/{}.draft", self.name());
        let payload = format!("{base}.{}", self.sample.extension());
        let expect = format!("{base}.expected.json");
        let headers = self.kept_headers();
        let test = DraftTest { payload: &payload, expect: &expect, headers: &headers };
        let tested = self.file.written(Some(&test));
        let expected = format!("{:#}\n", json!(self.requests)).into_bytes();
        let files = vec![(payload, self.sample.body.clone()), (expect, expected)];
        Some(TestedDraft { text: tested, files })
    }

    /// Returns the headers that the mapping reads: others may be secret, and say nothing in a test.
    fn kept_headers(&self) -> Headers {
        let mut kept = self.file.read_headers();
        kept.push("content-type".to_owned());
        let headers = self.sample.headers.iter().filter(|(name, _)| kept.contains(name));
        headers.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Returns what was found for each field of feedback.
    pub(crate) fn guesses(&self) -> Vec<Guess> {
        let guess = |(field, choice): (&'static str, &field_guesses::Choice)| Guess {
            field,
            taken: choice.taken.clone(),
            why: choice.taken.as_ref().map(|_| choice.why.clone()),
            others: choice.others.iter().map(|it| (it.written.clone(), it.value.clone())).collect(),
        };
        self.file.choices().into_iter().map(guess).collect()
    }

    /// Returns what the payload was taken for, and the steps that are left for the user.
    pub(crate) fn advice(&self) -> Vec<Advice> {
        let mut advice = match &self.recognition {
            None => vec![Advice::UnknownTool],
            Some(recognition) => self.advice_on_provider(recognition),
        };
        if !self.file.has_problem() {
            advice.push(Advice::NoText);
        } else if !self.file.missing().is_empty() {
            advice.push(Advice::NotFound(self.file.missing()));
        }
        advice
    }

    fn advice_on_provider(&self, recognition: &Recognition) -> Vec<Advice> {
        let Recognition { provider, why } = recognition;
        let title = Provider::title_of(provider);
        let mut advice = Vec::new();
        if !why.is_empty() {
            advice.push(Advice::TakenFor { title: title.clone(), why: why.clone() });
        }
        let bundled = bundle::of_provider(provider).into_iter();
        advice.extend(
            bundled.map(|name| Advice::Bundled { title: title.clone(), name: name.to_owned() }),
        );
        // A payload is usually pasted without its headers.
        let headers = self.file.type_headers().into_iter();
        let missing = headers.filter(|name| !self.sample.headers.contains_key(name)).take(1);
        advice.extend(missing.map(|name| {
            let header = event_identity::canonical(&name);
            Advice::MissingHeader { title: title.clone(), header }
        }));
        advice
    }
}

/// Fills the draft from the payload, and returns the requests that it maps the payload to.
fn fill(
    draft: &mut DraftFile,
    sample: &SamplePayload,
    (limits, values_max): (&PayloadLimits, usize),
) -> Result<Vec<Request>, DraftError> {
    draft.batch = batch(draft, sample, limits)?;
    let found = events(draft, sample, limits)?;
    if found.iter().map(|(_, payload)| values(payload)).sum::<usize>() > values_max {
        return Err(DraftError::TooManyValues(values_max));
    }
    // One mapping serves all events of a batch: the first one with a text shows where it is.
    for (event, payload) in found.iter().take(GUESSED_EVENTS_MAX) {
        let guesses = guess(draft, event, payload);
        draft.take(guesses);
        if draft.has_problem() {
            break;
        }
    }
    // With the draft's own `[event]`, they have their types.
    let events = events(draft, sample, limits)?;
    draft.take_types(&events);
    if !draft.has_problem() {
        return Ok(Vec::new());
    }
    if let Ok(requests) = requests(&parse(draft)?.mapping, &events) {
        return Ok(requests);
    }
    // Another event of the batch has no text, and `problem` must not be empty.
    draft.make_conditional();
    Ok(requests(&parse(draft)?.mapping, &events)?)
}

/// Counts the values that are neither lists nor objects.
fn values(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(entries) => entries.values().map(values).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// Returns the path of the events in the payload of an unknown tool, if it has several.
fn batch(
    draft: &DraftFile,
    sample: &SamplePayload,
    limits: &PayloadLimits,
) -> Result<Option<String>, DraftError> {
    if !draft.lacks("event", "each") || draft.is_of_provider() {
        return Ok(None);
    }
    let whole = events(draft, sample, limits)?;
    Ok(whole.first().and_then(|(_, payload)| event_identity::batch(payload)))
}

fn events(
    draft: &DraftFile,
    sample: &SamplePayload,
    limits: &PayloadLimits,
) -> Result<Vec<(Event, Arc<Value>)>, DraftError> {
    let extracted = parse(draft)?.sample_events(sample, limits, clock::now());
    let unreadable = || DraftError::NoFile("its name is none of a source".to_owned());
    Ok(extracted.ok_or_else(unreadable)??.events)
}

/// Guesses the fields of one event, and gives the draft the tables that they need.
fn guess(draft: &mut DraftFile, event: &Event, payload: &Arc<Value>) -> FieldGuesses {
    let mut list = question_list::find(payload).filter(|_| draft.lacks_answers());
    draft.take_answers(list.as_ref().map(|list| list.keys.clone()));
    let answers = answers(draft, event, payload);
    if answers.is_empty() && list.take().is_some() {
        draft.take_answers(None);
    }
    let path = list.as_ref().map(|list| &list.path);
    let guesses = field_guesses::find(payload, Form { answers: &answers, path });
    let text = guesses.text_object.as_ref().filter(|_| guesses.problem.taken.is_some());
    let objects = EventObjects { text, form: path };
    draft.take_identity(event_identity::find(payload, &event.headers, objects));
    guesses
}

fn parse(draft: &DraftFile) -> Result<MappingFile, DraftError> {
    let file = draft.trial();
    match file.mistakes.iter().find(|mistake| mistake.is_error()) {
        Some(Diagnostic { message, .. }) => Err(DraftError::NoFile(message.clone())),
        None => Ok(file),
    }
}

fn requests(
    mapping: &Mapping,
    events: &[(Event, Arc<Value>)],
) -> Result<Vec<Request>, MappingError> {
    let mut requests = Vec::new();
    for (event, payload) in events {
        requests.extend(mapping.apply(event, payload)?.requests);
    }
    Ok(requests)
}

/// Returns the questions and answers of a form; none if the provider sends no forms.
// By a trial mapping, so that they are exactly those that `answers` will have in the draft.
fn answers(draft: &DraftFile, event: &Event, payload: &Arc<Value>) -> Vec<(String, String)> {
    let file = draft.answers_trial();
    if file.mistakes.iter().any(Diagnostic::is_error) {
        return Vec::new();
    }
    let mapped = file.mapping.apply(event, payload);
    let lines = mapped.ok().and_then(|mapped| mapped.requests.into_iter().next());
    let lines = lines.and_then(|request| Some(request.body.get("problem")?.as_str()?.to_owned()));
    let answer = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some((line["question"].as_str()?.to_owned(), line["answer"].as_str()?.to_owned()))
    };
    lines.unwrap_or_default().lines().filter_map(answer).collect()
}
