//! What happens to webhooks and events, counted in the half hour in which it does.

use std::ops::AddAssign;

use serde::Serialize;
use utoipa::ToSchema;

use crate::event::State;

/// Something that is counted when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// An event was stored.
    Accepted,
    Delivered,
    Ignored,
    Held,
    Dead,
    /// A webhook was rejected.
    Rejected,
    /// An event was received that had been stored before.
    Duplicate,
    /// A verified webhook of the sender arrived, also one without a new event.
    Webhook,
}

impl Flow {
    /// Returns what happens when an event reaches the state; nothing if it is queued again.
    pub fn into(state: State) -> Option<Flow> {
        match state {
            State::Queued => None,
            State::Delivered => Some(Flow::Delivered),
            State::Ignored => Some(Flow::Ignored),
            State::Held => Some(Flow::Held),
            State::Dead => Some(Flow::Dead),
        }
    }
}

/// How often each happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct Flows {
    /// Events that were stored, those of imports and edited copies included.
    pub accepted: u64,
    pub delivered: u64,
    pub ignored: u64,
    pub held: u64,
    pub dead: u64,
    /// Webhooks that were rejected.
    pub rejected: u64,
    /// Events that had been stored before.
    pub duplicates: u64,
}

impl AddAssign for Flows {
    fn add_assign(&mut self, other: Flows) {
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.ignored += other.ignored;
        self.held += other.held;
        self.dead += other.dead;
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
    }
}
