//! `events replay`: starts, runs, shows and cancels replays, or counts their events.

use std::time::Duration;

use super::dry_run;
use crate::admin::views::ReplayView;
use crate::cli::error::CommandError;
use crate::cli::operator::operator;
use crate::cli::output as shown;
use crate::cli::progress_bar::ProgressBar;
use crate::cli::replays::results;
use crate::clock;
use crate::config::Config;
use crate::secret::Environment;
use crate::store::{
    Archive, EventFilter, PageRequest, ReplayId, ReplayProgress, ReplayRequest, Sqlite, StoreError,
    run_replay,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Count the events, and map up to 500 of them, without replaying any
    #[arg(long)]
    dry_run: bool,
    /// Rate at which events are started: 5/s, 100/m or 1000/h (default: all at once)
    #[arg(long, value_parser = every)]
    rate: Option<Duration>,
    /// Show the progress of a replay
    #[arg(long, value_name = "REPLAY_ID", conflicts_with_all = ["ids", "dry_run", "rate", "cancel"])]
    progress: Option<ReplayId>,
    /// Cancel a replay; events that were not started return to their previous state
    #[arg(long, value_name = "REPLAY_ID", conflicts_with_all = ["ids", "dry_run", "rate"])]
    cancel: Option<ReplayId>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Parses a rate and returns the time between two events.
fn every(rate: &str) -> Result<Duration, String> {
    let (count, unit) = rate.split_once('/').unwrap_or((rate, "s"));
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write 5/s, 100/m or 1000/h".to_owned()),
    };
    let count: f64 = count.trim().parse().map_err(|_| "write 5/s, 100/m or 1000/h".to_owned())?;
    // Rust parses "nan" and "inf" as numbers.
    if !(count.is_finite() && count > 0.0) {
        return Err("a rate is more than 0".to_owned());
    }
    Duration::try_from_secs_f64(seconds / count).map_err(|_| "that is too slow".to_owned())
}

pub(super) async fn run(
    store: &Sqlite,
    filter: EventFilter,
    (arguments, read): (&Arguments, (&Config, &Environment)),
) -> Result<(), CommandError> {
    if let Some(id) = arguments.progress {
        let replay = store.replay(id).await?;
        return report(&replay.ok_or_else(|| no_replay(id))?, arguments);
    }
    if let Some(id) = arguments.cancel {
        store.cancel_replay(id, clock::now(), operator()).await?;
        let replay = run_and_show(store, id).await?;
        return report(&replay.ok_or_else(|| no_replay(id))?, arguments);
    }
    refuse_erased(store, &filter).await?;
    if arguments.dry_run {
        return dry_run::run(store, filter, read, arguments.json).await;
    }
    let (id, interval) = (ReplayId::new(clock::now()), arguments.rate.unwrap_or_default());
    let request = ReplayRequest { id, filter, interval, begun_at: clock::now() };
    store.start_replay(request, operator()).await?;
    // From here on, a running relay completes the replay even if this command is interrupted.
    let replay = run_and_show(store, id).await.map_err(|error| {
        CommandError::Failed(format!(
            "{error}; a running relay continues replay {id} within a minute"
        ))
    })?;
    report(&replay.ok_or_else(|| no_replay(id))?, arguments)
}

/// Fails if one of the ids is that of an erased event.
async fn refuse_erased(store: &Sqlite, filter: &EventFilter) -> Result<(), CommandError> {
    if filter.ids.is_empty() {
        return Ok(());
    }
    let page = PageRequest { limit: filter.ids.len(), after: None };
    let named = store.list(filter.clone(), page).await?;
    match named.events.iter().find(|event| event.erased_at.is_some()) {
        None => Ok(()),
        Some(erased) => Err(CommandError::InvalidInput(format!(
            "event {} is erased: there is nothing left to send",
            erased.id
        ))),
    }
}

fn no_replay(id: ReplayId) -> CommandError {
    CommandError::InvalidInput(format!("there is no replay {id}"))
}

/// Runs the replay to its end, and shows its progress on a terminal.
async fn run_and_show(store: &Sqlite, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError> {
    let mut bar = ProgressBar::new();
    let show = |replay: &ReplayProgress| {
        if replay.has_more {
            bar.show(replay.replayed - replay.given_back, None, "replayed");
        }
    };
    run_replay(store, id, show).await
}

/// Says how many events were left, since they wait for delivery anyway.
fn queued_already(events: u64) -> String {
    if events == 0 { String::new() } else { format!(", {events} queued already") }
}

fn report(replay: &ReplayProgress, arguments: &Arguments) -> Result<(), CommandError> {
    if arguments.json {
        return shown::print_json(&ReplayView::of(replay));
    }
    let ReplayProgress { id, matched, replayed, waiting, given_back, .. } = replay;
    let started = replayed.saturating_sub(*waiting).saturating_sub(*given_back);
    let parts = [(started, "replayed"), (*waiting, "will be replayed")];
    let parts = parts.into_iter().filter(|(events, _)| *events > 0);
    let parts: Vec<String> = parts.map(|(events, what)| format!("{events} {what}")).collect();
    let parts = if parts.is_empty() { "0 replayed".to_owned() } else { parts.join(", ") };
    let mut text = format!("{parts}{}\n", queued_already(matched - replayed));
    // Only where it is asked for: a replay that has just begun has nothing to tell.
    let results = results(replay);
    if arguments.progress.is_some() && !results.is_empty() {
        text += &format!("so far {}\n", results.join(", "));
    }
    if replay.canceled_at.is_some() {
        text += &format!("canceled: {given_back} restored\n");
    } else if *waiting > 0 {
        text += &format!("to cancel it: savio-relay events replay --cancel {id}\n");
    }
    shown::print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_the_time_between_two_events() {
        let check = |rate: &str, milliseconds: Option<u64>| {
            assert_eq!(every(rate).ok(), milliseconds.map(Duration::from_millis), "{rate}");
        };
        check("5/s", Some(200));
        check("5", Some(200));
        check("0.5/s", Some(2000));
        check("30/m", Some(2000));
        check("3600 / h", Some(1000));
        for bad in ["", "0/s", "-1/s", "5/d", "/s", "nan/s", "inf", "0.00000000000000000000001/h"] {
            check(bad, None);
        }
    }
}
