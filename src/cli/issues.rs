//! `issues`: what a person should know, and mutes of alerts, through the running relay.

use std::path::PathBuf;

use clap::Subcommand;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::CommandError;
use super::output::{self, line, stdout_style};
use super::relay_client::{RelayClient, segment};
use super::times::{TimeFormat, TimeOptions};
use super::{input, runtime, table};
use crate::clock;
use crate::diagnostics::table::parse_duration;
use crate::secret::Environment;
use crate::store::IssueId;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<IssuesCommand>,
    /// Also those that were closed in the last 7 days
    #[arg(long)]
    closed: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    times: TimeOptions,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum IssuesCommand {
    /// Keep the alerts of an issue quiet until it closes, or until a time
    Mute {
        /// Id of the issue
        id: IssueId,
        /// Until when: a time from now (3h, 7d) or a time (2026-01-31T12:00:00Z)
        #[arg(long, value_name = "TIME", value_parser = until)]
        until: Option<Timestamp>,
        /// Why, for others
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// End a mute
    Unmute {
        /// Id of the issue
        id: IssueId,
    },
}

/// Parses a time in the future.
fn until(text: &str) -> Result<Timestamp, String> {
    if let Some(span) = parse_duration(text) {
        return clock::now().saturating_add(span).map_err(|error| error.to_string());
    }
    text.parse().map_err(|_| "write 3h, 7d or a time such as 2026-01-31T12:00:00Z".to_owned())
}

/// The answer of the relay.
#[derive(Debug, Deserialize)]
struct ListedIssues {
    issues: Vec<ListedIssue>,
}

#[derive(Debug, Deserialize)]
struct ListedIssue {
    id: String,
    kind: String,
    text: String,
    reason: Option<String>,
    hint: Option<String>,
    advice: String,
    opened_at: Timestamp,
    closed_at: Option<Timestamp>,
    outcome: Option<String>,
    muted: Option<ListedMute>,
}

#[derive(Debug, Deserialize)]
struct ListedMute {
    by: String,
    until: Option<Timestamp>,
    note: Option<String>,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    runtime::block_on(async {
        let relay = RelayClient::of(&config)?;
        let times = arguments.times.format();
        match arguments.command {
            None => {
                let path = if arguments.closed { "issues?state=all&since=7d" } else { "issues" };
                let answer: Value = relay.get(path).await?;
                show(answer, arguments.json, &times)
            }
            Some(IssuesCommand::Mute { id, until, note }) => {
                let body = json!({ "until": until, "note": note });
                mute(&relay, id, &body, &times).await
            }
            Some(IssuesCommand::Unmute { id }) => {
                mute(&relay, id, &json!({ "until": Timestamp::UNIX_EPOCH }), &times).await
            }
        }
    })
}

async fn mute(
    relay: &RelayClient,
    id: IssueId,
    body: &Value,
    times: &TimeFormat,
) -> Result<(), CommandError> {
    let path = format!("issues/{}/mute", segment(&id.to_string()));
    let answer: Value = relay.post_json(&path, body).await?;
    let issue: ListedIssue = read(answer["issue"].clone())?;
    let now = clock::now();
    let told = match &issue.muted {
        Some(mute) => format!("muted {}", until_when(mute, (times, now))),
        None => "not muted".to_owned(),
    };
    output::print(&format!("{} {told}\n", line(&issue.text)))
}

fn show(answer: Value, json: bool, times: &TimeFormat) -> Result<(), CommandError> {
    if json {
        return output::print_json(&answer);
    }
    let ListedIssues { issues } = read(answer)?;
    output::print(&listed(&issues, (times, clock::now())))
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, CommandError> {
    let not_ours = |_| CommandError::Failed("the relay is of another version".to_owned());
    serde_json::from_value(answer).map_err(not_ours)
}

fn listed(issues: &[ListedIssue], times: (&TimeFormat, Timestamp)) -> String {
    if issues.is_empty() {
        return "no open issues\n".to_owned();
    }
    let of = |issue: &ListedIssue| {
        let mut told = vec![format!("{}: {}", line(&issue.kind), line(&issue.text))];
        told.extend(issue.reason.as_deref().map(line));
        told.extend(issue.hint.as_deref().map(|hint| format!("hint: {}", line(hint))));
        told.push(state(issue, times));
        told.extend(issue.closed_at.is_none().then(|| line(&issue.advice)));
        told.push(format!("issue {}", line(&issue.id)));
        told.iter().map(|part| table::sentence(part, stdout_style())).collect::<String>()
    };
    issues.iter().map(of).collect::<Vec<_>>().join("\n")
}

/// Says since when it is open, or how it ended.
fn state(issue: &ListedIssue, (times, now): (&TimeFormat, Timestamp)) -> String {
    let opened = times.near(issue.opened_at, now);
    match (issue.closed_at, &issue.outcome, &issue.muted) {
        (Some(closed), outcome, _) => {
            let outcome = outcome.as_deref().map(line).unwrap_or_default();
            format!("opened at {opened}, closed at {}: {outcome}", times.near(closed, now))
        }
        (None, _, Some(mute)) => {
            let until = until_when(mute, (times, now));
            let note = mute.note.as_deref().map_or(String::new(), |it| format!(": {}", line(it)));
            format!("open since {opened}, muted by {} {until}{note}", line(&mute.by))
        }
        (None, _, None) => format!("open since {opened}"),
    }
}

fn until_when(mute: &ListedMute, (times, now): (&TimeFormat, Timestamp)) -> String {
    mute.until.map_or_else(
        || "until it closes".to_owned(),
        |until| format!("until {}", times.near(until, now)),
    )
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn mute_ends_at_a_time_or_after_one() {
        assert_eq!(until("2026-01-31T12:00:00Z").unwrap().to_string(), "2026-01-31T12:00:00Z");
        let left = until("3h").unwrap().duration_since(clock::now());
        assert!(left > SignedDuration::from_mins(179) && left <= SignedDuration::from_mins(180));
        assert!(until("tomorrow").is_err());
    }
}
