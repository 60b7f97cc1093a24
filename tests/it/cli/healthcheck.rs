//! `healthcheck`, as a container runs it.

use std::path::Path;
use std::process::Output;

use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, program};

const MAPPING: &str =
    "provider = \"form\"\nsecrets = [\"env:FORM_SECRET\"]\n[[feedback]]\nproblem = \"$.text\"\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/form.toml"), MAPPING).unwrap();
    folder
}

fn healthcheck(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).arg("healthcheck").args(arguments).output().unwrap()
}

fn check(output: &Output, code: i32, text: &str) {
    let printed = [output.stdout.as_slice(), &output.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    assert_eq!(output.status.code(), Some(code), "{printed}");
    assert!(printed.contains(text), "{printed}");
}

#[test]
fn relay_that_accepts_webhooks_is_ready() {
    let folder = folder();
    let relay = Relay::start(folder.path(), &[("FORM_SECRET", "s")]);

    check(&healthcheck(folder.path(), &["--url", &relay.url]), 0, "ready");
}

#[test]
fn relay_that_is_not_ready_says_why() {
    let folder = folder();
    let relay = Relay::start(folder.path(), &[]);

    let output = healthcheck(folder.path(), &["--url", &relay.url]);

    check(&output, 1, "not ready: no source is live");
}

#[test]
fn absent_relay_differs_from_one_that_is_not_ready() {
    let folder = folder();
    let relay = Relay::start(folder.path(), &[]);
    let listen = format!("server.listen = \"{}\"", relay.url.trim_start_matches("http://"));
    relay.stop();
    std::fs::write(folder.path().join("relay.toml"), listen).unwrap();

    check(&healthcheck(folder.path(), &[]), 3, "no answer from http://127.0.0.1:");
    check(&healthcheck(folder.path(), &["--url", "nowhere"]), 2, "--url");
}

#[tokio::test]
async fn other_program_at_the_address_is_no_relay() {
    let other = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_string("hello");
    Mock::given(path("/readyz")).respond_with(answer).mount(&other).await;
    let folder = folder();

    let output = healthcheck(folder.path(), &["--url", &other.uri()]);

    check(&output, 1, "not as savio-relay does");
}
