//! `draft`: a first mapping file, written from one payload: which tool sent it, what in it is what.

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
    if let Some(name) = &named {
        providers::text(name)?;
    }
    let body = input::bytes(&payload)?;
    let mut sample = SamplePayload { headers: headers.into_iter().collect(), body };
    provider_guess::complete(&mut sample);
    let limits = intake::Settings::default().limits();
    let provider = named.as_deref().or_else(|| provider_guess::recognise(&sample, &limits));
    let mut page = DraftFile::new(name(output.as_deref(), provider)?, provider, &sample);
    let made = fill(&mut page, &sample, &limits)?;
    advise(&page, provider, &sample);
    match output {
        Some(path) => write(&path, &page, &sample, &made),
        None => output::print(&page.written(None)),
    }
}

/// What the source will be called: as its file, else as its provider.
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

/// Finds what can be found. Returns what the draft makes of the payload.
fn fill(
    page: &mut DraftFile,
    sample: &SamplePayload,
    limits: &PayloadLimits,
) -> Result<Vec<Request>, CommandError> {
    let file = drafted(page)?;
    let carried = file.sample_events(sample, limits, clock::now());
    let carried = carried.ok_or(CommandError::AlreadyReported)?;
    let events = carried
        .map_err(|error| CommandError::InvalidInput(format!("the payload: {error}")))?
        .events;
    page.take_types(&events);
    let found = events.iter().find_map(|(event, payload)| {
        let found = field_guesses::find(payload, &answers(page, event, payload));
        found.problem.is_some().then_some(found)
    });
    let Some(found) = found else { return Ok(Vec::new()) };
    page.take(found);
    if let Ok(made) = requests(&drafted(page)?.mapping, &events) {
        return Ok(made);
    }
    page.make_conditional();
    requests(&drafted(page)?.mapping, &events)
        .map_err(|unmappable| CommandError::InvalidInput(unmappable.to_string()))
}

fn drafted(page: &DraftFile) -> Result<MappingFile, CommandError> {
    let file = page.trial();
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

/// Questions and answers of a form, as the provider's file finds them; none if it finds none.
fn answers(page: &DraftFile, event: &Event, payload: &Arc<Value>) -> Vec<(String, String)> {
    let file = page.answers_trial();
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

/// What a person has to do that no program can.
fn advise(page: &DraftFile, provider: Option<&str>, sample: &SamplePayload) {
    if provider.is_none() {
        output::tell(
            "no tool that is known sends this: the draft asks for a token; see [signature]",
        );
    }
    if !page.has_problem() {
        output::tell("nothing in it reads like a person's words: name the text in `problem`");
    }
    let event = provider.and_then(|name| providers::entries(name).ok()?.remove("event"));
    let is_in_header =
        event.is_some_and(|event| event["type"].as_str().is_some_and(|it| it.contains("header")));
    if is_in_header && sample.headers.keys().all(|name| name == "content-type") {
        output::tell("its type is in a header: give it with --header NAME:VALUE to be told apart");
    }
}

/// The mapping file, and its test in `samples/` beside it.
fn write(
    path: &Path,
    page: &DraftFile,
    sample: &SamplePayload,
    made: &[Request],
) -> Result<(), CommandError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let base = format!("samples/{}.draft", page.name());
    let payload = format!("{base}.{}", provider_guess::extension(sample));
    let expect = format!("{base}.expected.json");
    let mut files = vec![(path.to_owned(), page.written(None).into_bytes())];
    if page.has_problem() {
        let test = DraftTest { payload: &payload, expect: &expect, sample };
        files[0].1 = page.written(Some(&test)).into_bytes();
        files.push((folder.join(&payload), sample.body.clone()));
        files.push((folder.join(&expect), format!("{:#}\n", json!(made)).into_bytes()));
    }
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(CommandError::InvalidInput(format!("{} is there already", path.display())));
    }
    for (path, content) in &files {
        create(path, content)
            .map_err(|error| CommandError::Failed(format!("{}: {error}", path.display())))?;
        output::tell(&format!("wrote {}", path.display()));
    }
    Ok(())
}

fn create(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content)
}
