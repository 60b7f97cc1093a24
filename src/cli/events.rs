//! `events` and `dead`: list, show, replay and release events. They open the store itself, beside a
//! running relay or without one.

mod copy;
mod count;
mod dry_run;
mod erase;
pub(super) mod filter;
pub(super) mod ids;
mod list;
mod replay;
mod tail;
mod waits;

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand};

use super::error::CommandError;
use super::operator::operator;
use super::times::{TimeFormat, TimeOptions};
use super::{destinations, input, open_store, output as shown, runtime};
use crate::admin::views::EventView;
use crate::clock;
use crate::config::Config;
use crate::diagnostics::suggestion::nearest;
use crate::event::{EventId, IdPrefix, SourceName, State};
use crate::secret::Environment;
use crate::store::{Archive, EventFilter, HoldDecision, ReleaseOutcome, ReleaseRequest, Sqlite};
use filter::{CommonFilterOptions, FilterOptions, TailFilterOptions};
pub(super) use list::{headline, unknown};
use waits::QueueWaits;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: EventsCommand,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum EventsCommand {
    /// List events, newest first
    List {
        #[command(flatten)]
        which: FilterOptions,
        #[command(flatten)]
        page: list::Arguments,
    },
    /// Count the events that match a filter, by state
    Count {
        #[command(flatten)]
        which: FilterOptions,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Follow events: the newest ones, then each that arrives or changes, until Ctrl-C
    Tail {
        #[command(flatten)]
        which: TailFilterOptions,
        #[command(flatten)]
        tail: tail::Arguments,
    },
    /// Show all details of an event
    Show {
        /// Event id, or its beginning
        id: IdPrefix,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        times: TimeOptions,
    },
    /// Map settled and held events again and send them; dead and held ones skip completed requests
    #[command(override_usage = "savio-relay events replay [OPTIONS] <ID>... | FILTER")]
    #[command(group(ArgGroup::new("what").required(true).multiple(true).args(
        ["ids", "state", "source", "destination", "since", "until", "text", "contains", "event_type", "stage",
         "attempts_min", "left_out", "may_repeat", "imported", "progress", "cancel"])))]
    Replay {
        /// Event ids, or their beginnings (default: all events that match the filter)
        #[arg(value_name = "ID")]
        ids: Vec<IdPrefix>,
        #[command(flatten)]
        which: FilterOptions,
        #[command(flatten)]
        replay: replay::Arguments,
    },
    /// Release a held event whose request was sent but not answered
    #[command(group(ArgGroup::new("word").required(true).args(["arrived", "again"])))]
    Release {
        /// Event id, or its beginning
        id: IdPrefix,
        /// Savio has the request; continue with the next one
        #[arg(long)]
        arrived: bool,
        /// Send the request again
        #[arg(long)]
        again: bool,
    },
    /// Send an edited payload as a new event of the same source, through the running relay
    Copy {
        /// Event id, or its beginning
        id: IdPrefix,
        #[command(flatten)]
        copy: copy::Arguments,
    },
    /// Forget what settled events say, for good: payloads, headers, requests, details of attempts
    #[command(override_usage = "savio-relay events erase [OPTIONS] <ID>... | --person <EMAIL>")]
    #[command(group(ArgGroup::new("which").required(true).multiple(true).args(["ids", "person"])))]
    Erase {
        /// Event ids, or their beginnings
        #[arg(value_name = "ID")]
        ids: Vec<IdPrefix>,
        #[command(flatten)]
        erase: erase::Arguments,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct DeadArguments {
    #[command(subcommand)]
    command: DeadCommand,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum DeadCommand {
    /// List dead events, newest first
    List {
        #[command(flatten)]
        chosen: CommonFilterOptions,
        #[command(flatten)]
        page: list::Arguments,
    },
    /// Map dead events again and send them: all, or those that match the filter
    Replay {
        /// Event ids, or their beginnings (default: all events that match the filter)
        #[arg(value_name = "ID")]
        ids: Vec<IdPrefix>,
        #[command(flatten)]
        chosen: CommonFilterOptions,
        #[command(flatten)]
        replay: replay::Arguments,
    },
}

/// Converts a command on dead events into one on events with the filter for that state.
impl From<DeadArguments> for Arguments {
    fn from(arguments: DeadArguments) -> Arguments {
        let dead = |chosen| FilterOptions { state: vec![State::Dead], chosen };
        let command = match arguments.command {
            DeadCommand::List { chosen, page } => EventsCommand::List { which: dead(chosen), page },
            DeadCommand::Replay { ids, chosen, replay } => {
                EventsCommand::Replay { ids, which: dead(chosen), replay }
            }
        };
        Arguments { command, config: arguments.config }
    }
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let store = open_store::open(&config)?;
    runtime::block_on(async {
        let result = dispatch(arguments.command, &store, (&config, environment)).await;
        store.close().await;
        result
    })
}

/// Returns the sources that send to a destination, by the current mapping files.
fn senders(
    destination: &str,
    (config, environment): (&Config, &Environment),
) -> Result<Vec<SourceName>, CommandError> {
    if !config.destinations.contains_key(destination) {
        let known: Vec<&str> = config.destinations.keys().map(String::as_str).collect();
        return Err(destinations::unknown(destination, &known));
    }
    let files = input::mapping_files(config, environment)?;
    let own = files.into_iter().filter(|file| file.destination() == destination);
    Ok(own.filter_map(|file| file.name).collect())
}

async fn dispatch(
    command: EventsCommand,
    store: &Sqlite,
    read: (&Config, &Environment),
) -> Result<(), CommandError> {
    let senders = |destination: &str| senders(destination, read);
    let times = TimeOptions::default().format();
    match command {
        EventsCommand::List { which, page } => {
            check_source(store, which.source(), read).await?;
            let waits = QueueWaits::read(store, read).await?;
            let filter = which.filter(Vec::new(), senders)?;
            list::list(store, (filter, &waits), (&page, read.0)).await
        }
        EventsCommand::Count { which, json } => {
            check_source(store, which.source(), read).await?;
            count::run(store, which.filter(Vec::new(), senders)?, json).await
        }
        EventsCommand::Tail { which, tail } => {
            let which = FilterOptions::from(which);
            check_source(store, which.source(), read).await?;
            let waits = QueueWaits::read(store, read).await?;
            let filter = which.filter(Vec::new(), senders)?;
            tail::run(store, (filter, waits), &tail).await
        }
        EventsCommand::Show { id, json, times } => {
            let times = times.format();
            let id = ids::resolve(store, &id, &times).await?;
            let waits = QueueWaits::read(store, read).await?;
            show(store, (id, &waits), (read.0, json, &times)).await
        }
        EventsCommand::Replay { ids, which, replay } => {
            check_source(store, which.source(), read).await?;
            let ids = ids::resolve_all(store, &ids, &times).await?;
            replay::run(store, which.filter(ids, senders)?, (&replay, read)).await
        }
        EventsCommand::Release { id, arrived, again: _ } => {
            let id = ids::resolve(store, &id, &times).await?;
            let decision =
                if arrived { HoldDecision::AlreadyArrived } else { HoldDecision::SendAgain };
            release(store, id, decision).await
        }
        EventsCommand::Copy { id, copy } => {
            let id = ids::resolve(store, &id, &times).await?;
            copy::run(read.0, id, &copy).await
        }
        EventsCommand::Erase { ids, erase } => {
            let ids = ids::resolve_all(store, &ids, &times).await?;
            erase::run(store, ids, &erase).await
        }
    }
}

/// Fails if no mapping file and no event has the source, since a misspelled one would match
/// nothing.
pub(super) async fn check_source(
    store: &Sqlite,
    source: Option<&SourceName>,
    (config, environment): (&Config, &Environment),
) -> Result<(), CommandError> {
    let Some(source) = source else { return Ok(()) };
    let files = input::mapping_files(config, environment).unwrap_or_default();
    let mut known: Vec<SourceName> = files.into_iter().filter_map(|file| file.name).collect();
    known.extend(store.counts().await?.into_iter().map(|count| count.source));
    if known.contains(source) {
        return Ok(());
    }
    let help = match nearest(source.as_str(), known.iter().map(SourceName::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "`savio-relay sources list --all` lists them".to_owned(),
    };
    Err(CommandError::InvalidInput(format!("no source `{source}`; {help}")))
}

async fn show(
    store: &Sqlite,
    (id, waits): (EventId, &QueueWaits),
    (config, json, times): (&Config, bool, &TimeFormat),
) -> Result<(), CommandError> {
    let record = store.event(id).await?.ok_or_else(|| list::unknown(id))?;
    let mut line = record.summary();
    waits.complete_one(config, &mut line).await;
    if json {
        let neighbours = store.neighbours(EventFilter::default(), record.place()).await?;
        return shown::print_json(&EventView::of(line, &record, neighbours));
    }
    let now = clock::now();
    shown::print(&list::details((&record, &line), (times, now), shown::stdout_style()))
}

async fn release(store: &Sqlite, id: EventId, decision: HoldDecision) -> Result<(), CommandError> {
    let request = ReleaseRequest { id, decision, at: clock::now(), by: operator() };
    match store.release(request).await? {
        ReleaseOutcome::Queued => shown::print(&format!("event {id} is queued\n")),
        ReleaseOutcome::Delivered => shown::print(&format!("event {id} is delivered\n")),
        ReleaseOutcome::NotHeld(state) => {
            let state = state.as_str();
            Err(CommandError::InvalidInput(format!(
                "event {id} is {state}: only what is held is released"
            )))
        }
        ReleaseOutcome::NotFound => Err(list::unknown(id)),
    }
}
