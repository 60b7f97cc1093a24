//! `destinations`: shows what is sent to Savio and what waits, and pauses, resumes or probes a
//! destination, through the running relay.

mod log;

use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::error::CommandError;
use super::output::{self, line, stdout_style};
use super::relay_client::{CallError, RelayClient, segment};
use super::stored_state::{self, DestinationState, DestinationStates};
use super::times::{TimeFormat, TimeOptions, age};
use super::{input, runtime, table};
use crate::admin::time_bound::since;
use crate::clock;
use crate::config::Config;
use crate::diagnostics::suggestion::nearest;
use crate::secret::Environment;
use log::DestinationLog;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: DestinationsCommand,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum DestinationsCommand {
    /// List destinations: what waits for each, and why nothing is sent
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        times: TimeOptions,
    },
    /// Stop sending; events wait, requests in progress are finished
    Pause(OneDestination),
    /// Send again, also after a pause by the relay itself
    Resume(OneDestination),
    /// Ask Savio now, and resume if the relay paused by itself and Savio works
    Probe(OneDestination),
    /// Show when requests were not sent, and why, newest first; kept for 90 days
    Log {
        #[command(flatten)]
        one: OneDestination,
        /// Only what went on then or began later: an age (2h, 7d), a date (2026-01-31, in UTC) or a time
        #[arg(long, value_name = "TIME", value_parser = since)]
        since: Option<Timestamp>,
    },
}

#[derive(Debug, clap::Args)]
struct OneDestination {
    /// Destination (default: the only one)
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    times: TimeOptions,
}

#[derive(Debug, Deserialize)]
struct ProbeAnswer {
    works: bool,
    reason: Option<String>,
    resumed: bool,
    destination: DestinationState,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    runtime::block_on(async {
        match arguments.command {
            DestinationsCommand::List { json, times } => {
                list((&config, environment), json, &times.format()).await
            }
            DestinationsCommand::Pause(one) => change(&config, one, "pause").await,
            DestinationsCommand::Resume(one) => change(&config, one, "resume").await,
            DestinationsCommand::Probe(one) => probe(&config, one).await,
            DestinationsCommand::Log { one: OneDestination { name, json, times }, since } => {
                let relay = RelayClient::of(&config)?;
                let log = DestinationLog { destination: chosen(&config, name)?, since };
                log.show(&relay, json, &times.format()).await
            }
        }
    })
}

