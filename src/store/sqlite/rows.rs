//! Rows of the database as types.

pub(super) mod columns;
pub(super) mod events;
pub(super) mod previous_state;
