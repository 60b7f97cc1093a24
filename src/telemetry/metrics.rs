//! Metrics for Prometheus. Each part of the relay holds its counters; a scrape reads them all.

use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Content type of `Metrics::text`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    source: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectionLabels {
    source: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabels {
    source: String,
    secret: u64,
}

/// Counters of webhooks.
// `source` must be a known source: any sender can make up names, and each would be a time series.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    answered: Family<StatusLabels, Counter>,
    rejected: Family<RejectionLabels, Counter>,
    duplicates: Family<SourceLabel, Counter>,
    matched: Family<SecretLabels, Counter>,
}

impl Webhooks {
    pub fn answered(&self, source: &str, status: u16) {
        self.answered.get_or_create(&StatusLabels { source: source.to_owned(), status }).inc();
    }

    /// Counts a rejection. `reason` is one of a few fixed texts, since each is a time series.
    pub fn rejected(&self, source: &str, reason: &'static str) {
        self.rejected.get_or_create(&RejectionLabels { source: source.to_owned(), reason }).inc();
    }

    /// Counts events that were received before.
    pub fn repeated(&self, source: &str, events: usize) {
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        self.duplicates.get_or_create(&SourceLabel { source: source.to_owned() }).inc_by(events);
    }

    /// Counts a match of the secret at this position in the mapping file, from 0. Shows when an old secret is no
    /// longer used.
    pub fn matched(&self, source: &str, secret: usize) {
        self.matched.get_or_create(&matched(source, secret)).inc();
    }

    pub fn matches(&self, source: &str, secret: usize) -> u64 {
        self.matched.get(&matched(source, secret)).map_or(0, |counter| counter.get())
    }
}

fn matched(source: &str, secret: usize) -> SecretLabels {
    SecretLabels { source: source.to_owned(), secret: u64::try_from(secret).unwrap_or(u64::MAX) }
}

/// Duration of commits.
#[derive(Debug, Clone)]
pub struct Commits(Histogram);

impl Default for Commits {
    /// Buckets from half a millisecond to 8 seconds.
    fn default() -> Commits {
        Commits(Histogram::new(exponential_buckets(0.0005, 2.0, 15)))
    }
}

impl Commits {
    pub fn took(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DestinationLabel {
    destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    destination: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeftOutLabels {
    destination: String,
    field: String,
}

/// Counters of requests to Savio.
#[derive(Debug, Clone)]
pub struct Attempts {
    left_out: Family<LeftOutLabels, Counter>,
    outcomes: Family<OutcomeLabels, Counter>,
    seconds: Family<DestinationLabel, Histogram, fn() -> Histogram>,
}

impl Default for Attempts {
    /// Buckets from 10 milliseconds to 41 seconds.
    fn default() -> Attempts {
        let histogram = || Histogram::new(exponential_buckets(0.01, 2.0, 13));
        Attempts {
            left_out: Family::default(),
            outcomes: Family::default(),
            seconds: Family::new_with_constructor(histogram),
        }
    }
}

impl Attempts {
    pub fn record_outcome(&self, destination: &str, outcome: &'static str) {
        let destination = destination.to_owned();
        self.outcomes.get_or_create(&OutcomeLabels { destination, outcome }).inc();
    }

    /// Counts fields that were omitted from requests. There are a few names only.
    pub fn left_out<'f>(&self, destination: &str, fields: impl IntoIterator<Item = &'f String>) {
        for field in fields {
            let (destination, field) = (destination.to_owned(), field.clone());
            self.left_out.get_or_create(&LeftOutLabels { destination, field }).inc();
        }
    }

    pub fn took(&self, destination: &str, time: Duration) {
        let destination = destination.to_owned();
        let time_s = time.as_secs_f64();
        self.seconds.get_or_create(&DestinationLabel { destination }).observe(time_s);
    }
}

/// Values at the moment of a scrape.
// Not kept in a registry: a source that is gone would keep its last value for ever.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges {
    /// Whether webhooks are refused because there are too many.
    pub at_limit: bool,
    /// Whether a webhook would be stored.
    pub store_ready: bool,
    pub sources: Vec<SourceGauges>,
    pub destinations: Vec<DestinationGauge>,
}

/// The events of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceGauges {
    pub source: String,
    /// Number in each state. Includes zeros, so that no time series disappears.
    pub events: Vec<(&'static str, u64)>,
    /// 0 if none is queued.
    pub oldest_queued_seconds: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationGauge {
    pub destination: String,
    pub paused: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    source: String,
    state: &'static str,
}

/// All counters of the relay.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    pub fn new(webhooks: &Webhooks, commits: &Commits, attempts: &Attempts) -> Metrics {
        let mut registry = Registry::with_prefix("savio_relay");
        let Webhooks { answered, rejected, duplicates, matched } = webhooks.clone();
        registry.register("webhooks", "Webhooks received, by the status of the response", answered);
        registry.register("rejected", "Rejected webhooks, by reason", rejected);
        registry.register("duplicates", "Events that were received again", duplicates);
        let secrets = "Valid signatures, by the position of the secret in the mapping file, from 0";
        registry.register("secret_matched", secrets, matched);
        let Commits(seconds) = commits.clone();
        registry.register("commit_seconds", "Duration of a commit to disk", seconds);
        let Attempts { left_out, outcomes, seconds } = attempts.clone();
        let refused = "Fields that were omitted from requests because Savio rejected their values";
        registry.register("fields_left_out", refused, left_out);
        registry.register("attempts", "Requests to Savio, by outcome", outcomes);
        registry.register("attempt_seconds", "Response time of Savio", seconds);
        Metrics(registry)
    }

