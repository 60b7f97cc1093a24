//! `try`: shows the requests that a payload, or a stored event, is mapped to. Nothing is stored or
//! sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::error::CommandError;
use super::events::ids;
use super::input::header;
use super::times::TimeOptions;
use super::{events, input, open_store, output as shown, runtime};
use crate::clock;
use crate::config::Config;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::report::{OutputStyle, show};
use crate::event::{Event, Headers, IdPrefix, Request};
use crate::intake::payload::PayloadLimits;
use crate::mapping::{Explanation, MappingError};
use crate::mapping_file::file::{MappingFile, SampleEvents, SamplePayload};
use crate::secret::Environment;
use crate::store::Archive as _;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Source name, or path of a mapping file
    source: String,
    /// File with the payload; - for standard input. A stored event is mapped with --event instead
    payload: Option<PathBuf>,
    /// Map a stored event instead of a payload: its id, or the beginning of it
    #[arg(long, value_name = "ID", conflicts_with_all = ["payload", "headers"])]
    event: Option<IdPrefix>,
    /// Header of the webhook, if the event's type or id is in one; repeatable
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Print the requests as JSON, in the format that [[test]] expects
    #[arg(long)]
    json: bool,
    /// Show which query or template produced each value, and which produced none
    #[arg(long)]
    explain: bool,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Result of mapping one payload.
#[derive(Default)]
struct PreviewRun {
    requests: Vec<Request>,
    notes: Vec<String>,
    /// Reason why there are no requests, if the source ignores the payload.
    ignored: Option<String>,
    explanations: Vec<Explanation>,
    /// Warnings about the mapping, by this payload.
    lints: Vec<Diagnostic>,
    /// Error of the first event that cannot be mapped.
    failed: Option<MappingError>,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let file = input::mapping_file(&arguments.source, &config, environment)?;
    if file.mistakes.iter().any(Diagnostic::is_error) {
        shown::print_error(&show(&file.document, &file.mistakes, shown::stderr_style()));
        return Err(CommandError::AlreadyReported);
    }
    let (mut run, header_note) = match (&arguments.event, &arguments.payload) {
        (Some(id), _) => (map_stored((&file, &arguments.source), id, &config)?, None),
        (None, Some(path)) => {
            let headers: Headers = arguments.headers.into_iter().collect();
            let sample = SamplePayload { headers, body: input::bytes(path)? };
            let run = map(&file, &sample, (path, &config.intake.limits()))?;
            (run, header_missing(&file, &sample))
        }
        (None, None) => {
            return Err(CommandError::Usage(
                "give a file with the payload, or --event ID for a stored event".to_owned(),
            ));
        }
    };
    if !run.lints.is_empty() {
        shown::print_error(&format!(
            "{}\n",
            show(&file.document, &run.lints, shown::stderr_style())
        ));
    }
    if let Some(error) = run.failed {
        if arguments.explain {
            run.explanations
                .iter()
                .for_each(|it| shown::print_error(&explained(it, OutputStyle::Plain)));
        }
        return Err(CommandError::InvalidInput(error.to_string()));
    }
    run.notes.extend(header_note.filter(|_| run.requests.is_empty()));
    let text = match (arguments.json, arguments.explain) {
        (true, false) => pretty(&json!(run.requests)),
        (true, true) => pretty(&json!({
            "requests": run.requests,
            "explain": run.explanations.iter().flat_map(|it| &it.fields).collect::<Vec<_>>(),
            "blocks": run.explanations.iter().flat_map(|it| &it.blocks).collect::<Vec<_>>(),
            "answers": run.explanations.iter().flat_map(|it| &it.answers).collect::<Vec<_>>(),
        })),
        (false, explain) => run.show(explain),
    };
    shown::print(&text)
}

fn map(
    file: &MappingFile,
    sample: &SamplePayload,
    (path, limits): (&Path, &PayloadLimits),
) -> Result<PreviewRun, CommandError> {
    let carried =
        file.sample_events(sample, limits, clock::now()).ok_or(CommandError::AlreadyReported)?;
    let carried = carried.map_err(|error| input::unreadable(path, &error.to_string()))?;
    let SampleEvents { events, notes, ignored } = carried;
    let mut run = PreviewRun { notes, ignored, ..PreviewRun::default() };
    for (event, payload) in &events {
        run.add(file, event, payload);
        if run.failed.is_some() {
            break;
        }
    }
    Ok(run)
}

