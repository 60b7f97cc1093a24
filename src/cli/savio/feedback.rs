//! `savio feedback create`.

use serde_json::json;

use crate::cli::error::CommandError;
use crate::cli::output;
use crate::diagnostics::document::Document;
use crate::savio::{Client, NewFeedback};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Problem that the user has; - reads it from standard input
    #[arg(long)]
    problem: String,
    /// Type of customer, one of those in your account, such as ACTIVE
    #[arg(long, value_name = "TYPE")]
    feedback_type: Option<String>,
    /// Triage state (default: ACTIVE)
    #[arg(long)]
    state: Option<String>,
    /// Link to the source of the feedback
    #[arg(long, value_name = "URL")]
    source_url: Option<String>,
    /// User who submits the feedback
    #[arg(long, value_name = "NAME")]
    source_username: Option<String>,
    /// E-mail address of the person; Savio finds or creates the person
    #[arg(long, value_name = "EMAIL")]
    person_email: Option<String>,
    /// Full name of the person
    #[arg(long, value_name = "NAME")]
    person_name: Option<String>,
    /// Company of the person; Savio finds or creates it, but ignores it without a person
    #[arg(long, value_name = "NAME")]
    company_name: Option<String>,
    /// Exact title of the feature request to link; Savio creates it if none exists
    #[arg(long, value_name = "TITLE")]
    feature_request_title: Option<String>,
    /// Tag; repeatable
    #[arg(long = "tag", value_name = "TITLE")]
    tags: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn create(client: &Client, arguments: Arguments) -> Result<(), CommandError> {
    let json = arguments.json;
    let created = client.create_feedback(&arguments.feedback()?).await?;
    if json {
        return output::print(&output::json(&format!("{}\n", json!(created))));
    }
    let id = created.id.map_or(String::new(), |id| format!(" {id}"));
    output::print(&format!("feedback{id} is created\n"))
}

impl Arguments {
    fn feedback(self) -> Result<NewFeedback, CommandError> {
        let problem = match self.problem.as_str() {
            // The line end of `echo` is no part of the problem.
            "-" => Document::read("-".as_ref())?.text.trim().to_owned(),
            _ => self.problem,
        };
        // Savio accepts such feedback without an error, so nothing else would show the loss.
        if self.company_name.is_some() && self.person_email.is_none() && self.person_name.is_none()
        {
            output::print_error(
                "note: savio ignores --company-name without --person-email or --person-name",
            );
        }
        Ok(NewFeedback {
            problem,
            feedback_type: self.feedback_type,
            state: self.state,
            source_url: self.source_url,
            source_username: self.source_username,
            person_email: self.person_email,
            person_name: self.person_name,
            company_name: self.company_name,
            feature_request_title: self.feature_request_title,
            tags: self.tags,
        })
    }
}
