//! Positions in the order of receipt.

/// An event's position in the order of receipt.
pub(crate) type Seq = u64;
