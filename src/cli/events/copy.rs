//! `events copy`: sends an edited payload as a new event, through the running relay, which knows
//! whether the source is live.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli::error::CommandError;
use crate::cli::input;
use crate::cli::output as shown;
use crate::cli::relay_client::{CallError, RelayClient};
use crate::config::Config;
use crate::event::EventId;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File with the payload; - for standard input
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    config: &Config,
    id: EventId,
    arguments: &Arguments,
) -> Result<(), CommandError> {
    let bytes = input::bytes(&arguments.file)?;
    // As JSON, for its mistakes; the text itself is sent, since a number may have more digits than
    // ours have.
    let _: Value = input::json(&arguments.file, &bytes)?;
    let payload = String::from_utf8_lossy(crate::json::without_bom(&bytes)).into_owned();
    let body = format!("{{\"payload\":{payload}}}");
    let relay = RelayClient::of(config)?;
    let answer: Value = match relay.post_text(&format!("events/{id}/copy"), body).await {
        Ok(answer) => answer,
        Err(error @ CallError::NotRunning { .. }) => {
            return Err(CommandError::Failed(format!(
                "{error}. A copy is accepted by the relay, as a webhook is"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    if arguments.json {
        return shown::print_json(&answer);
    }
    let copy = answer["id"].as_str().unwrap_or_default();
    shown::print(&format!("event {} is queued, a copy of {id}\n", shown::line(copy)))
}
