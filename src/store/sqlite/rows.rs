//! Conversion between rows of the database and our types.

pub(super) mod arrivals;
pub(super) mod causes;
pub(super) mod columns;
pub(super) mod events;
pub(super) mod expressions;
pub(super) mod filled_blocks;
pub(super) mod headlines;
pub(super) mod interruptions;
pub(super) mod previous_state;
pub(super) mod replay_results;
