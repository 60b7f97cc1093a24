//! `savio`: all of Savio's API for a person or a script.

mod input_lines;
mod bulk;
mod summary;
mod feedback;
mod list;
mod queue;
mod table;
mod upsert;

use std::path::PathBuf;

use clap::Subcommand;

use super::serve::{block_on, undone};
use super::{CommandError, load};
use crate::config::{DestinationConfig, DestinationConfigs};
use crate::event::DEFAULT_DESTINATION;
use crate::savio::{BaseUrl, Client, Error, Settings};
use crate::secret::{self, Environment, Secret};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    thing: Resource,
    #[command(flatten)]
    account: AccountOptions,
}

/// Which Savio, and as whom.
#[derive(Debug, clap::Args)]
struct AccountOptions {
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

#[derive(Debug, Subcommand)]
enum Resource {
    /// Create feedback
    Feedback {
        #[command(subcommand)]
        action: FeedbackAction,
    },
    /// List feature requests, or show one
    FeatureRequests {
        #[command(subcommand)]
        action: FeatureRequestAction,
    },
    /// List contacts, or create or update them
    Contacts {
        #[command(subcommand)]
        action: ContactAction,
    },
    /// List companies, or create or update them
    Companies {
        #[command(subcommand)]
        action: CompanyAction,
    },
}

#[derive(Debug, Subcommand)]
enum FeedbackAction {
    /// Create a piece of feedback; each call creates a new one
    Create(feedback::Arguments),
}

#[derive(Debug, Subcommand)]
enum FeatureRequestAction {
    /// List feature requests
    List(list::FeatureRequestArguments),
    /// Show one feature request
    Get(list::GetArguments),
}

#[derive(Debug, Subcommand)]
enum ContactAction {
    /// List contacts
    List(list::SearchArguments),
    /// Create or update a contact, matched by internal id or e-mail address, or many from FILE
    #[command(override_usage = upsert::USAGE_OF_CONTACTS)]
    Upsert(upsert::ContactArguments),
}

#[derive(Debug, Subcommand)]
enum CompanyAction {
    /// List companies
    List(list::SearchArguments),
    /// Create or update a company, matched by internal id, or many from FILE
    #[command(override_usage = upsert::USAGE_OF_COMPANIES)]
    Upsert(upsert::CompanyArguments),
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let account = arguments.account.open(environment)?;
    block_on(dispatch(arguments.thing, &account))
}

/// The account, ready to be called.
struct AccountClient {
    client: Client,
    max_in_flight: usize,
}

impl AccountOptions {
    fn open(self, environment: &Environment) -> Result<AccountClient, CommandError> {
        let config = load::config(self.config.as_deref(), environment)?;
        let to = named(config.destinations, &self.destination)?;
        let token = match self.token_env {
            Some(name) => secret::from_environment(&name, environment),
            None => to.token,
        };
        let token = match token {
            Secret::Found(token) => token,
            Secret::Missing(reason) => {
                let help = "name another variable with --token-env";
                return Err(CommandError::InvalidInput(format!(
                    "no token for savio: {reason}; {help}"
                )));
            }
        };
        let base_url = self.base_url.unwrap_or(to.base_url);
        let settings = Settings { base_url, token, timeout: to.timeout };
        let client = Client::new(settings).map_err(|error| undone(&error))?;
        let client = client.insecure(self.insecure || to.insecure);
        Ok(AccountClient { client, max_in_flight: to.max_in_flight })
    }
}

fn named(
    mut destinations: DestinationConfigs,
    name: &str,
) -> Result<DestinationConfig, CommandError> {
    destinations.remove(name).ok_or_else(|| {
        let known: Vec<&str> = destinations.keys().map(String::as_str).collect();
        let known = known.join(", ");
        CommandError::InvalidInput(format!("no destination `{name}`; there are: {known}"))
    })
}

async fn dispatch(thing: Resource, account: &AccountClient) -> Result<(), CommandError> {
    let client = &account.client;
    match thing {
        Resource::Feedback { action: FeedbackAction::Create(arguments) } => {
            feedback::create(client, arguments).await
        }
        Resource::FeatureRequests { action: FeatureRequestAction::List(arguments) } => {
            list::feature_requests(client, arguments).await
        }
        Resource::FeatureRequests { action: FeatureRequestAction::Get(arguments) } => {
            list::feature_request(client, arguments).await
        }
        Resource::Contacts { action: ContactAction::List(arguments) } => {
            list::contacts(client, arguments).await
        }
        Resource::Contacts { action: ContactAction::Upsert(arguments) } => {
            arguments.run(account).await
        }
        Resource::Companies { action: CompanyAction::List(arguments) } => {
            list::companies(client, arguments).await
        }
        Resource::Companies { action: CompanyAction::Upsert(arguments) } => {
            arguments.run(account).await
        }
    }
}

impl From<Error> for CommandError {
    fn from(error: Error) -> CommandError {
        match error {
            Error::Refused { .. }
            | Error::Unauthorized { .. }
            | Error::NotFound { .. }
            | Error::Insecure { .. } => CommandError::InvalidInput(error.to_string()),
            Error::Throttled { .. }
            | Error::ServerError { .. }
            | Error::Unreachable { .. }
            | Error::NoResponse { .. }
            | Error::UnexpectedResponse { .. }
            | Error::NextPage(_) => CommandError::Failed(error.to_string()),
        }
    }
}
