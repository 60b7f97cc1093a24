//! `login-link`: asks the running relay for a link that logs a browser in once.

use std::path::PathBuf;

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::CommandError;
use super::output::{self, line};
use super::relay_client::RelayClient;
use super::times::TimeOptions;
use super::{input, runtime};
use crate::secret::Environment;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What whoever uses the link may do
    #[arg(long, value_enum, default_value = "everything")]
    role: LinkRole,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LinkRole {
    Metrics,
    Read,
    Operate,
    Edit,
    /// The same as the holder of admin.token
    Everything,
}

#[derive(Debug, Deserialize)]
struct LinkAnswer {
    url: String,
    role: String,
    expires_at: Timestamp,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let role = arguments.role.to_possible_value();
    let body = json!({ "role": role.as_ref().map(clap::builder::PossibleValue::get_name) });
    runtime::block_on(async {
        let relay = RelayClient::of(&config)?;
        let answer: Value = relay.post_json("login-links", &body).await?;
        if arguments.json {
            return output::print_json(&answer);
        }
        let not_ours = |_| CommandError::Failed("the relay is of another version".to_owned());
        let LinkAnswer { url, role, expires_at } =
            serde_json::from_value(answer).map_err(not_ours)?;
        // Alone on standard output, so that a script can pass it on.
        output::print_error(&format!(
            "whoever uses this link first, until {}, is logged in with the role {}:",
            TimeOptions::default().format().moment(expires_at),
            line(&role)
        ));
        output::print(&format!("{}\n", line(&url)))
    })
}
