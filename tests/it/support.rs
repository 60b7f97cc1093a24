//! Helpers for the tests of all folders.

pub(crate) mod certificate;
pub(crate) mod collector;
pub(crate) mod external_tool;
pub(crate) mod half_hours;
pub(crate) mod left_out;
pub(crate) mod relay;
pub(crate) mod savio;
pub(crate) mod server;
pub(crate) mod signer;
pub(crate) mod store;
pub(crate) mod wait;
