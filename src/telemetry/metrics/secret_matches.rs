//! How often a secret matched, and when it did last. Only the first is a metric.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::{MetricType, TypedMetric};

#[derive(Debug, Clone, Default)]
pub(super) struct SecretMatches {
    count: Counter,
    /// In microseconds since 1970; 0 if it never matched.
    last: Arc<AtomicI64>,
}

impl SecretMatches {
    pub(super) fn add(&self, now: Timestamp) {
        self.count.inc();
        self.last.store(now.as_microsecond(), Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.get()
    }

    pub(super) fn last(&self) -> Option<Timestamp> {
        let last = self.last.load(Ordering::Relaxed);
        Timestamp::from_microsecond(last).ok().filter(|_| last != 0)
    }
}

impl EncodeMetric for SecretMatches {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.count.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        SecretMatches::TYPE
    }
}

impl TypedMetric for SecretMatches {
    const TYPE: MetricType = MetricType::Counter;
}
