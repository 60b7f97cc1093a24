//! `savio`: calls Savio's API from the command line.

mod account;
mod input_lines;
mod bulk;
mod options;
mod record;
mod summary;
mod feedback;
mod list;
mod queue;
mod table;
mod upsert;
mod wait;

use clap::Subcommand;

use super::error::CommandError;
use super::runtime;
use crate::secret::Environment;
use account::{AccountClient, AccountOptions};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    resource: Resource,
    #[command(flatten)]
    account: AccountOptions,
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
    runtime::block_on(dispatch(arguments.resource, &account))
}

async fn dispatch(resource: Resource, account: &AccountClient) -> Result<(), CommandError> {
    let client = &account.client;
    match resource {
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
