//! `sources`: shows which sources are live and what waits of each, and pauses or resumes one,
//! through the running relay.

use std::path::PathBuf;

use clap::Subcommand;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::CommandError;
use super::output::{self, line, stdout_style};
use super::relay_client::{CallError, RelayClient, segment};
use super::stored_state::{self, SourceState, SourceStates};
use super::times::{TimeFormat, TimeOptions, age};
use super::{input, runtime, table};
use crate::config::Config;
use crate::diagnostics::counted;
use crate::diagnostics::suggestion::nearest;
use crate::mapping_file::readiness::more_ready;
use crate::secret::Environment;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: SourcesCommand,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum SourcesCommand {
    /// List sources: live ones, those of the folder, and those with events
    List {
        /// Also list bundled sources that nobody has set up
        #[arg(long)]
        all: bool,
        /// Print JSON, of all sources
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        times: TimeOptions,
    },
    /// Stop delivering the events of a source; its webhooks are still accepted
    Pause(OneSource),
    /// Deliver the events of a source again
    Resume(OneSource),
}

#[derive(Debug, clap::Args)]
struct OneSource {
    /// Source
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    runtime::block_on(async {
        match arguments.command {
            SourcesCommand::List { all, json, times } => {
                let answer = answer((&config, environment)).await?;
                if json {
                    return output::print_json(&answer);
                }
                let list: SourceStates = read(answer)?;
                output::print(&listed(&list.sources, all, &times.format()))
            }
            SourcesCommand::Pause(one) => change(&config, &one, "pause").await,
            SourcesCommand::Resume(one) => change(&config, &one, "resume").await,
        }
    })
}

async fn answer((config, environment): (&Config, &Environment)) -> Result<Value, CommandError> {
    let answer = match RelayClient::of(config) {
        Ok(relay) => relay.get("sources").await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => Ok(answer),
        Err(error) => {
            let list = stored_state::sources(config, environment).await?;
            output::print_error(&format!("{error}\nThis is what the files and the store have:"));
            Ok(serde_json::to_value(list).expect("texts and numbers are JSON"))
        }
    }
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, CommandError> {
    let not_ours = |_| CommandError::Failed("the relay is of another version".to_owned());
    serde_json::from_value(answer).map_err(not_ours)
}

fn listed(sources: &[SourceState], all: bool, times: &TimeFormat) -> String {
    // What somebody set up, or what was ever used, is not lost among the bundled ones when it goes off.
    let is_chosen = |one: &SourceState| one.in_folder || one.last_event_at.is_some();
    let is_shown =
        |one: &&SourceState| all || one.live || one.paused || one.queued > 0 || is_chosen(one);
    let shown: Vec<&SourceState> = sources.iter().filter(is_shown).collect();
    let rows: Vec<_> = shown.iter().map(|one| row(one, times)).collect();
    let names = ["source", "state", "destination", "queued", "oldest", "last event"];
    let mut text = if rows.is_empty() {
        "no source is live: `savio-relay check` says what each lacks\n".to_owned()
    } else {
        table::table(names, &rows, stdout_style())
    };
    for one in &shown {
        for reason in [one.reason.as_ref(), one.queued_reason.as_ref()].into_iter().flatten() {
            let told = format!("{}: {}", line(&one.name), line(reason));
            text += &format!("\n{}", table::sentence(&told, stdout_style()));
        }
    }
    if shown.len() < sources.len() {
        let off = sources.len() - shown.len();
        text += &format!("\n{}, `savio-relay sources list --all`\n", more_ready(off));
    }
    text
}

fn row(one: &SourceState, times: &TimeFormat) -> [String; 6] {
    let state = match (one.live, one.paused) {
        (_, true) => "paused",
        (true, false) => "live",
        (false, false) => "off",
    };
    [
        line(&one.name),
        state.to_owned(),
        one.destination.as_deref().map_or("-".to_owned(), line),
        one.queued.to_string(),
        one.oldest_queued_seconds.map_or("-".to_owned(), age),
        one.last_event_at.map_or("-".to_owned(), |at| times.moment(at)),
    ]
}

/// Pauses or resumes the source.
async fn change(config: &Config, one: &OneSource, verb: &str) -> Result<(), CommandError> {
    let relay = RelayClient::of(config)?;
    let path = format!("sources/{}/{verb}", segment(&one.name));
    let answer: Value = match relay.post(&path).await {
        Ok(answer) => answer,
        Err(CallError::NotFound { .. }) => return Err(unknown(&relay, &one.name).await),
        Err(error @ CallError::NotRunning { .. }) => {
            return Err(CommandError::Failed(format!(
                "{error}. Without a relay nothing is delivered, and `savio-relay sources list` \
                 shows what waits"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    if one.json {
        return output::print_json(&answer);
    }
    let SourceState { name, paused, queued, .. } = read(answer)?;
    let name = line(&name);
    output::print(&if paused {
        format!("{name} is paused: its webhooks are accepted, and its events wait ({queued})\n")
    } else {
        let are = if queued == 1 { "is" } else { "are" };
        format!("{name} is delivered again; {} {are} queued\n", counted(queued, "event"))
    })
}

async fn unknown(relay: &RelayClient, name: &str) -> CommandError {
    let list = relay.get::<SourceStates>("sources").await;
    let known = list.map(|list| list.sources).unwrap_or_default();
    let help = match nearest(name, known.iter().map(|one| one.name.as_str())) {
        Some(near) => format!("did you mean {near}?"),
        None => "`savio-relay sources list --all` lists them".to_owned(),
    };
    CommandError::InvalidInput(format!("no source `{}`; {help}", line(name)))
}
