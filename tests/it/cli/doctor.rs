//! `doctor`, in healthy deployments and in faulty ones.

use std::fs;
use std::process::Output;
use std::sync::Arc;

use savio_relay::clock;
use savio_relay::delivery::{Delivery, Destination, Settings};
use savio_relay::store::sqlite::{self, Sqlite};
use savio_relay::store::{NextStep, Queue, WaitsFor};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::collector::Collector;
use crate::support::relay::{Relay, program};
use crate::support::store::{at, claim_one, from, step, store_one};

const MAPPING: &str =
    "provider = \"form\"\nsecrets = [\"env:FORM_SECRET\"]\n[[feedback]]\nproblem = \"$.text\"\n";

pub(super) struct Deployment {
    pub(super) folder: TempDir,
    pub(super) savio: MockServer,
}

impl Deployment {
    /// Adds a Savio with the right time, which answers probes with this response.
    pub(super) async fn new(status: u16) -> Deployment {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mappings")).unwrap();
        fs::write(folder.path().join("mappings/form.toml"), MAPPING).unwrap();
        let savio = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_json(json!({ "results": [] }));
        Mock::given(method("GET")).respond_with(answer).mount(&savio).await;
        Deployment { folder, savio }
    }

    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let base_url = format!("{}/app/api/", self.savio.uri());
        // A program that answers, but is no relay: none runs in most of these tests.
        let public_url = self.savio.uri();
        let fixed = [
            ("FORM_SECRET", "s3cret"),
            ("SAVIO_API_TOKEN", "t0ken"),
            ("ADMIN_TOKEN", "long-enough-to-be-safe"),
            ("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0"),
            ("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
        ];
        let mut variables = vec![
            ("SAVIO_RELAY_SAVIO__BASE_URL", base_url),
            ("SAVIO_RELAY_SERVER__PUBLIC_URL", public_url),
        ];
        variables.extend(fixed.map(|(name, value)| (name, value.to_owned())));
        variables
    }

    /// Changes some environment variables.
    pub(super) fn doctor(&self, others: &[(&str, &str)]) -> Report {
        let mut doctor = program(self.folder.path());
        doctor.args(["doctor", "--json"]).envs(self.variables()).envs(others.iter().copied());
        Report::of(&doctor.output().unwrap())
    }
}

pub(super) struct Report {
    pub(super) code: Option<i32>,
    pub(super) output_json: Value,
}

impl Report {
    pub(super) fn of(output: &Output) -> Report {
        let output_json = serde_json::from_slice(&output.stdout);
        let code = output.status.code();
        Report { code, output_json: output_json.unwrap_or_else(|_| panic!("{output:?}")) }
    }

    /// Checks that there is one finding with this text, and its verdict.
    pub(super) fn check(&self, verdict: &str, text: &str) {
        let findings = self.output_json["findings"].as_array().unwrap();
        let is_it = |it: &&Value| it["found"].as_str().unwrap().contains(text);
        let found: Vec<_> = findings.iter().filter(is_it).map(|it| &it["verdict"]).collect();
        assert_eq!(found, [verdict], "{text}: {:#}", self.output_json);
    }
}

#[tokio::test]
async fn healthy_deployment_has_no_wrong_findings() {
    let deployment = Deployment::new(200).await;

    let report = deployment.doctor(&[]);

    assert_eq!(
        (report.code, &report.output_json["wrong"]),
        (Some(0), &json!(0)),
        "{:#}",
        report.output_json
    );
    report.check("ok", "form is live: 1 secret found");
    report.check("ok", &format!("form is at {}/hooks/form", deployment.savio.uri()));
    report.check("ok", "answers and accepts the token");
    report.check("ok", "it agrees with Savio's");
    report.check("ok", "relay.db does not exist yet");
}

#[tokio::test]
async fn doctor_output_holds_no_secret() {
    let deployment = Deployment::new(200).await;
    let mut doctor = program(deployment.folder.path());

    let output = doctor.arg("doctor").envs(deployment.variables()).output().unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    let version = concat!("program\n  ok       savio-relay ", env!("CARGO_PKG_VERSION"), " (");
    assert!(text.starts_with(version), "{text}");
    assert!(text.contains("\nconfiguration\n  ok       "), "{text}");
    assert!(text.contains("sources\n  ok       form is live: 1 secret found\n"), "{text}");
    assert!(!text.contains("s3cret") && !text.contains("t0ken"), "{text}");
}

