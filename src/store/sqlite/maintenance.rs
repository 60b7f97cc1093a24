//! Upkeep of the database: retention, recounts, replays in steps.
pub(crate) mod retention;
