//! Where an event stopped.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The part in which an event stopped that was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StoppedAt {
    /// Its mapping made no request, or failed.
    Mapping,
    /// Savio refused a request, or did not answer one.
    Savio,
    /// It could not be sent for so long that the relay gave up.
    Time,
}

impl StoppedAt {
    pub const ALL: [StoppedAt; 3] = [StoppedAt::Mapping, StoppedAt::Savio, StoppedAt::Time];

    pub fn as_str(self) -> &'static str {
        match self {
            StoppedAt::Mapping => "mapping",
            StoppedAt::Savio => "savio",
            StoppedAt::Time => "time",
        }
    }
}
