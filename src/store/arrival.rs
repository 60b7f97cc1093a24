//! How a webhook arrived, why it was believed, and what its sender was answered.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;

/// What is kept of the request of a webhook, beside its headers and body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrival {
    pub client: Option<IpAddr>,
    pub verified: Option<Verified>,
    pub answered: Option<AnswerSent>,
}

impl Arrival {
    /// Returns the arrival of a webhook that is answered with this status once it is stored.
    pub fn of(client: Option<IpAddr>, verified: Verified, status: u16) -> Arrival {
        let answered = AnswerSent { status, ms: 0 };
        Arrival { client, verified: Some(verified), answered: Some(answered) }
    }
}

/// What authenticated a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Verified {
    /// Such as `hmac`, as in the mapping file.
    pub scheme: String,
    /// Header with the signature or token; null if it was elsewhere.
    pub header: Option<String>,
    /// The secret that matched; null if the scheme needs none.
    pub secret: Option<MatchedSecret>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MatchedSecret {
    /// Position among the secrets of the mapping file at that time, from 0.
    pub position: usize,
    /// Such as `env:FORM_SECRET`.
    pub location: Option<String>,
}

/// Response to the sender of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct AnswerSent {
    pub status: u16,
    /// Time from the end of the body until the webhook was written, without the wait for the disk
    /// that followed.
    pub ms: u64,
}
