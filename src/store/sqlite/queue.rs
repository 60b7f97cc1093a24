//! Events that are due: claims, progress, and the state of their destinations.
pub(crate) mod progress;
pub(crate) mod leases;
pub(crate) mod destination_state;
pub(crate) mod left_out;
pub(crate) mod schedule;
pub(crate) mod rewind;
pub(crate) mod suspects;
