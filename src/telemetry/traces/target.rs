//! The collector that spans are sent to.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;

use super::ids::SamplingRatio;

/// Path of every collector's traces below its endpoint, from the specification of OTLP over HTTP.
pub const TARGET_PATH: &str = "/v1/traces";

#[derive(Debug, Clone)]
pub struct Target {
    pub url: Url,
    pub headers: HeaderMap,
    pub sample: SamplingRatio,
    /// How long spans wait for others to be sent together.
    pub delay: Duration,
}

impl Target {
    /// Scheme, host and port.
    pub fn name(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}
