//! `draft`: writes a first mapping file from one payload. Guesses its provider, and which values
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
mod saved_request;
mod signature_comment;
mod toml_text;
mod vocabulary;
mod words;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::CommandError;
use super::input::header;
use super::{input, output, providers};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::event::{Event, Headers, Request, SourceName};
use crate::intake::payload::PayloadLimits;
use crate::mapping::{Mapping, MappingError};
use crate::mapping_file::file::{MappingFile, SamplePayload};
use crate::{clock, intake};
use draft_file::{DraftFile, DraftTest};
use event_identity::EventObjects;
use field_guesses::{FieldGuesses, Form};
use provider_guess::Recognition;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File with the payload, also as saved with its headers; - for standard input
    payload: PathBuf,
    /// Provider of the payload (default: detected from headers and content)
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Header of the webhook, if the event's type or id is in one; repeatable
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Write the mapping file to FILE, and the payload as its test to samples/ beside it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), CommandError> {
    let Arguments { payload, provider: named, headers, output } = arguments;
    // Only for the error, which names the nearest provider.
    if let Some(name) = &named {
        providers::text(name)?;
    }
    let mut sample = saved_request::read(input::bytes(&payload)?);
    sample.headers.extend(headers);
    saved_request::complete(&mut sample);
    // A draft comes before there is any configuration.
    let limits = intake::Settings::default().limits();
    let provider = match named {
        Some(provider) => Some(Recognition { provider, why: String::new() }),
        None => provider_guess::recognise(&sample, &payload, &limits),
    };
    let name = name(output.as_deref(), provider.as_ref())?;
    let mut draft = DraftFile::new(name, provider.as_ref(), &sample);
    let requests = fill(&mut draft, &sample, (&payload, &limits))?;
    advise(&draft, provider.as_ref(), &sample);
    match output {
        Some(path) => write(&path, &draft, &sample, &requests),
        None => output::print(&draft.written(None)),
    }
}

