//! `replays`: lists the replays and what became of their events. It reads the store itself, beside a running relay or
//! without one.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use jiff::Timestamp;

use super::error::CommandError;
use super::output::{self, line, stdout_style};
use super::paged::{self, continuation};
use super::times::{TimeFormat, TimeOptions};
use super::{input, open_store, runtime, table};
use crate::admin::api::replays::ReplayList;
use crate::secret::Environment;
use crate::store::{
    Archive as _, ListedReplay, ReplayCursor, ReplayPage, ReplayProgress, ReplayResults,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Maximum number of replays
    #[arg(long, default_value = "50")]
    limit: NonZeroUsize,
    /// Continue a previous list from the cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    after: Option<ReplayCursor>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    times: TimeOptions,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let store = open_store::open(&config)?;
    runtime::block_on(async {
        let read = async |limit, after| {
            let page = store.replays(limit, after).await?;
            Ok((page.replays, page.next))
        };
        let listed = paged::collect(arguments.limit, arguments.after, read).await;
        store.close().await;
        let (replays, next) = listed?;
        let page = ReplayPage { replays, next };
        if arguments.json {
            return output::print_json(&ReplayList::of(page));
        }
        output::print(&listing(&page, &arguments.times.format()))
    })
}

fn listing(page: &ReplayPage, times: &TimeFormat) -> String {
    if page.replays.is_empty() {
        return "there are no replays\n".to_owned();
    }
    let begun: Vec<Timestamp> = page.replays.iter().map(|it| it.progress.begun_at).collect();
    let (time, begun) = times.column("started", &begun);
    let rows: Vec<_> = page.replays.iter().zip(begun).map(|(it, at)| row(it, at)).collect();
    let names = ["id", &time, "by", "which", "replayed", "state"];
    table::table(names, &rows, stdout_style()) + &continuation(page.next)
}

fn row(listed: &ListedReplay, begun: String) -> [String; 6] {
    let ListedReplay { progress, by, which } = listed;
    let text = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), line);
    let replayed = progress.replayed.to_string();
    [progress.id.to_string(), begun, text(by), text(which), replayed, state(progress)]
}

/// Says whether it runs, and what became of its events so far.
fn state(progress: &ReplayProgress) -> String {
    let stage = match (progress.canceled_at, progress.is_running()) {
        (Some(_), _) => "canceled",
        (None, true) => "running",
        (None, false) => "done",
    };
    let mut parts = vec![stage.to_owned()];
    parts.extend(results(progress));
    parts.join(", ")
}

/// Returns what became of the events of a replay, each number with its word.
pub(super) fn results(progress: &ReplayProgress) -> Vec<String> {
    let known = progress.results.unwrap_or_default();
    let ReplayResults { delivered, dead, ignored, held, queued } = known;
    let parts = [
        (delivered, "delivered"),
        (dead, "dead"),
        (ignored, "ignored"),
        (held, "held"),
        (queued, "queued"),
        (progress.given_back, "restored"),
    ];
    let parts = parts.into_iter().filter(|(events, _)| *events > 0);
    parts.map(|(events, what)| format!("{events} {what}")).collect()
}