/// Maps a stored event as delivery does: what acts when a webhook is received has acted.
fn map_stored(
    (file, named): (&MappingFile, &str),
    id: &IdPrefix,
    config: &Config,
) -> Result<PreviewRun, CommandError> {
    let store = open_store::open(config)?;
    let event = runtime::block_on(async {
        let id = ids::resolve(&store, id, &TimeOptions::default().format()).await?;
        let record = store.event(id).await?;
        store.close().await;
        let record = record.ok_or_else(|| events::unknown(id))?;
        if record.erased_at.is_some() {
            return Err(CommandError::InvalidInput(format!("event {id} is erased")));
        }
        Ok(record.event)
    })?;
    let mut run = PreviewRun::default();
    let source = &event.source;
    // A file that is named by its path is mostly a changed copy of the source's own.
    let is_other_source = file.name.as_ref().is_some_and(|it| it.as_str() == named && it != source);
    if is_other_source {
        run.notes.push(format!("the event is of the source {source}"));
    }
    let payload = serde_json::from_str(&event.payload).map_err(|error| {
        CommandError::InvalidInput(format!("the payload of {} is not JSON: {error}", event.id))
    })?;
    run.add(file, &event, &Arc::new(payload));
    Ok(run)
}

/// Returns a note if the file's own tests have a header that the sample lacks: the event's type may
/// be in it.
fn header_missing(file: &MappingFile, sample: &SamplePayload) -> Option<String> {
    let is_present = |name: &String| sample.headers.contains_key(name);
    let (name, value) = file
        .tests
        .iter()
        .find_map(|test| test.headers.iter().find(|(name, _)| !is_present(name)))?;
    Some(format!("its tests have a header that is not given here, such as --header {name}:{value}"))
}

impl PreviewRun {
    fn add(&mut self, file: &MappingFile, event: &Event, payload: &Arc<Value>) {
        for lint in file.mapping.lints(event, payload) {
            if !self.lints.contains(&lint) {
                self.lints.push(lint);
            }
        }
        self.explanations.push(file.explain(event, payload));
        match file.mapping.apply(event, payload) {
            Ok(mapped) => {
                self.requests.extend(mapped.requests);
                self.notes.extend(mapped.notes);
            }
            Err(error) => self.failed = Some(error),
        }
    }

    fn show(&self, explain: bool) -> String {
        let look = shown::stdout_style();
        let mut parts: Vec<String> =
            self.requests.iter().map(|request| shown::request(request, look)).collect();
        if self.requests.is_empty() {
            let reason = self.ignored.as_deref().unwrap_or("the mapping makes no request from it");
            parts.push(format!("ignored: {}\n", shown::line(reason)));
        }
        parts.extend(self.notes.iter().map(|it| format!("note: {}\n", shown::line(it))));
        if explain {
            parts.extend(self.explanations.iter().map(|it| explained(it, look)));
        }
        parts.join("\n")
    }
}

/// Formats the origin of each value; for an empty one, the queries that were tried.
fn explained(explanation: &Explanation, look: OutputStyle) -> String {
    let mut lines = shown::bold("how each value was found", look) + "\n";
    for field in &explanation.fields {
        let tried: Vec<&str> = field.tried.iter().map(|it| it.query.as_str()).collect();
        let empty = || format!("empty: tried {}", tried.join(", then "));
        let after = || tried.iter().filter(|it| Some(**it) != field.query.as_deref()).copied();
        let first_empty: Vec<&str> = after().collect();
        let found = match &field.query {
            Some(query) if first_empty.is_empty() => query.clone(),
            Some(query) => format!("{query} (empty before: {})", first_empty.join(", ")),
            None => empty(),
        };
        let found = found.replace('\n', "\\n");
        let found = shown::visible(&found);
        let note = field.note.as_ref().map(|note| format!(" ({})", shown::line(note)));
        let note = note.unwrap_or_default();
        lines += &format!("  {}: {found}{note}\n", field.field);
    }
    for block in explanation.blocks.iter().filter(|block| block.requests == 0) {
        lines +=
            &format!("  {}: no request, {}\n", block.block, shown::line(&block.reasons.join(", ")));
    }
    lines
}

fn pretty(value: &serde_json::Value) -> String {
    shown::json(&format!("{value:#}\n"))
}
