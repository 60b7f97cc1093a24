//! Storage format of the gate, readable by older versions of the relay, and reading theirs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::downtime::Downtime;
use super::pause::Pause;

// Flat, with the beginning of each wait in a key of its own, because older versions know only the
// end. They ignore unknown keys, and missing ones are defaults: so a newer relay can be replaced by
// an older one without losing a person's pause.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stored {
    pub(super) by_person: Option<Pause>,
    pub(super) by_relay: Option<Pause>,
    pub(super) held_back_until: Option<Timestamp>,
    pub(super) held_back_since: Option<Timestamp>,
    pub(super) failures: u32,
    pub(super) failing: Option<String>,
    pub(super) breaker: Option<Timestamp>,
    pub(super) breaker_since: Option<Timestamp>,
    pub(super) forbidden: u32,
    pub(super) next_send_at: Option<Timestamp>,
    pub(super) next_send_since: Option<Timestamp>,
    pub(super) standstill: Downtime,
    pub(super) has_given_id: bool,
}
