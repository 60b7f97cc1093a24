//! Resources of the admin API, one file each.
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod metrics;
pub(crate) mod preview;
pub(crate) mod replays;
pub(crate) mod sources;
pub(crate) mod stats;
