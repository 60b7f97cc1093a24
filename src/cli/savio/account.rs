//! Options for the Savio account that a command calls, and its client.

use std::path::PathBuf;

use crate::cli::error::CommandError;
use crate::cli::input;
use crate::config::{DestinationConfig, DestinationConfigs};
use crate::event::DEFAULT_DESTINATION;
use crate::savio::{BaseUrl, Client, Settings};
use crate::secret::{self, Environment};

/// Address and token of the account.
#[derive(Debug, clap::Args)]
pub(super) struct AccountOptions {
    /// Destination in the configuration whose base URL and token are used
    #[arg(long, value_name = "NAME", global = true, default_value = DEFAULT_DESTINATION)]
    destination: String,
    /// Base URL of Savio's API (default: from the configuration)
    #[arg(long, value_name = "URL", global = true)]
    base_url: Option<BaseUrl>,
    /// Environment variable with the token (default: from the configuration)
    #[arg(long, value_name = "NAME", global = true)]
    token_env: Option<String>,
    /// Allow sending the token without TLS to an address that is not private
    #[arg(long, global = true)]
    insecure: bool,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl AccountOptions {
    pub(super) fn open(self, environment: &Environment) -> Result<AccountClient, CommandError> {
        let config = input::config(self.config.as_deref(), environment)?;
        let destination = find_destination(config.destinations, &self.destination)?;
        // A variable that is not set is an error. The configured token in its place would be sent
        // to another account's Savio, which `--base-url` may name.
        let token = match self.token_env {
            Some(name) => secret::from_environment(&name, environment),
            None => destination.token,
        };
        let token = token.value().map_err(|reason| {
            let help = "name another variable with --token-env";
            CommandError::InvalidInput(format!("no token for Savio: {reason}; {help}"))
        })?;
        let base_url = self.base_url.unwrap_or(destination.base_url);
        let settings = Settings { base_url, token: token.clone(), timeout: destination.timeout };
        let client = Client::new(settings).map_err(|error| CommandError::failed(&error))?;
        let client =
            client.insecure(self.insecure || destination.insecure).named(&self.destination);
        Ok(AccountClient { client, max_in_flight: destination.max_in_flight })
    }
}

/// Client of one account, with the configured limit of concurrent requests.
pub(super) struct AccountClient {
    pub(super) client: Client,
    pub(super) max_in_flight: usize,
}

fn find_destination(
    mut destinations: DestinationConfigs,
    name: &str,
) -> Result<DestinationConfig, CommandError> {
    destinations.remove(name).ok_or_else(|| {
        let known: Vec<&str> = destinations.keys().map(String::as_str).collect();
        let known = known.join(", ");
        CommandError::InvalidInput(format!("no destination `{name}`; there are: {known}"))
    })
}
