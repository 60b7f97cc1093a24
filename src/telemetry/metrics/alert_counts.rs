//! Messages to targets of alerts, and heartbeats.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    alerts: String,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HeartbeatLabel {
    result: &'static str,
}

/// Counters of messages and heartbeats, by whether they arrived.
#[derive(Debug, Clone)]
pub struct AlertCounts {
    messages: Family<AlertLabels, Counter>,
    heartbeats: Family<HeartbeatLabel, Counter>,
}

impl Default for AlertCounts {
    fn default() -> AlertCounts {
        let heartbeats = Family::default();
        for result in ["sent", "failed"] {
            drop(heartbeats.get_or_create(&HeartbeatLabel { result }));
        }
        AlertCounts { messages: Family::default(), heartbeats }
    }
}

impl AlertCounts {
    pub(super) fn register(self, registry: &mut Registry) {
        let help = "Tries to send a message to a target of alerts, by result";
        registry.register("alerts", help, self.messages);
        registry.register("heartbeats", "Calls of the heartbeat's URL, by result", self.heartbeats);
    }

    /// Makes the time series of a target exist, with 0.
    pub fn expect(&self, alerts: &str) {
        for result in ["sent", "failed"] {
            drop(self.messages.get_or_create(&AlertLabels { alerts: alerts.to_owned(), result }));
        }
    }

    pub fn sent(&self, alerts: &str) {
        let alerts = alerts.to_owned();
        self.messages.get_or_create(&AlertLabels { alerts, result: "sent" }).inc();
    }

    pub fn failed(&self, alerts: &str) {
        let alerts = alerts.to_owned();
        self.messages.get_or_create(&AlertLabels { alerts, result: "failed" }).inc();
    }

    pub fn heartbeat(&self, arrived: bool) {
        let result = if arrived { "sent" } else { "failed" };
        self.heartbeats.get_or_create(&HeartbeatLabel { result }).inc();
    }
}
