//! Metrics for Prometheus. Each part of the relay holds its counters; a scrape reads them all.

mod alert_counts;
mod attempts;
mod certificate_ends;
mod commits;
mod process_usage;
mod reloads;
mod secret_matches;
mod text_format;

use jiff::Timestamp;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use alert_counts::AlertCounts;
pub use attempts::Attempts;
use attempts::DestinationLabel;
pub use certificate_ends::CertificateEnds;
pub use commits::Commits;
pub use process_usage::ProcessUsage;
pub use reloads::{RefusedReload, Reloads};
use secret_matches::SecretMatches;
pub use text_format::TextFormat;

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
    matched: Family<SecretLabels, SecretMatches>,
}

impl Webhooks {
    /// Makes the time series of a source exist, with 0: an increase is only seen of what was there
    /// before. `rejections` are those that an alert may wait for.
    pub fn expect(&self, source: &str, rejections: &[&'static str]) {
        let label = SourceLabel { source: source.to_owned() };
        drop(self.duplicates.get_or_create(&label));
        drop(self.matched.get_or_create(&matched(source, 0)));
        let accepted = StatusLabels { source: source.to_owned(), status: 202 };
        drop(self.answered.get_or_create(&accepted));
        for reason in rejections {
            let of = RejectionLabels { source: source.to_owned(), reason };
            drop(self.rejected.get_or_create(&of));
        }
    }

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
    pub fn matched(&self, source: &str, secret: usize, now: Timestamp) {
        self.matched.get_or_create(&matched(source, secret)).add(now);
    }

    pub fn matches(&self, source: &str, secret: usize) -> u64 {
        self.matched.get(&matched(source, secret)).map_or(0, |matches| matches.count())
    }

    /// Returns when the secret at this position matched last.
    pub fn last_match(&self, source: &str, secret: usize) -> Option<Timestamp> {
        self.matched.get(&matched(source, secret))?.last()
    }

    /// Begins the counts of a source's secrets anew, as others are at their positions now.
    pub fn secrets_replaced(&self, source: &str, secrets: usize) {
        for position in 0..secrets {
            self.matched.remove(&matched(source, position));
        }
    }
}

fn matched(source: &str, secret: usize) -> SecretLabels {
    SecretLabels { source: source.to_owned(), secret: u64::try_from(secret).unwrap_or(u64::MAX) }
}

/// Counter of events that died.
// Beside the number of dead events, which falls when they are replayed: an alert on its increase
// would miss one that dies while another is replayed.
#[derive(Debug, Clone, Default)]
pub struct DeadEvents(Family<SourceLabel, Counter>);

impl DeadEvents {
    /// Makes the time series of a source exist, with 0.
    pub fn expect(&self, source: &str) {
        drop(self.0.get_or_create(&SourceLabel { source: source.to_owned() }));
    }

    pub fn record(&self, source: &str) {
        self.0.get_or_create(&SourceLabel { source: source.to_owned() }).inc();
    }
}

/// Values at the moment of a scrape.
// Not kept in a registry: a source that is gone would keep its last value for ever.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges {
    /// Whether webhooks are refused because there are too many.
    pub at_limit: bool,
    /// Number of open issues that are not muted, by kind.
    pub open_issues: Vec<(&'static str, u64)>,
    /// Whether a webhook would be stored.
    pub store_ready: bool,
    /// Secrets and certificates whose files could not be used when they were read last, so that
    /// earlier ones count.
    pub kept_secrets: usize,
    pub sources: Vec<SourceGauges>,
    pub destinations: Vec<DestinationGauge>,
    /// None if the file system does not say.
    pub disk: Option<DiskGauges>,
    /// None where the system has no `/proc`.
    pub process: Option<ProcessUsage>,
}

/// The file system of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskGauges {
    pub free_bytes: u64,
    pub reserve_bytes: u64,
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
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    source: String,
    state: &'static str,
}

/// The counters of all parts, each of which shares its own.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    pub webhooks: Webhooks,
    pub commits: Commits,
    pub attempts: Attempts,
    pub dead: DeadEvents,
    pub reloads: Reloads,
    pub certificates: CertificateEnds,
    pub alerts: AlertCounts,
}

/// All counters of the relay, ready for a scrape.
#[derive(Debug)]
pub struct Metrics(Registry);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
    commit: &'static str,
}

/// The commit of which the program was built; "unknown" where the build does not know it.
const COMMIT: &str = env!("BUILD_COMMIT");

