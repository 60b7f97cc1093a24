//! The gate as the store has it: older versions read it, and this one reads theirs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::downtime::Downtime;
use super::wait::Wait;
use super::{Gate, Pause};

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stored {
    by_person: Option<Pause>,
    by_relay: Option<Pause>,
    held_back_until: Option<Timestamp>,
    held_back_since: Option<Timestamp>,
    failures: u32,
    breaker: Option<Timestamp>,
    breaker_since: Option<Timestamp>,
    forbidden: u32,
    next_send_at: Option<Timestamp>,
    next_send_since: Option<Timestamp>,
    standstill: Downtime,
    has_given_id: bool,
}

impl From<Stored> for Gate {
    fn from(stored: Stored) -> Gate {
        let wait = |until: Option<Timestamp>, since| until.map(|until| Wait::stored(until, since));
        Gate {
            by_person: stored.by_person,
            by_relay: stored.by_relay,
            held_back: wait(stored.held_back_until, stored.held_back_since),
            failures: stored.failures,
            breaker: wait(stored.breaker, stored.breaker_since),
            forbidden: stored.forbidden,
            next_send: wait(stored.next_send_at, stored.next_send_since),
            standstill: stored.standstill,
            has_given_id: stored.has_given_id,
        }
    }
}

impl From<Gate> for Stored {
    fn from(gate: Gate) -> Stored {
        let until = |wait: Option<Wait>| wait.map(|wait| wait.until());
        let since = |wait: Option<Wait>| wait.and_then(|wait| wait.since());
        Stored {
            by_person: gate.by_person,
            by_relay: gate.by_relay,
            held_back_until: until(gate.held_back),
            held_back_since: since(gate.held_back),
            failures: gate.failures,
            breaker: until(gate.breaker),
            breaker_since: since(gate.breaker),
            forbidden: gate.forbidden,
            next_send_at: until(gate.next_send),
            next_send_since: since(gate.next_send),
            standstill: gate.standstill,
            has_given_id: gate.has_given_id,
        }
    }
}
