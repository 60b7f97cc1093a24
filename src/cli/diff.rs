//! `diff`: shows what another mapping file would change, on the stored events of a source. It reads the
//! store itself, beside a running relay or without one. Nothing is stored or sent.

mod field_totals;
mod report;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::error::CommandError;
use super::events::filter::SourceFilterOptions;
use super::output::{self, Written, stderr_style, stdout_style};
use super::progress_bar::ProgressBar;
use super::times::TimeOptions;
use super::{events, input, open_store, runtime};
use crate::admin::change_views::EventChangeView;
use crate::comparison::{
    self, ChangeCounts, ComparisonError, ComparisonThreads, MappingPair, Walk,
};
use crate::config::Config;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::report::show;
use crate::event::{MappingDigest, SourceName};
use crate::mapping_file::file::MappingFile;
use crate::parse_memory::ParseMemory;
use crate::secret::Environment;
use crate::store::{Archive as _, FoundVersion, Sqlite};
use report::Report;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Source whose stored events are mapped by both files
    source: SourceName,
    /// Mapping file to compare with the one in service; - for standard input
    new: PathBuf,
    /// Number of events, the newest ones that match the filter
    #[arg(long, default_value = "200", value_parser = limit)]
    limit: usize,
    #[command(flatten)]
    which: SourceFilterOptions,
    /// Print JSON, with all events that differ
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    times: TimeOptions,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=comparison::EVENTS_MAX).contains(limit));
    limit.ok_or_else(|| format!("write a number from 1 to {}", comparison::EVENTS_MAX))
}

/// The text that the new file is compared with.
struct InService {
    text: String,
    /// None if no relay has had it in service.
    since: Option<Timestamp>,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let new = Document::read(&arguments.new)?;
    let new = mapping(&arguments.source, &new)?;
    let store = open_store::open(&config)?;
    runtime::block_on(async {
        let result = compare(arguments, (&store, new), (&config, environment)).await;
        store.close().await;
        result
    })
}

/// Compiles a mapping file of the source, wherever it lies. Nothing that it names is read.
fn mapping(source: &SourceName, document: &Document) -> Result<MappingFile, CommandError> {
    let Document { name, text } = document.clone();
    let mut file = MappingFile::of_text(Document { name: format!("{source}.toml"), text });
    if file.mistakes.iter().any(Diagnostic::is_error) {
        file.document.name = name;
        output::print_error(&show(&file.document, &file.mistakes, stderr_style()));
        return Err(CommandError::AlreadyReported);
    }
    Ok(file)
}

async fn compare(
    arguments: Arguments,
    (store, new): (&Sqlite, MappingFile),
    (config, environment): (&Config, &Environment),
) -> Result<(), CommandError> {
    let Arguments { source, limit, which, json, times, .. } = arguments;
    events::check_source(store, Some(&source), (config, environment)).await?;
    let InService { text, since } = in_service(store, &source, (config, environment)).await?;
    let digest = MappingDigest::of(&text);
    let name = format!("the mapping file of {source} in service");
    let old = mapping(&source, &Document { name, text })?;
    let not_compared = comparison::not_compared(&old, &new);
    let threads = ComparisonThreads::default();
    let turn = threads.begin("diff".into());
    let memory = Arc::new(ParseMemory::new(config.intake.parsed_bytes_max));
    let pair = MappingPair { old: old.mapping, new: new.mapping };
    let events = (which.filter(source), limit, None);
    let walk = Walk::new(store, pair, events, (&memory, &threads, turn));
    let counts = if json {
        let head = ComparisonHead { in_service: digest, since, not_compared: &not_compared };
        print_json(walk, (&head, limit)).await?
    } else {
        let mut report = Report::new(times.format(), stdout_style());
        let counts = count(walk, limit, &mut report).await?;
        output::print(&report.text(counts, (digest, since), &not_compared))?;
        counts
    };
    if counts.differing() == 0 { Ok(()) } else { Err(CommandError::Differs) }
}

/// Returns the text that a relay has had in service last; without one, the configured file.
// Not the file in the folder: it may have been changed since, and if it has mistakes, a running
// relay goes on with the text before.
async fn in_service(
    store: &Sqlite,
    source: &SourceName,
    (config, environment): (&Config, &Environment),
) -> Result<InService, CommandError> {
    let history = store.mapping_history(source.clone(), 1, None).await?;
    if let Some(newest) = history.versions.first() {
        let digest = newest.version.digest.to_string().parse();
        let digest = digest.map_err(|error| CommandError::failed(&error))?;
        let found = store.mapping_text(source.clone(), digest).await?;
        if let FoundVersion::One { text, version, .. } = found {
            return Ok(InService { text, since: Some(version.since) });
        }
    }
    let file = input::mapping_file(source.as_str(), config, environment)?;
    Ok(InService { text: file.document.text, since: None })
}

async fn count(
    mut walk: Walk<'_>,
    limit: usize,
    report: &mut Report,
) -> Result<ChangeCounts, CommandError> {
    let (mut counts, mut bar) = (ChangeCounts::default(), ProgressBar::new());
    while let Some(compared) = walk.next().await? {
        for event in compared {
            counts.add(event.kind());
            report.add(&event);
        }
        bar.show(counts.compared, u64::try_from(limit).ok(), "events compared");
    }
    Ok(counts)
}

/// What the JSON begins with.
#[derive(Serialize)]
struct ComparisonHead<'h> {
    in_service: MappingDigest,
    since: Option<Timestamp>,
    not_compared: &'h [String],
}

/// Prints one JSON object, event by event: 10,000 of them would not fit into the memory.
async fn print_json(
    mut walk: Walk<'_>,
    (head, limit): (&ComparisonHead<'_>, usize),
) -> Result<ChangeCounts, CommandError> {
    let (mut counts, mut bar) = (ChangeCounts::default(), ProgressBar::beside_rows());
    let mut text = json(head)?;
    text.truncate(text.trim_end_matches('}').len());
    text += ",\n\"events\": [";
    let mut separator = "\n";
    while let Some(compared) = walk.next().await? {
        for event in compared {
            counts.add(event.kind());
            if let Some(view) = EventChangeView::of(event) {
                text += &format!("{separator}{}", json(&view)?);
                separator = ",\n";
            }
        }
        bar.clear();
        if output::write(&output::json(&text))? == Written::Closed {
            return Ok(counts);
        }
        bar.show(counts.compared, u64::try_from(limit).ok(), "events compared");
        text.clear();
    }
    bar.clear();
    output::print(&format!("{text}\n],\n{}\n", json(&counts)?.trim_start_matches('{')))?;
    Ok(counts)
}

fn json(value: &impl Serialize) -> Result<String, CommandError> {
    serde_json::to_string(value).map_err(|error| CommandError::Failed(error.to_string()))
}

impl From<ComparisonError> for CommandError {
    fn from(error: ComparisonError) -> CommandError {
        CommandError::Failed(error.to_string())
    }
}
