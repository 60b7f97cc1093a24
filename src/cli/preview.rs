//! `try`: the requests that a payload becomes. Nothing is kept or sent.

use std::path::PathBuf;

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

/// What one payload became.
struct PreviewRun {
    requests: Vec<Request>,
    notes: Vec<String>,
    /// Why there may be no request.
    ignored: Option<String>,
    explanations: Vec<Explanation>,
    /// Why there is no more.
    failed: Option<MappingError>,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let file = input::mapping_file(&arguments.source, &config, environment)?;
    if file.mistakes.iter().any(Diagnostic::is_error) {
        shown::tell(&show(&file.document, &file.mistakes, shown::stderr_look()));
        return Err(CommandError::AlreadyReported);
    }
    let body = input::bytes(&arguments.payload)?;
    let headers: Headers = arguments.headers.into_iter().collect();
    let limits = config.intake.limits();
    let sample = SamplePayload { headers, body };
    let mut tried = attempt(&file, &sample, &limits)?;
    if let Some(error) = tried.failed {
        if arguments.explain {
            tried
                .explanations
                .iter()
                .for_each(|it| shown::tell(&explained(it, OutputStyle::Plain)));
        }
        return Err(CommandError::InvalidInput(error.to_string()));
    }
    tried.notes.extend(tried.requests.is_empty().then(|| header_missing(&file, &sample)).flatten());
    let text = match (arguments.json, arguments.explain) {
        (true, false) => pretty(&json!(tried.requests)),
        (true, true) => pretty(&json!({
            "requests": tried.requests,
            "explain": tried.explanations.iter().flat_map(|it| &it.fields).collect::<Vec<_>>(),
            "blocks": tried.explanations.iter().flat_map(|it| &it.blocks).collect::<Vec<_>>(),
        })),
        (false, explain) => tried.show(explain),
    };
    shown::print(&text)
}

fn attempt(
    file: &MappingFile,
    sample: &SamplePayload,
    limits: &PayloadLimits,
) -> Result<PreviewRun, CommandError> {
    let carried =
        file.carried(sample, limits, clock::now()).ok_or(CommandError::AlreadyReported)?;
    let carried = carried.map_err(|error| CommandError::InvalidInput(error.to_string()))?;
    let mut tried = PreviewRun {
        requests: Vec::new(),
        notes: carried.notes,
        ignored: carried.ignored,
        explanations: Vec::new(),
        failed: None,
    };
    for (event, payload) in &carried.events {
        tried.explanations.push(file.mapping.explain(event, payload));
        match file.mapping.apply(event, payload) {
            Ok(mapped) => {
                tried.requests.extend(mapped.requests);
                tried.notes.extend(mapped.notes);
            }
            Err(unmappable) => {
                tried.failed = Some(unmappable);
                break;
            }
        }
    }
    Ok(tried)
}

/// Where the file's own tests give a header, a payload alone may not say what it is.
fn header_missing(file: &MappingFile, sample: &SamplePayload) -> Option<String> {
    let given = |name: &String| sample.headers.contains_key(name);
    let (name, value) =
        file.tests.iter().find_map(|test| test.headers.iter().find(|(name, _)| !given(name)))?;
    Some(format!("its tests have a header that is not given here, such as --header {name}:{value}"))
}

impl PreviewRun {
    fn show(&self, explain: bool) -> String {
        let look = shown::stdout_look();
        let mut parts: Vec<String> =
            self.requests.iter().map(|request| shown::request(request, look)).collect();
        if self.requests.is_empty() {
            let reason = self.ignored.as_deref().unwrap_or("the mapping makes no request of it");
            parts.push(format!("ignored: {}\n", shown::line(reason)));
        }
        parts.extend(self.notes.iter().map(|it| format!("note: {}\n", shown::line(it))));
        if explain {
            parts.extend(self.explanations.iter().map(|it| explained(it, look)));
        }
        parts.join("\n")
    }
}

/// Where each value is from; for an empty one, what was asked.
fn explained(explanation: &Explanation, look: OutputStyle) -> String {
    let mut lines = shown::bold("how each value was found", look) + "\n";
    for story in &explanation.fields {
        let asked: Vec<&str> = story.tried.iter().map(|it| it.query.as_str()).collect();
        let empty = || format!("empty; asked were {}", asked.join(" and "));
        let found = story.query.clone().unwrap_or_else(empty).replace('\n', "\\n");
        let found = shown::visible(&found);
        let note = story.note.as_ref().map(|note| format!(" ({})", shown::line(note)));
        let note = note.unwrap_or_default();
        lines += &format!("  {}: {found}{note}\n", story.field);
    }
    for story in explanation.blocks.iter().filter(|story| story.requests == 0) {
        lines +=
            &format!("  {}: no request, {}\n", story.block, shown::line(&story.reasons.join(", ")));
    }
    lines
}

fn pretty(value: &serde_json::Value) -> String {
    shown::json(&format!("{value:#}\n"))
}