#[tokio::test]
async fn rejected_token_is_wrong() {
    let deployment = Deployment::new(401).await;

    let report = deployment.doctor(&[]);

    assert_eq!(report.code, Some(1));
    report.check("wrong", "Savio answered 401 (the token is not accepted)");
    report.check("ok", "it agrees with Savio's");
}

#[tokio::test]
async fn missing_parts_are_reported_with_their_place() {
    let deployment = Deployment::new(200).await;

    let without_secret = deployment.doctor(&[("FORM_SECRET", "")]);
    let without_token = deployment.doctor(&[("SAVIO_API_TOKEN", "")]);

    without_secret.check("warning", "form is off: the environment variable FORM_SECRET is empty");
    without_secret.check("wrong", "no source is live");
    without_token.check("wrong", "the environment variable SAVIO_API_TOKEN is empty");
    assert_eq!((without_secret.code, without_token.code), (Some(1), Some(1)));
}

#[tokio::test]
async fn signed_url_requires_public_url() {
    let deployment = Deployment::new(200).await;
    let mapping = MAPPING.replace("\"form\"", "\"trello\"");
    fs::write(deployment.folder.path().join("mappings/trello.toml"), mapping).unwrap();
    let doctor = |url| deployment.doctor(&[("SAVIO_RELAY_SERVER__PUBLIC_URL", url)]);

    doctor("https://relay.example.com").check("ok", "trello is at https://relay.example.com");
    doctor("http://relay.example.com").check("warning", "which is not https");
    let variables = deployment.variables().into_iter().filter(|(name, _)| !name.ends_with("_URL"));
    let mut without = program(deployment.folder.path());
    let output = without.args(["doctor", "--json"]).envs(variables).output().unwrap();
    Report::of(&output).check("wrong", "trello: its provider signs the URL");
}

#[tokio::test]
async fn mistakes_in_files_are_shown_in_place() {
    let deployment = Deployment::new(200).await;
    let mapping = MAPPING.replace("problem", "problm");
    fs::write(deployment.folder.path().join("mappings/form.toml"), mapping).unwrap();
    let mapping = deployment.doctor(&[]);
    fs::write(deployment.folder.path().join("relay.toml"), "[savio]\ntokn = \"env:T\"").unwrap();
    let config = deployment.doctor(&[]);

    mapping.check("wrong", "mappings/form.toml:4:1: ");
    config.check("wrong", "relay.toml:2:1: ");
    assert_eq!((mapping.code, config.code), (Some(1), Some(1)));
}

#[tokio::test]
async fn running_relay_is_recognised_by_store_and_port() {
    let deployment = Deployment::new(200).await;
    let variables = deployment.variables();
    let variables: Vec<_> = variables.iter().map(|(name, it)| (*name, it.as_str())).collect();
    let relay = Relay::start(deployment.folder.path(), &variables);
    let address = relay.url.trim_start_matches("http://");

    let report = deployment.doctor(&[("SAVIO_RELAY_SERVER__LISTEN", address)]);

    assert_eq!(report.code, Some(0), "{:#}", report.output_json);
    report.check("ok", "and is ready");
    report.check("ok", "relay.db now");
    report.check("ok", "its events: none yet");
}

#[tokio::test]
async fn port_of_another_program_is_wrong() {
    let deployment = Deployment::new(200).await;
    let taken = deployment.savio.address().to_string();

    let report = deployment.doctor(&[("SAVIO_RELAY_SERVER__LISTEN", &taken)]);

    report.check("wrong", "is in use by another");
    assert_eq!(report.code, Some(1));
}

#[tokio::test]
async fn trace_collector_is_probed() {
    let deployment = Deployment::new(200).await;
    let collector = Collector::new().await;
    let doctor = |url: &str| deployment.doctor(&[("SAVIO_RELAY_TRACES__ENDPOINT", url)]);

    let (reachable, unreachable) = (doctor(&collector.0.uri()), doctor("http://127.0.0.1:9"));

    deployment.doctor(&[]).check("ok", "no collector is configured");
    reachable.check("ok", "and it answers");
    unreachable.check("warning", "http://127.0.0.1:9 does not accept them");
    assert_eq!((reachable.code, unreachable.code), (Some(0), Some(0)));
}

