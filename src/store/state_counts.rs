//! Numbers of events by state.

use serde::Serialize;
use utoipa::ToSchema;

use crate::event::State;

/// Number of events in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct StateCounts {
    pub queued: u64,
    pub delivered: u64,
    pub ignored: u64,
    pub held: u64,
    pub dead: u64,
}

impl StateCounts {
    pub fn add(&mut self, state: State, events: u64) {
        let count = match state {
            State::Queued => &mut self.queued,
            State::Delivered => &mut self.delivered,
            State::Ignored => &mut self.ignored,
            State::Held => &mut self.held,
            State::Dead => &mut self.dead,
        };
        *count += events;
    }

    /// Returns the sums.
    #[must_use]
    pub fn plus(mut self, other: StateCounts) -> StateCounts {
        for state in State::ALL {
            self.add(state, other.of(state));
        }
        self
    }

    pub fn of(&self, state: State) -> u64 {
        match state {
            State::Queued => self.queued,
            State::Delivered => self.delivered,
            State::Ignored => self.ignored,
            State::Held => self.held,
            State::Dead => self.dead,
        }
    }

    pub fn total(&self) -> u64 {
        State::ALL.into_iter().map(|state| self.of(state)).sum()
    }
}
