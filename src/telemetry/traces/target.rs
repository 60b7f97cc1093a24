//! The collector to which spans are exported.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use super::ids::SamplingRatio;

/// Path of traces below a collector's endpoint (OTLP over HTTP).
pub const TARGET_PATH: &str = "/v1/traces";

#[derive(Debug, Clone)]
pub struct Target {
    pub url: Url,
    pub headers: HeaderMap,
    pub sample: SamplingRatio,
    /// Interval of exports, in which spans are collected.
    pub delay: Duration,
}

impl Target {
    /// Returns scheme, host and port.
    pub fn name(&self) -> String {
        // For messages: the path may hold a key.
        self.url.origin().ascii_serialization()
    }
}
