//! `mappings history`: shows which texts of a source's mapping file were in service, and prints one, so
//! that it can be put back. It reads the store itself, beside a running relay or without one.

use std::io::{IsTerminal as _, stdout};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;

use super::error::CommandError;
use super::output::{self, stdout_style, visible};
use super::paged::continuation;
use super::times::{TimeFormat, TimeOptions};
use super::{events, input, open_store, runtime, table};
use crate::admin::api::versions::{VersionList, VersionView};
use crate::config::Config;
use crate::event::{DigestPrefix, SourceName};
use crate::secret::Environment;
use crate::store::{Archive as _, FoundVersion, Sqlite, VersionCursor};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: MappingsCommand,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum MappingsCommand {
    /// List the texts of a source's mapping file that were in service, newest first
    History(HistoryArguments),
}

#[derive(Debug, clap::Args)]
struct HistoryArguments {
    /// Source
    source: SourceName,
    /// Print the text with this digest, or beginning of a digest, as it was written
    #[arg(long, value_name = "DIGEST", conflicts_with_all = ["limit", "after", "json"])]
    show: Option<DigestPrefix>,
    /// Maximum number of versions
    #[arg(long, default_value = "50")]
    limit: NonZeroUsize,
    /// Continue a previous list from the cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    after: Option<VersionCursor>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    times: TimeOptions,
}

/// Number of versions that are read at a time.
const PAGE: usize = 500;

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let store = open_store::open(&config)?;
    let MappingsCommand::History(arguments) = arguments.command;
    runtime::block_on(async {
        let result = match &arguments.show {
            Some(digest) => show(&store, &arguments.source, digest).await,
            None => list(&store, &arguments, (&config, environment)).await,
        };
        store.close().await;
        result
    })
}

async fn list(
    store: &Sqlite,
    arguments: &HistoryArguments,
    read: (&Config, &Environment),
) -> Result<(), CommandError> {
    let source = &arguments.source;
    events::check_source(store, Some(source), read).await?;
    let limit = arguments.limit.get().min(PAGE);
    let history = store.mapping_history(source.clone(), limit, arguments.after).await?;
    // Without its file a source maps nothing, whatever was in service last.
    let files = input::mapping_files(read.0, read.1).unwrap_or_default();
    let has_file = files.iter().any(|file| file.name.as_ref() == Some(source));
    let list = VersionList::of(history, |_| has_file);
    if arguments.json {
        return output::print_json(&list);
    }
    if list.versions.is_empty() {
        return output::print(&format!(
            "no version of {source} is stored: a relay stores each text that goes into service\n"
        ));
    }
    let table = table_of(&list.versions, &arguments.times.format());
    output::print(&(table + &continuation(list.next)))
}

fn table_of(versions: &[VersionView], times: &TimeFormat) -> String {
    let since: Vec<Timestamp> = versions.iter().map(|version| version.since).collect();
    let (since_name, since) = times.column("in service since", &since);
    let row = |(version, since): (&VersionView, String)| {
        let more = if version.at_least { " or more" } else { "" };
        let state = if version.in_service { "in service" } else { "" };
        let events = format!("{}{more}", version.events);
        let by = version.by.as_deref().unwrap_or("the file").to_owned();
        [since, version.digest.short(), events, by, state.to_owned()]
    };
    let rows: Vec<_> = versions.iter().zip(since).map(row).collect();
    table::table([since_name.as_str(), "digest", "events", "by", ""], &rows, stdout_style())
}

/// Prints a text byte for byte.
async fn show(
    store: &Sqlite,
    source: &SourceName,
    digest: &DigestPrefix,
) -> Result<(), CommandError> {
    let reason = match store.mapping_text(source.clone(), digest.clone()).await? {
        FoundVersion::One { text, .. } if stdout().is_terminal() => {
            return output::print(&visible(&text));
        }
        FoundVersion::One { text, .. } => return output::print(&text),
        FoundVersion::None => format!(
            "no mapping file of {source} with the digest {digest} is stored: `savio-relay mappings \
             history {source}` lists those that are"
        ),
        FoundVersion::Several => {
            format!("several digests of {source} begin with {digest}: write more of it")
        }
    };
    Err(CommandError::InvalidInput(reason))
}