async fn list(
    (config, environment): (&Config, &Environment),
    json: bool,
    times: &TimeFormat,
) -> Result<(), CommandError> {
    let answer = match RelayClient::of(config) {
        Ok(relay) => relay.get::<Value>("destinations").await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(answer) => answer,
        // The store has nearly all of it, and the user may only lack the token.
        Err(error) => {
            let list = stored_state::destinations(config, environment).await?;
            output::print_error(&format!("{error}\nThis is what the store has:"));
            serde_json::to_value(list).expect("texts and numbers are JSON")
        }
    };
    if json {
        return output::print_json(&answer);
    }
    let list: DestinationStates = read(answer)?;
    output::print(&listed(&list.destinations, (times, clock::now())))
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, CommandError> {
    let not_ours = |_| CommandError::Failed("the relay is of another version".to_owned());
    serde_json::from_value(answer).map_err(not_ours)
}

fn listed(destinations: &[DestinationState], times: (&TimeFormat, Timestamp)) -> String {
    let rows: Vec<_> = destinations.iter().map(row).collect();
    let names = ["destination", "state", "queued", "in flight", "oldest"];
    let mut text = table::table(names, &rows, stdout_style());
    for one in destinations {
        let told = format!("{}: {}", line(&one.name), sentence(one, times));
        text += &format!("\n{}", table::sentence(&told, stdout_style()));
    }
    text
}

fn row(one: &DestinationState) -> [String; 5] {
    let state = match (one.paused, &one.reason, &one.last_failure) {
        (true, _, _) => "paused",
        (false, Some(_), _) => "waiting",
        (false, None, Some(_)) => "failing",
        (false, None, None) => "sending",
    };
    let oldest = one.oldest_queued_seconds.map_or("-".to_owned(), age);
    let in_flight = one.in_flight.to_string();
    [line(&one.name), state.to_owned(), one.queued.to_string(), in_flight, oldest]
}

/// Says what becomes of the destination's events, and when.
fn sentence(one: &DestinationState, (times, now): (&TimeFormat, Timestamp)) -> String {
    let waiting = match one.queued {
        1 => "1 event waits".to_owned(),
        events => format!("{events} events wait"),
    };
    let Some(reason) = &one.reason else {
        return match &one.last_failure {
            Some(failure) => format!("the last request failed: {}; {waiting}", line(failure)),
            None => format!("requests are sent to {}", line(&one.base_url)),
        };
    };
    let next = match (one.next_probe_at.or(one.backoff_until), one.paused_by.as_deref()) {
        (Some(at), _) => format!(", next try at {}", times.near(at, now)),
        (None, Some("token")) => " until the relay starts with a token".to_owned(),
        (None, Some(_)) => format!(" until `savio-relay destinations resume {}`", line(&one.name)),
        (None, None) => String::new(),
    };
    format!("{}; {waiting}{next}", line(reason))
}

/// Pauses or resumes the destination.
async fn change(config: &Config, one: OneDestination, verb: &str) -> Result<(), CommandError> {
    let name = chosen(config, one.name)?;
    let relay = RelayClient::of(config)?;
    let path = format!("destinations/{}/{verb}", segment(&name));
    let answer: Value = relay.post(&path).await.map_err(|error| with_way_out(error, verb))?;
    if one.json {
        return output::print_json(&answer);
    }
    let now = read(answer)?;
    let times = one.times.format();
    output::print(&format!("{}: {}\n", line(&name), sentence(&now, (&times, clock::now()))))
}

async fn probe(config: &Config, one: OneDestination) -> Result<(), CommandError> {
    let name = chosen(config, one.name)?;
    let relay = RelayClient::of(config)?.asking_savio();
    let path = format!("destinations/{}/probe", segment(&name));
    let answer: Value = relay.post(&path).await.map_err(|error| with_way_out(error, "probe"))?;
    let result: ProbeAnswer = read(answer.clone())?;
    if one.json {
        output::print_json(&answer)?;
    } else {
        let times = one.times.format();
        output::print(&probed(&name, &result, (&times, clock::now())))?;
    }
    // As `doctor` ends: scripts wait until the probe passes.
    if result.works { Ok(()) } else { Err(CommandError::AlreadyReported) }
}

fn probed(name: &str, result: &ProbeAnswer, times: (&TimeFormat, Timestamp)) -> String {
    let ProbeAnswer { reason, resumed, destination, .. } = result;
    let name = line(name);
    if let Some(reason) = reason {
        let state = sentence(destination, times);
        let state =
            if destination.reason.is_some() { format!("\n{name}: {state}") } else { String::new() };
        return format!("{name}: {}{state}\n", line(reason));
    }
    let works = format!("{name}: Savio answers and accepts the token");
    match (resumed, &destination.reason) {
        (true, _) => format!("{works}; requests are sent again\n"),
        (false, None) => format!("{works}\n"),
        (false, Some(_)) => format!("{works}, but {}\n", sentence(destination, times)),
    }
}

/// Returns the destination of this name, or the only one.
fn chosen(config: &Config, name: Option<String>) -> Result<String, CommandError> {
    let known: Vec<&str> = config.destinations.keys().map(String::as_str).collect();
    match (name, &known[..]) {
        (None, [only]) => Ok((*only).to_owned()),
        (None, _) => {
            let known = known.join(", ");
            Err(CommandError::InvalidInput(format!("name one of the destinations: {known}")))
        }
        (Some(name), _) if known.contains(&name.as_str()) => Ok(name),
        (Some(name), _) => Err(unknown(&name, &known)),
    }
}

/// Returns the error for a name that no destination has.
pub(super) fn unknown(name: &str, known: &[&str]) -> CommandError {
    let suggestion = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are: {}", known.join(", ")),
    };
    CommandError::InvalidInput(format!("no destination `{name}`; {suggestion}"))
}

/// Says what works without a relay, where the failure is that none runs.
fn with_way_out(error: CallError, verb: &str) -> CommandError {
    let way_out = match (&error, verb) {
        (CallError::NotRunning { .. }, "probe") => {
            ". Without a relay, `savio-relay doctor` asks Savio"
        }
        (CallError::NotRunning { .. }, _) => {
            ". Without a relay nothing is sent, and `savio-relay destinations list` shows what waits"
        }
        _ => return error.into(),
    };
    CommandError::Failed(format!("{error}{way_out}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(reason: Option<&str>, paused_by: Option<&str>) -> DestinationState {
        DestinationState {
            name: "default".to_owned(),
            base_url: "https://www.savio.io/app/api/".to_owned(),
            paused: paused_by.is_some(),
            paused_by: paused_by.map(str::to_owned),
            reason: reason.map(str::to_owned),
            next_probe_at: None,
            backoff_until: None,
            last_failure: None,
            in_flight: 0,
            queued: 14,
            oldest_queued_seconds: Some(600),
        }
    }

    #[test]
    fn destination_is_told_with_what_waits_and_the_next_try() {
        let (times, now) =
            (TimeOptions::default().format(), "2026-03-10T10:43:02Z".parse().unwrap());
        let check = |status: DestinationState, expected: &str| {
            assert_eq!(sentence(&status, (&times, now)), expected);
        };
        let down = "Savio (https://www.savio.io/app/api/) cannot be reached: connection refused";
        let until = Some("2026-03-10T10:43:32Z".parse().unwrap());
        let waiting = DestinationState { backoff_until: until, ..status(Some(down), None) };
        check(waiting, &format!("{down}; 14 events wait, next try at 10:43:32Z"));
        check(
            status(Some("delivery is paused by a person"), Some("person")),
            "delivery is paused by a person; 14 events wait until `savio-relay destinations resume \
             default`",
        );
        let failing =
            DestinationState { last_failure: Some(down.to_owned()), ..status(None, None) };
        check(failing, &format!("the last request failed: {down}; 14 events wait"));
        check(status(None, None), "requests are sent to https://www.savio.io/app/api/");
    }
}
