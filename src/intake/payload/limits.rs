//! Limits of one webhook.

/// Events in one request.
pub const EVENTS_MAX: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLimits {
    /// Size of the body, both compressed and decompressed.
    pub bytes_max: usize,
    /// Nesting of JSON and XML: `[[1]]` has depth 2.
    pub depth_max: usize,
    pub key_bytes_max: usize,
    /// Memory of the parsed JSON.
    pub parsed_bytes_max: usize,
}
