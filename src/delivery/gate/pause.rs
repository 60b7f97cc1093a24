//! Pauses of a destination, and what ends them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::wait::Wait;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub reason: String,
    pub since: Timestamp,
    pub(super) ends: ResumeOn,
}

impl Pause {
    /// The wait for the next probe, if a probe may end the pause.
    pub(super) fn probe(&mut self) -> Option<&mut Wait> {
        match &mut self.ends {
            ResumeOn::Probe(wait) => Some(wait),
            ResumeOn::Person | ResumeOn::Token => None,
        }
    }
}

/// What ends a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ResumeOn {
    Person,
    /// A probe that passes; the next one is due at the end of the wait.
    Probe(Wait),
    /// A token: at a start of the relay, or in a file that is read again.
    Token,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    Person,
    /// What Savio answered: the token or the address is wrong; or the address would get the token
    /// in clear.
    Answer,
    /// There is no token.
    Token,
}