/// Returns the source's name: that of the output file, or else of the provider.
fn name(output: Option<&Path>, provider: Option<&Recognition>) -> Result<SourceName, CommandError> {
    let Some(path) = output else {
        let name = provider.map_or("my-tool", |provider| &provider.provider);
        return name
            .parse()
            .map_err(|error| CommandError::InvalidInput(format!("{name}: {error}")));
    };
    let wrong =
        |reason: String| CommandError::InvalidInput(format!("{}: {reason}", path.display()));
    if path.extension().is_none_or(|extension| extension != "toml") {
        return Err(wrong("a mapping file's name ends in .toml".to_owned()));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.parse().map_err(|error: crate::event::InvalidSourceName| wrong(error.to_string()))
}

/// Fills the draft from the payload, and returns the requests that it maps the payload to.
fn fill(
    draft: &mut DraftFile,
    sample: &SamplePayload,
    read_as: (&Path, &PayloadLimits),
) -> Result<Vec<Request>, CommandError> {
    draft.batch = batch(draft, sample, read_as)?;
    let found = events(draft, sample, read_as)?;
    // One mapping serves all events of a batch: the first one with a text shows where it is.
    for (event, payload) in &found {
        let guesses = guess(draft, event, payload);
        draft.take(guesses);
        if draft.has_problem() {
            break;
        }
    }
    // With the draft's own `[event]`, they have their types.
    let events = events(draft, sample, read_as)?;
    draft.take_types(&events);
    if !draft.has_problem() {
        return Ok(Vec::new());
    }
    if let Ok(requests) = requests(&parse(draft)?.mapping, &events) {
        return Ok(requests);
    }
    // Another event of the batch has no text, and `problem` must not be empty.
    draft.make_conditional();
    requests(&parse(draft)?.mapping, &events)
        .map_err(|unmappable| CommandError::InvalidInput(unmappable.to_string()))
}

/// Returns the path of the events in the payload of an unknown tool, if it has several.
fn batch(
    draft: &DraftFile,
    sample: &SamplePayload,
    read_as: (&Path, &PayloadLimits),
) -> Result<Option<String>, CommandError> {
    if !draft.lacks("event", "each") || draft.is_of_provider() {
        return Ok(None);
    }
    let whole = events(draft, sample, read_as)?;
    Ok(whole.first().and_then(|(_, payload)| event_identity::batch(payload)))
}

fn events(
    draft: &DraftFile,
    sample: &SamplePayload,
    (path, limits): (&Path, &PayloadLimits),
) -> Result<Vec<(Event, Arc<Value>)>, CommandError> {
    let extracted = parse(draft)?.sample_events(sample, limits, clock::now());
    let extracted = extracted.ok_or(CommandError::AlreadyReported)?;
    Ok(extracted.map_err(|error| input::unreadable(path, &error.to_string()))?.events)
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

fn parse(draft: &DraftFile) -> Result<MappingFile, CommandError> {
    let file = draft.trial();
    match file.mistakes.iter().find(|mistake| mistake.is_error()) {
        Some(Diagnostic { message, .. }) => {
            Err(CommandError::InvalidInput(format!("no mapping file can be drafted: {message}")))
        }
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

/// Prints what the payload was taken for, and the steps that are left for the user.
fn advise(draft: &DraftFile, provider: Option<&Recognition>, sample: &SamplePayload) {
    match provider {
        None => output::print_error(
            "no tool that is known sends this: the draft asks for a token; see [signature]",
        ),
        Some(Recognition { provider, why }) => {
            let title = provider_guess::title(provider);
            if !why.is_empty() {
                output::print_error(&format!(
                    "taken for {title}, since {why}; another one: --provider NAME"
                ));
            }
            for shipped in provider_guess::shipped(provider) {
                output::print_error(&format!(
                    "a finished mapping for {title} is shipped, which may fit better than a draft:\n  \
                     savio-relay init {shipped}"
                ));
            }
            advise_header(draft, &title, sample);
        }
    }
    if !draft.has_problem() {
        output::print_error(
            "nothing in it reads like a person's words: name the text in `problem` of [[feedback]]",
        );
    } else if !draft.missing().is_empty() {
        let missing = draft.missing().join(", ");
        output::print_error(&format!(
            "not found: {missing}; comments in the draft say what else is there"
        ));
    }
}

/// Asks for the header that tells the event's type, since a payload is usually pasted without it.
fn advise_header(draft: &DraftFile, title: &str, sample: &SamplePayload) {
    let missing = draft.type_headers().into_iter().find(|name| !sample.headers.contains_key(name));
    if let Some(name) = missing {
        let name = event_identity::canonical(&name);
        output::print_error(&format!(
            "{title} says in the header {name} what kind of event it is: add --header '{name}: ...'"
        ));
    }
}

/// Writes the mapping file, and its test to `samples/` beside it.
fn write(
    path: &Path,
    draft: &DraftFile,
    sample: &SamplePayload,
    requests: &[Request],
) -> Result<(), CommandError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let base = format!("samples/{}.draft", draft.name());
    let payload = format!("{base}.{}", saved_request::extension(sample));
    let expect = format!("{base}.expected.json");
    let mut files = vec![(path.to_owned(), draft.written(None).into_bytes())];
    // Without a text the draft maps the payload to nothing, and has no result to test yet.
    if draft.has_problem() {
        let headers = kept_headers(draft, sample);
        let test = DraftTest { payload: &payload, expect: &expect, headers: &headers };
        files[0].1 = draft.written(Some(&test)).into_bytes();
        files.push((folder.join(&payload), sample.body.clone()));
        files.push((folder.join(&expect), format!("{:#}\n", json!(requests)).into_bytes()));
    }
    // Before the first is written, so that no part of a draft is left behind.
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(CommandError::InvalidInput(format!("{} is there already", path.display())));
    }
    for (path, content) in &files {
        create(path, content)
            .map_err(|error| CommandError::Failed(format!("{}: {error}", path.display())))?;
        output::print_error(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// Returns the headers that the mapping reads: others may be secret, and say nothing in a test.
fn kept_headers(draft: &DraftFile, sample: &SamplePayload) -> Headers {
    let mut kept = draft.read_headers();
    kept.push("content-type".to_owned());
    let headers = sample.headers.iter().filter(|(name, _)| kept.contains(name));
    headers.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn create(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A file that was created since the check is not overwritten either.
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content)
}
