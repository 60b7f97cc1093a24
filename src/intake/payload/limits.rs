//! Limits of one webhook.

/// How many events one request may carry.
pub const EVENTS_MAX: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLimits {
    /// Of the body, as it came and as it is after gunzip.
    pub bytes_max: usize,
    /// `[[1]]` has depth 2.
    pub depth_max: usize,
    pub key_bytes_max: usize,
    /// Of memory, once it is parsed.
    pub parsed_bytes_max: usize,
}
