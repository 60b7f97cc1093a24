//! `try`: shows the requests that a payload is mapped to. Nothing is stored or sent.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::CommandError;
use super::input::header;
use super::{input, output as shown};
use crate::clock;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::report::{OutputStyle, show};
use crate::event::{Headers, Request};
use crate::intake::payload::PayloadLimits;
use crate::mapping::{Explanation, MappingError};
use crate::mapping_file::file::{MappingFile, SamplePayload};
use crate::secret::Environment;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Source name, or path of a mapping file
    source: String,
    /// File with the payload; - for standard input
    payload: PathBuf,
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
    let body = input::bytes(&arguments.payload)?;
    let headers: Headers = arguments.headers.into_iter().collect();
    let limits = config.intake.limits();
    let sample = SamplePayload { headers, body };
    let mut run = map(&file, &sample, (&arguments.payload, &limits))?;
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
    run.notes.extend(run.requests.is_empty().then(|| header_missing(&file, &sample)).flatten());
    let text = match (arguments.json, arguments.explain) {
        (true, false) => pretty(&json!(run.requests)),
        (true, true) => pretty(&json!({
            "requests": run.requests,
            "explain": run.explanations.iter().flat_map(|it| &it.fields).collect::<Vec<_>>(),
            "blocks": run.explanations.iter().flat_map(|it| &it.blocks).collect::<Vec<_>>(),
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
    let mut run = PreviewRun {
        requests: Vec::new(),
        notes: carried.notes,
        ignored: carried.ignored,
        explanations: Vec::new(),
        lints: Vec::new(),
        failed: None,
    };
    for (event, payload) in &carried.events {
        for lint in file.mapping.lints(event, payload) {
            if !run.lints.contains(&lint) {
                run.lints.push(lint);
            }
        }
        run.explanations.push(file.mapping.explain(event, payload));
        match file.mapping.apply(event, payload) {
            Ok(mapped) => {
                run.requests.extend(mapped.requests);
                run.notes.extend(mapped.notes);
            }
            Err(error) => {
                run.failed = Some(error);
                break;
            }
        }
    }
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
        let empty = || format!("empty; queries: {}", tried.join(" and "));
        let found = field.query.clone().unwrap_or_else(empty).replace('\n', "\\n");
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
