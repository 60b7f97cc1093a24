//! Feedback: it can be created, and not looked up again.

use serde::{Deserialize, Serialize};

use super::client::{Client, SMALL_BYTES_MAX};
use super::error::Error;
use crate::event::RequestKind;

/// Feedback to create ("Create Feedback" in the reference). Only `problem` is required.
///
/// Savio answers 400 ([`Error::Refused`]) with messages by field where it does not take one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    /// The problem that the user is having. Plain text.
    pub problem: String,
    /// The type of customer that it is from, such as `ACTIVE`. Which words are taken depends on the
    /// account, so any text is sent as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback_type: Option<String>,
    /// The state of triage; Savio takes `ACTIVE` where it is left out. Open, as the type is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Leads back to where the feedback was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
    /// Who added the feedback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_username: Option<String>,
    /// Whom the feedback is from. A person with that address is found, or else created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_email: Option<String>,
    /// The person's full name. A person with that name is found, or else created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_name: Option<String>,
    /// The person's company, found by its name or else created. Savio ignores it where there is
    /// neither `person_email` nor `person_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company_name: Option<String>,
    /// The feature request to link to. Each other spelling creates a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_request_title: Option<String>,
    /// Titles of tags; those that are new are created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// The answer to feedback that was created: `{"id": 7}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// None where Savio took the feedback and said nothing.
    #[serde(default)]
    pub id: Option<u64>,
}

impl Client {
    /// Creates feedback. Savio knows no repeats: after [`Error::NoResponse`], [`Error::ServerError`] or a
    /// 2xx that cannot be read, a second call may create it twice.
    pub async fn create_feedback(&self, feedback: &NewFeedback) -> Result<Created, Error> {
        let call = self.write(RequestKind::Feedback, feedback);
        let raw = self.ask(call, SMALL_BYTES_MAX).await?;
        if raw.is_whole() && raw.bytes.trim_ascii().is_empty() {
            return Ok(Created { id: None });
        }
        self.parse(&raw)
    }
}
