//! `alerts test`: a test message to those that get alerts, through the running relay.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::CommandError;
use super::output::{self, line};
use super::relay_client::RelayClient;
use super::{input, runtime};
use crate::secret::Environment;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: AlertsCommand,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    /// Send a test message, and show what was answered
    Test {
        /// Name of one of [[alerts]] (default: all)
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// The answer of the relay.
#[derive(Debug, Deserialize)]
struct TestedAlerts {
    alerts: Vec<TestedTarget>,
}

#[derive(Debug, Deserialize)]
struct TestedTarget {
    name: String,
    accepted: bool,
    status: Option<u16>,
    answer: Option<String>,
    reason: Option<String>,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let AlertsCommand::Test { name, json } = arguments.command;
    runtime::block_on(async {
        // A target may take as long as Savio.
        let relay = RelayClient::of(&config)?.asking_savio();
        let answer: Value = relay.post_json("alerts/test", &json!({ "name": name })).await?;
        show(&answer, json)
    })
}

fn show(answer: &Value, json: bool) -> Result<(), CommandError> {
    let not_ours = |_| CommandError::Failed("the relay is of another version".to_owned());
    let tested: TestedAlerts = TestedAlerts::deserialize(answer).map_err(not_ours)?;
    if json {
        output::print_json(answer)?;
    } else {
        output::print(&tested.alerts.iter().map(told).collect::<String>())?;
    }
    let failed = tested.alerts.iter().filter(|it| !it.accepted).count();
    match (tested.alerts.len(), failed) {
        (0, _) => Err(CommandError::InvalidInput(
            "the relay has no [[alerts]]: add them to relay.toml, and restart it".to_owned(),
        )),
        (_, 0) => Ok(()),
        (all, failed) => {
            Err(CommandError::Failed(format!("{failed} of {all} tests were not accepted")))
        }
    }
}

fn told(tested: &TestedTarget) -> String {
    let result = match (tested.status, &tested.reason) {
        (Some(status), _) => {
            let verb = if tested.accepted { "accepted" } else { "refused" };
            let answer = tested.answer.as_deref().map(line).filter(|text| !text.is_empty());
            let answer = answer.map_or(String::new(), |text| format!(": {text}"));
            format!("{verb} ({status}){answer}")
        }
        (None, reason) => format!("failed: {}", line(reason.as_deref().unwrap_or("no answer"))),
    };
    format!("{}: {result}\n", line(&tested.name))
}
