//! `draft`: writes a first mapping file from one payload. Guesses its provider, and which values
//! are the fields of feedback.

mod field_guesses;
mod leaves;
mod draft_file;
mod provider_guess;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::CommandError;
use super::input::header;
use super::{input, output, providers};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::event::{Event, Request, SourceName};
use crate::intake::payload::PayloadLimits;
use crate::mapping::{Mapping, MappingError};
use crate::mapping_file::file::{MappingFile, SamplePayload};
use crate::{clock, intake};
use draft_file::{DraftFile, DraftTest};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File with the payload; - for standard input
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
    let body = input::bytes(&payload)?;
    let mut sample = SamplePayload { headers: headers.into_iter().collect(), body };
    provider_guess::complete(&mut sample);
    // A draft comes before there is any configuration.
    let limits = intake::Settings::default().limits();
    let provider = named.as_deref().or_else(|| provider_guess::recognise(&sample, &limits));
    let mut draft = DraftFile::new(name(output.as_deref(), provider)?, provider, &sample);
    let requests = fill(&mut draft, &sample, (&payload, &limits))?;
    advise(&draft, provider, &sample);
    match output {
        Some(path) => write(&path, &draft, &sample, &requests),
        None => output::print(&draft.written(None)),
    }
}

/// Returns the source's name: that of the output file, or else of the provider.
fn name(output: Option<&Path>, provider: Option<&str>) -> Result<SourceName, CommandError> {
    let Some(path) = output else {
        let name = provider.unwrap_or("my-tool");
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
    (path, limits): (&Path, &PayloadLimits),
) -> Result<Vec<Request>, CommandError> {
    let file = parse(draft)?;
    let extracted = file.sample_events(sample, limits, clock::now());
    let extracted = extracted.ok_or(CommandError::AlreadyReported)?;
    let events = extracted.map_err(|error| input::unreadable(path, &error.to_string()))?.events;
    draft.take_types(&events);
    // One mapping serves all events of a batch: the first one with a text shows where it is.
    let found = events.iter().find_map(|(event, payload)| {
        let found = field_guesses::find(payload, &answers(draft, event, payload));
        found.problem.is_some().then_some(found)
    });
    let Some(found) = found else { return Ok(Vec::new()) };
    draft.take(found);
    if let Ok(requests) = requests(&parse(draft)?.mapping, &events) {
        return Ok(requests);
    }
    // Another event of the batch has no text, and `problem` must not be empty.
    draft.make_conditional();
    requests(&parse(draft)?.mapping, &events)
        .map_err(|unmappable| CommandError::InvalidInput(unmappable.to_string()))
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

/// Prints the manual steps that are left for the user.
fn advise(draft: &DraftFile, provider: Option<&str>, sample: &SamplePayload) {
    if provider.is_none() {
        output::print_error(
            "no tool that is known sends this: the draft asks for a token; see [signature]",
        );
    }
    if !draft.has_problem() {
        output::print_error(
            "nothing in it reads like a person's words: name the text in `problem`",
        );
    }
    let event = provider.and_then(|name| providers::entries(name).ok()?.remove("event"));
    let is_in_header =
        event.is_some_and(|event| event["type"].as_str().is_some_and(|it| it.contains("header")));
    // A payload is usually pasted without its headers.
    if is_in_header && sample.headers.keys().all(|name| name == "content-type") {
        output::print_error(
            "its type is in a header: give it with --header NAME:VALUE to be told apart",
        );
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
    let payload = format!("{base}.{}", provider_guess::extension(sample));
    let expect = format!("{base}.expected.json");
    let mut files = vec![(path.to_owned(), draft.written(None).into_bytes())];
    // Without a text the draft maps the payload to nothing, and has no result to test yet.
    if draft.has_problem() {
        let test = DraftTest { payload: &payload, expect: &expect, sample };
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

fn create(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A file that was created since the check is not overwritten either.
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content)
}
