//! Settings of intake.

use std::time::Duration;

use super::client_ip::Network;
use super::payload::PayloadLimits;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Base URL without a final slash; a source's address is this followed by `/hooks/NAME`.
    pub public_url: Option<String>,
    pub body_bytes_max: usize,
    pub json_depth_max: usize,
    pub key_bytes_max: usize,
    pub body_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` header is trusted.
    pub trusted_proxies: Vec<Network>,
    /// Webhooks that are processed at the same time, counted once their bodies have arrived; more are
    /// answered 503. Smaller than the listener's number of connections.
    pub requests_max: usize,
    /// Bytes of all bodies in memory at the same time; a body that exceeds it is answered 503.
    pub bodies_bytes_max: usize,
    /// Memory that the parsed JSON of one webhook may take, and all JSON that the process parses at the
    /// same time.
    pub parsed_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            public_url: None,
            body_bytes_max: 5 * 1024 * 1024,
            json_depth_max: 64,
            key_bytes_max: 1024,
            body_timeout: Duration::from_secs(30),
            // Empty: a header that any client can write is trusted only if the operator says so.
            trusted_proxies: Vec::new(),
            // The listener takes 512 connections. With as many webhooks, this limit would never be
            // met, and `/healthz` would wait behind slow senders; 64 connections stay free for it.
            requests_max: 448,
            // With the same amount for parsed JSON and 60 MiB at rest, a container of 512 MiB is
            // enough under attack (see docs/limits.md and tests/it/process/hostile.rs).
            bodies_bytes_max: 128 * 1024 * 1024,
            parsed_bytes_max: 128 * 1024 * 1024,
        }
    }
}

impl Settings {
    pub fn limits(&self) -> PayloadLimits {
        PayloadLimits {
            bytes_max: self.body_bytes_max,
            depth_max: self.json_depth_max,
            key_bytes_max: self.key_bytes_max,
            parsed_bytes_max: self.parsed_bytes_max,
        }
    }
}
