//! Feedback. Savio's API can create it, but not read it.

use serde::{Deserialize, Serialize};

use super::client::{Client, SMALL_BYTES_MAX};
use super::error::Error;
use crate::event::RequestKind;

/// Feedback to create ("Create Feedback" in the reference). Only `problem` is required.
///
/// Savio answers 400 ([`Error::Refused`]) with messages by field if it refuses one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewFeedback {
    /// The problem that the user is having. Plain text.
    pub problem: String,
    /// Type of the customer that gave it, such as `ACTIVE`. Sent as it is, since the values depend
    /// on the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback_type: Option<String>,
    /// State of triage, `ACTIVE` by default. Sent as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// URL of the place where the feedback was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_url: Option<String>,
    /// Name of the user who added the feedback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_username: Option<String>,
    /// Address of the person who gave the feedback. Savio finds the person by it, or creates one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_email: Option<String>,
    /// The person's full name. Without an address, Savio finds the person by it, or creates one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_name: Option<String>,
    /// Name of the person's company, which Savio finds or creates. Savio ignores it without
    /// `person_email` or `person_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company_name: Option<String>,
    /// Title of the feature request to link to. A title that Savio does not have in this spelling
    /// creates one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_request_title: Option<String>,
    /// Titles of tags. Savio creates those that it does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// Response to created feedback: `{"id": 7}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// None if Savio accepted the feedback with an empty response.
    #[serde(default)]
    pub id: Option<u64>,
}

impl Client {
    /// Creates feedback. Savio does not recognise repeats: after [`Error::NoResponse`],
    /// [`Error::ServerError`] or a 2xx that cannot be read, a second call may create it twice.
    pub async fn create_feedback(&self, feedback: &NewFeedback) -> Result<Created, Error> {
        let call = self.write(RequestKind::Feedback, feedback);
        let raw = self.request(call, SMALL_BYTES_MAX).await?;
        // The reference does not promise a body. An error here would invite the caller to create
        // the feedback again.
        if raw.is_whole() && raw.bytes.trim_ascii().is_empty() {
            return Ok(Created { id: None });
        }
        self.parse(&raw)
    }
}