    /// Returns the metrics as text in the format of `CONTENT_TYPE`.
    pub fn text(&self, gauges: &Gauges) -> String {
        let mut text = String::new();
        for registry in [&self.0, &gauges.registry()] {
            encode_registry(&mut text, registry).expect("text can be written to memory");
        }
        // One end for both registries: `encode` would write an end after each.
        encode_eof(&mut text).expect("text can be written to memory");
        text
    }
}

impl Gauges {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("savio_relay");
        let events: Family<StateLabels, Gauge> = Family::default();
        let oldest: Family<SourceLabel, Gauge> = Family::default();
        for SourceGauges { source, events: counts, oldest_queued_seconds } in &self.sources {
            for (state, count) in counts {
                let of = StateLabels { source: source.clone(), state };
                set(&events, &of, *count);
            }
            set(&oldest, &SourceLabel { source: source.clone() }, *oldest_queued_seconds);
        }
        let paused: Family<DestinationLabel, Gauge> = Family::default();
        for one in &self.destinations {
            let of = DestinationLabel { destination: one.destination.clone() };
            set(&paused, &of, u64::from(one.paused));
        }
        let at_limit: Gauge = Gauge::default();
        at_limit.set(i64::from(self.at_limit));
        let limit = "1 while webhooks are refused because there are too many, and shortly after";
        registry.register("at_limit", limit, at_limit);
        let ready = Gauge::<i64>::default();
        ready.set(i64::from(self.store_ready));
        let stored =
            "1 while webhooks can be stored; 0 if the disk is full or the database unavailable";
        registry.register("store_ready", stored, ready);
        registry.register("events", "Stored events, by state", events);
        let age = "Age of the oldest queued event of a source, 0 if none is queued";
        registry.register("oldest_queued_seconds", age, oldest);
        let pause = "1 while the destination is paused, by a person or by the relay";
        registry.register("destination_paused", pause, paused);
        registry
    }
}

fn set<Of>(family: &Family<Of, Gauge>, of: &Of, value: u64)
where
    Of: Clone + Eq + std::hash::Hash,
    Family<Of, Gauge>: EncodeMetric,
{
    family.get_or_create(of).set(i64::try_from(value).unwrap_or(i64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> (Webhooks, Commits, Attempts, Metrics) {
        let (webhooks, commits, attempts) =
            (Webhooks::default(), Commits::default(), Attempts::default());
        let metrics = Metrics::new(&webhooks, &commits, &attempts);
        (webhooks, commits, attempts, metrics)
    }

    #[test]
    fn counters_are_in_the_text() {
        let (webhooks, commits, attempts, metrics) = all();

        webhooks.answered("form", 202);
        webhooks.rejected("form", "signature wrong");
        webhooks.repeated("form", 3);
        webhooks.matched("form", 1);
        commits.took(Duration::from_millis(3));
        attempts.record_outcome("default", "done");
        attempts.left_out("default", &["source_url".to_owned()]);
        attempts.took("default", Duration::from_millis(250));

        let text = metrics.text(&Gauges::default());
        for line in [
            r#"savio_relay_webhooks_total{source="form",status="202"} 1"#,
            r#"savio_relay_rejected_total{source="form",reason="signature wrong"} 1"#,
            r#"savio_relay_duplicates_total{source="form"} 3"#,
            r#"savio_relay_secret_matched_total{source="form",secret="1"} 1"#,
            r#"savio_relay_commit_seconds_bucket{le="0.004"} 1"#,
            r#"savio_relay_fields_left_out_total{destination="default",field="source_url"} 1"#,
            r#"savio_relay_attempts_total{destination="default",outcome="done"} 1"#,
            r#"savio_relay_attempt_seconds_bucket{le="0.32",destination="default"} 1"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert_eq!(webhooks.matches("form", 1), 1);
    }

    #[test]
    fn gauges_are_those_of_the_scrape() {
        let (.., metrics) = all();
        let queue = |queued, oldest_queued_seconds| SourceGauges {
            source: "form".to_owned(),
            events: vec![("queued", queued), ("dead", 0)],
            oldest_queued_seconds,
        };
        let paused = |paused| vec![DestinationGauge { destination: "default".to_owned(), paused }];
        let (sources, destinations) = (vec![queue(7, 60)], paused(true));
        metrics.text(&Gauges { at_limit: true, store_ready: false, sources, destinations });

        let (sources, destinations) = (vec![queue(2, 5)], paused(false));
        let gauges = Gauges { at_limit: false, store_ready: true, sources, destinations };
        let text = metrics.text(&gauges);

        for line in [
            r#"savio_relay_events{source="form",state="queued"} 2"#,
            r#"savio_relay_events{source="form",state="dead"} 0"#,
            r#"savio_relay_oldest_queued_seconds{source="form"} 5"#,
            r#"savio_relay_destination_paused{destination="default"} 0"#,
            "savio_relay_at_limit 0",
            "savio_relay_store_ready 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
    }
}
