//! `GET health`: a running relay finds about itself what `doctor` finds beside it.

use std::fs;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::doctor::{Deployment, Report};
use crate::support::relay::{Relay, http};

/// Of these parts, the relay and `doctor` see something else, or the same at another time.
const PARTS_APART: [&str; 3] = ["clock", "open files", "admin API"];

fn start(deployment: &Deployment, others: &[(&str, &str)]) -> Relay {
    let own = deployment.variables();
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let variables: Vec<_> = own.chain(others.iter().copied()).collect();
    Relay::start(deployment.folder.path(), &variables)
}

async fn health(relay: &Relay) -> Report {
    let call = http().get(format!("{}/api/v1/health", relay.admin_url));
    let answer = call.bearer_auth("long-enough-to-be-safe").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    Report { code: None, output_json: answer.json().await.unwrap() }
}

/// Runs `doctor` beside the relay.
fn doctor(deployment: &Deployment, relay: &Relay, others: &[(&str, &str)]) -> Report {
    let own = [
        ("SAVIO_RELAY_SERVER__LISTEN", relay.url.trim_start_matches("http://")),
        ("SAVIO_RELAY_SERVER__ADMIN_LISTEN", relay.admin_url.trim_start_matches("http://")),
    ];
    deployment.doctor(&[&own, others].concat())
}

/// Returns the findings that have to be the same.
fn comparable(report: &Report) -> Vec<Value> {
    let findings = report.output_json["findings"].as_array().unwrap().iter();
    let is_apart = |it: &Value| {
        let found = it["found"].as_str().unwrap();
        PARTS_APART.contains(&it["part"].as_str().unwrap())
            // Beside the relay, it is seen that the port is taken.
            || found.starts_with("the admin address ")
            || found.contains(" MiB are free; ")
    };
    findings.filter(|it| !is_apart(it)).cloned().collect()
}

/// Checks that both find the same, and among it this.
async fn check_same(deployment: &Deployment, others: &[(&str, &str)], expected: &[(&str, &str)]) {
    let relay = start(deployment, others);

    let (own, beside) = (health(&relay).await, doctor(deployment, &relay, others));

    for (verdict, text) in expected {
        own.check(verdict, text);
    }
    assert_eq!(comparable(&own), comparable(&beside));
    assert!(comparable(&own).len() > 10, "{:#}", own.output_json);
    let text = own.output_json.to_string();
    assert!(!text.contains("s3cret") && !text.contains("t0ken"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn healthy_relay_finds_what_doctor_finds() {
    let deployment = Deployment::new(200).await;
    let expected = [
        ("ok", "form is live: 1 secret found"),
        ("ok", "and is ready"),
        ("ok", "relay.db now"),
        ("ok", "answers and accepts the token"),
        ("ok", "it agrees with Savio's"),
        ("ok", "the running relay uses all 3 that are found here"),
    ];

    check_same(&deployment, &[], &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistaken_mapping_and_refused_token_are_found() {
    let deployment = Deployment::new(401).await;
    let mapping = deployment.folder.path().join("mappings/other.toml");
    fs::write(mapping, "provider = \"form\"\n[[feedback]]\nproblm = \"$.text\"\n").unwrap();
    let expected = [
        ("wrong", "mappings/other.toml:3:1: "),
        ("wrong", "Savio answered 401 (the token is not accepted)"),
    ];

    check_same(&deployment, &[], &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_secret_and_unreachable_savio_are_found() {
    let deployment = Deployment::new(200).await;
    let broken =
        [("FORM_SECRET", ""), ("SAVIO_RELAY_SAVIO__BASE_URL", "http://127.0.0.1:9/app/api/")];
    let expected = [
        ("warning", "form is off: the environment variable FORM_SECRET is empty"),
        ("wrong", "is not ready: no source is live"),
        ("wrong", "default: Savio (http://127.0.0.1:9/app/api/) cannot be reached"),
    ];

    check_same(&deployment, &broken, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_that_were_written_since_the_start_are_found() {
    let deployment = Deployment::new(200).await;
    let relay = start(&deployment, &[]);
    let folder = deployment.folder.path();
    fs::write(folder.join("mappings/form.toml"), "provider = \"form\"\n[[feedback]]\n").unwrap();
    fs::write(folder.join("relay.toml"), "[savio]\ntokn = \"env:T\"").unwrap();

    let report = health(&relay).await;

    report.check("wrong", "relay.toml:2:1: ");
    // The running relay goes on with what it had.
    report.check("ok", "form is live: 1 secret found");
    report.check("ok", "answers and accepts the token");
}

#[tokio::test(flavor = "multi_thread")]
async fn running_mapping_counts_while_the_file_has_a_mistake() {
    let deployment = Deployment::new(200).await;
    let relay = start(&deployment, &[]);
    let mapping = deployment.folder.path().join("mappings/form.toml");
    fs::write(mapping, "provider = \"form\"\n[[feedback]]\nproblm = \"$.text\"\n").unwrap();

    let report = health(&relay).await;

    report.check("wrong", "mappings/form.toml:3:1: ");
    report.check("ok", "form is live: 1 secret found");
    assert_eq!(report.output_json["findings"][0]["part"], "program");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_ask_savio_once() {
    let deployment = Deployment::new(200).await;
    let relay = start(&deployment, &[]);

    let reports = join_all((0..5).map(|_| health(&relay))).await;

    let first = &reports[0].output_json;
    assert!(reports.iter().all(|it| it.output_json == *first));
    assert!(first["checked_at"].is_string(), "{first:#}");
    let asked = deployment.savio.received_requests().await.unwrap();
    let probes = asked.iter().filter(|it| it.url.query().is_some_and(|it| it.contains("search=")));
    assert_eq!(probes.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_sends_test_webhooks_to_itself_through_its_public_address() {
    let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", public.local_addr().unwrap());
    let deployment = Deployment::new(200).await;
    let relay = start(&deployment, &[("SAVIO_RELAY_SERVER__PUBLIC_URL", &url)]);
    let to = relay.url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        loop {
            let (mut from, _) = public.accept().await.unwrap();
            let to = to.clone();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(to).await.unwrap();
                // Either side may close first.
                drop(copy_bidirectional(&mut from, &mut to).await);
            });
        }
    });

    let report = health(&relay).await;

    report.check("ok", "webhooks arrive unchanged: parameters, headers, JSON, gzip, chunked");
    report.check("ok", "a body of 5 MiB, the largest, arrives whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn finding_has_the_command_that_helps() {
    let deployment = Deployment::new(200).await;
    let relay = start(&deployment, &[("FORM_SECRET", "")]);

    let report = health(&relay).await;

    let findings = report.output_json["findings"].as_array().unwrap();
    let none_live = findings.iter().find(|it| it["found"] == "no source is live").unwrap();
    assert_eq!(none_live["command"], "savio-relay providers");
    let wrong = findings.iter().filter(|it| it["verdict"] == "wrong").count();
    assert_eq!(report.output_json["wrong"], wrong);
}