#[tokio::test]
async fn unusable_store_is_wrong() {
    let deployment = Deployment::new(200).await;
    fs::write(deployment.folder.path().join("other.db"), "no database at all").unwrap();
    let doctor = |url| deployment.doctor(&[("SAVIO_RELAY_STORE__URL", url)]);

    doctor("sqlite:other.db").check("wrong", "it is not an SQLite database");
    doctor("sqlite:nowhere/relay.db").check("wrong", "the folder nowhere is not there");
}

#[tokio::test]
async fn proxy_is_named_without_its_credentials() {
    let deployment = Deployment::new(200).await;
    let proxy = format!("http://someone:hunter2@{}", deployment.savio.address());
    let doctor = |base_url: &str, more: &[(&str, &str)]| {
        let fixed = [
            ("SAVIO_RELAY_SAVIO__BASE_URL", base_url),
            ("HTTP_PROXY", &*proxy),
            ("HTTPS_PROXY", &*proxy),
        ];
        deployment.doctor(&[&fixed[..], more].concat())
    };
    let through = format!("go through the proxy {}", deployment.savio.address());
    let clear = "http://savio.example.invalid/app/api/";

    let encrypted = doctor("https://savio.example.invalid/app/api/", &[]);
    let insecure = doctor(clear, &[("SAVIO_RELAY_SAVIO__INSECURE", "true")]);
    let without = doctor("https://savio.example.invalid/", &[("NO_PROXY", "example.invalid")]);
    let refused = doctor(clear, &[]);

    encrypted.check("ok", &through);
    insecure.check("warning", &through);
    insecure.check("warning", "the token is sent unencrypted");
    insecure.check("ok", "answers and accepts the token");
    refused.check("wrong", "`insecure = true`");
    assert_eq!((refused.code, insecure.code), (Some(1), Some(0)), "{:#}", insecure.output_json);
    assert!(
        !without.output_json.to_string().contains("through the proxy"),
        "{:#}",
        without.output_json
    );
    for report in [encrypted, insecure, refused] {
        assert!(!report.output_json.to_string().contains("hunter2"), "{:#}", report.output_json);
    }
}

#[tokio::test]
async fn events_waiting_for_a_mapping_or_an_event_are_counted() {
    let deployment = Deployment::new(200).await;
    let store = sqlite::Settings::new(deployment.folder.path().join("relay.db"));
    let store = Sqlite::open(&store).unwrap();
    let gone = store_one(&store, from("gone", clock::now())).await;
    let first = store_one(&store, from("form", at(0))).await;
    let claimed = claim_one(&store, at(0)).await;
    let reason = format!("waits for event {first}, which upserts the same company first");
    let waits_for = Some(WaitsFor { event: claimed.seq, reason });
    store.advance(claimed.claim, step(NextStep::Park { waits_for })).await.unwrap();
    store.close().await;

    let report = deployment.doctor(&[]);

    report.check(
        "warning",
        "1 queued event of gone waits: the source gone has no mapping at present",
    );
    report.check("ok", "1 queued event of form waits for another event");
    let mut show = program(deployment.folder.path());
    let show = show.args(["events", "show", &gone.to_string()]).envs(deployment.variables());
    let shown = String::from_utf8(show.output().unwrap().stdout).unwrap();
    assert!(shown.contains("the source gone has no mapping at present"), "{shown}");
}

#[tokio::test]
async fn events_of_a_paused_destination_are_counted_with_its_pause() {
    let deployment = Deployment::new(200).await;
    let store = sqlite::Settings::new(deployment.folder.path().join("relay.db"));
    let store = Arc::new(Sqlite::open(&store).unwrap());
    let id = store_one(&*store, from("form", clock::now())).await;
    let client = Err("no token".to_owned());
    let destination = Destination { name: "default".to_owned(), client, max_in_flight: 1 };
    let delivery = Delivery::new(Arc::clone(&store) as _, destination, Settings::default());
    delivery.pause(clock::now()).await.unwrap();
    store.close().await;

    let report = deployment.doctor(&[]);

    let reason = "delivery is paused by a person";
    report.check("warning", &format!("1 queued event of form waits: {reason}"));
    let mut show = program(deployment.folder.path());
    let show = show.args(["events", "show", &id.to_string()]).envs(deployment.variables());
    let shown = String::from_utf8(show.output().unwrap().stdout).unwrap();
    assert!(shown.contains(reason), "{shown}");
}