impl Metrics {
    pub fn new(counters: &Counters) -> Metrics {
        let mut registry = Registry::with_prefix("savio_relay");
        let Counters { webhooks, commits, attempts, dead, reloads, certificates, alerts } =
            counters.clone();
        let build: Family<BuildLabels, Gauge> = Family::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&BuildLabels { version, commit: COMMIT }).set(1);
        registry.register("build_info", "1, for the version and the commit of the program", build);
        let Webhooks { answered, rejected, duplicates, matched } = webhooks;
        registry.register("webhooks", "Webhooks received, by the status of the response", answered);
        registry.register("rejected", "Rejected webhooks, by reason", rejected);
        registry.register("duplicates", "Events that were received again", duplicates);
        let secrets = "Valid signatures, by the position of the secret in the mapping file, from 0";
        registry.register("secret_matched", secrets, matched);
        attempts.register(&mut registry);
        commits.register(&mut registry);
        let DeadEvents(dead) = dead;
        registry.register("dead_events", "Events that died since the start", dead);
        reloads.register(&mut registry);
        certificates.register(&mut registry);
        alerts.register(&mut registry);
        Metrics(registry)
    }

    /// Returns the metrics as text.
    pub fn text(&self, gauges: &Gauges, format: TextFormat) -> String {
        let mut text = String::new();
        let mut registries = vec![&self.0];
        let (own, process) = (gauges.registry(), gauges.process.map(ProcessUsage::registry));
        registries.push(&own);
        registries.extend(&process);
        for registry in registries {
            encode_registry(&mut text, registry).expect("text can be written to memory");
        }
        // One end for all registries: `encode` would write an end after each.
        encode_eof(&mut text).expect("text can be written to memory");
        format.rewrite(text)
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
        let open: Family<KindLabel, Gauge> = Family::default();
        for (kind, issues) in &self.open_issues {
            set(&open, &KindLabel { kind }, *issues);
        }
        registry.register("issues_open", "Open issues that are not muted, by kind", open);
        let at_limit: Gauge = Gauge::default();
        at_limit.set(i64::from(self.at_limit));
        let limit = "1 while webhooks are refused because there are too many, and shortly after";
        registry.register("at_limit", limit, at_limit);
        let ready = Gauge::<i64>::default();
        ready.set(i64::from(self.store_ready));
        let stored =
            "1 while webhooks can be stored; 0 if the disk is full or the database unavailable";
        registry.register("store_ready", stored, ready);
        let kept = Gauge::<i64>::default();
        kept.set(i64::try_from(self.kept_secrets).unwrap_or(i64::MAX));
        let files = "Secrets and certificates whose files could not be used when they were read last; those \
                     from before count";
        registry.register("secret_files_unusable", files, kept);
        registry.register("events", "Stored events, by state", events);
        let age = "Age of the oldest queued event of a source, 0 if none is queued";
        registry.register("oldest_queued_seconds", age, oldest);
        let pause = "1 while the destination is paused, by a person or by the relay";
        registry.register("destination_paused", pause, paused);
        if let Some(DiskGauges { free_bytes, reserve_bytes }) = self.disk {
            let free = "Free space on the disk of the store";
            registry.register("disk_free_bytes", free, gauge(free_bytes));
            let reserve = "Free space on the disk of the store below which no webhook is accepted";
            registry.register("disk_reserve_bytes", reserve, gauge(reserve_bytes));
        }
        registry
    }
}

fn gauge(value: u64) -> Gauge {
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn counters_are_in_the_text() {
        let counters = Counters::default();
        let Counters { webhooks, commits, attempts, dead, reloads, certificates, alerts } =
            &counters;

        webhooks.answered("form", 202);
        webhooks.rejected("form", "signature wrong");
        webhooks.repeated("form", 3);
        webhooks.matched("form", 1, Timestamp::UNIX_EPOCH);
        commits.took(Duration::from_millis(3));
        attempts.record_outcome("default", "done");
        attempts.left_out("default", &["source_url".to_owned()]);
        attempts.took("default", Duration::from_millis(250));
        attempts.unobserved();
        dead.record("form");
        reloads.rejected(Timestamp::UNIX_EPOCH, "form.toml:1:1: a mistake".to_owned());
        certificates.set("server", "2027-02-28T00:00:00Z".parse().unwrap());

        alerts.expect("ops");
        alerts.sent("ops");
        alerts.heartbeat(true);

        let text = Metrics::new(&counters).text(&Gauges::default(), TextFormat::Prometheus);
        for line in [
            r#"savio_relay_webhooks_total{source="form",status="202"} 1"#,
            r#"savio_relay_rejected_total{source="form",reason="signature wrong"} 1"#,
            r#"savio_relay_duplicates_total{source="form"} 3"#,
            r#"savio_relay_secret_matched_total{source="form",secret="1"} 1"#,
            r#"savio_relay_commit_seconds_bucket{le="0.004"} 1"#,
            r#"savio_relay_fields_left_out_total{destination="default",field="source_url"} 1"#,
            r#"savio_relay_attempts_total{destination="default",outcome="done"} 1"#,
            r#"savio_relay_attempt_seconds_bucket{le="0.32",destination="default"} 1"#,
            "savio_relay_drift_events_dropped_total 1",
            r#"savio_relay_dead_events_total{source="form"} 1"#,
            r#"savio_relay_alerts_total{alerts="ops",result="sent"} 1"#,
            r#"savio_relay_alerts_total{alerts="ops",result="failed"} 0"#,
            r#"savio_relay_heartbeats_total{result="sent"} 1"#,
            r#"savio_relay_reloads_total{result="rejected"} 1"#,
            r#"savio_relay_reloads_total{result="applied"} 0"#,
            "savio_relay_last_reload_successful 0",
            r#"savio_relay_tls_certificate_end_timestamp_seconds{listener="server"} 1803772800"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert_eq!(webhooks.matches("form", 1), 1);
    }

    #[test]
    fn gauges_are_those_of_the_scrape() {
        let metrics = Metrics::new(&Counters::default());
        let text = |gauges: &Gauges| metrics.text(gauges, TextFormat::OpenMetrics);
        let queue = |queued, oldest_queued_seconds| SourceGauges {
            source: "form".to_owned(),
            events: vec![("queued", queued), ("dead", 0)],
            oldest_queued_seconds,
        };
        let paused = |paused| vec![DestinationGauge { destination: "default".to_owned(), paused }];
        let (sources, destinations) = (vec![queue(7, 60)], paused(true));
        let disk = Some(DiskGauges { free_bytes: 9, reserve_bytes: 3 });
        let first = Gauges { at_limit: true, sources, destinations, disk, ..Gauges::default() };
        assert!(text(&first).contains("\nsavio_relay_disk_free_bytes 9\n"));

        let (sources, destinations) = (vec![queue(2, 5)], paused(false));
        let text = text(&Gauges { store_ready: true, sources, destinations, ..Gauges::default() });

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
