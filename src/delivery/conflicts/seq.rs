//! The order of receipt.

/// An event's place in the order in which events were received.
pub(crate) type Seq = u64;
