//! Promise 4: a disk that is full or fails loses no event. Webhooks get 503 meanwhile, and the
//! relay recovers by itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;
use savio_relay::event::{EventId, State};
use savio_relay::store::sqlite::Settings;
use savio_relay::store::{Archive, Sqlite};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::left_out::report_left_out;
use crate::support::relay::{FORM_MAPPING, Relay, http, program};
use crate::support::wait::until;

/// A file system of its own with 24 MiB.
struct Disk(TempDir);

impl Disk {
    /// Returns none if mounting is not allowed.
    fn mount() -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(folder.path())
            .output();
        let is_mounted = mount.is_ok_and(|mount| mount.status.success());
        is_mounted.then(|| Disk(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes until no further byte fits.
    fn fill(&self) {
        let mut ballast = File::create(self.path().join("ballast")).unwrap();
        for size in [1024 * 1024, 4096, 1] {
            while ballast.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn prepare(folder: &Path) {
    fs::create_dir(folder.join("mappings")).unwrap();
    fs::write(folder.join("mappings/form.toml"), FORM_MAPPING).unwrap();
}

async fn savio_answers(savio: &MockServer, status: u16) {
    savio.reset().await;
    let answer = ResponseTemplate::new(status).set_body_json(json!({ "id": 7 }));
    Mock::given(method("POST")).respond_with(answer).mount(savio).await;
}

fn serve(mut command: Command, savio: &MockServer) -> Relay {
    let savio = format!("{}/app/api/", savio.uri());
    let variables = [
        ("FORM_SECRET", "secret"),
        ("SAVIO_API_TOKEN", "token"),
        ("SAVIO_RELAY_SAVIO__BASE_URL", savio.as_str()),
        ("SAVIO_RELAY_RETRY__WAIT_MIN", "10ms"),
        ("SAVIO_RELAY_RETRY__WAIT_MAX", "50ms"),
    ];
    Relay::start_by(&mut command, &variables)
}

/// Posts numbered webhooks, and records those that were accepted.
#[derive(Default)]
struct Sender {
    sent: usize,
    accepted: BTreeMap<usize, EventId>,
}

impl Sender {
    /// Posts one webhook of about this many bytes.
    async fn post(&mut self, relay: &Relay, bytes: usize) -> reqwest::Response {
        self.sent += 1;
        let answer = http()
            .post(format!("{}/hooks/form", relay.url))
            .header("x-relay-token", "secret")
            .json(&json!({ "text": self.sent.to_string(), "padding": "x".repeat(bytes) }))
            .send()
            .await
            .unwrap();
        if answer.status() != StatusCode::ACCEPTED {
            return answer;
        }
        let headers = answer.headers().clone();
        let body: Value = answer.json().await.unwrap();
        let id = body["events"][0].as_str().unwrap().parse().unwrap();
        self.accepted.insert(self.sent, id);
        let mut answer = http::Response::builder().status(202).body(body.to_string()).unwrap();
        *answer.headers_mut() = headers;
        answer.into()
    }

    async fn accepted(&mut self, relay: &Relay) -> bool {
        self.post(relay, 1000).await.status() == StatusCode::ACCEPTED
    }

    /// Posts until a webhook is accepted, for half a minute at most.
    async fn until_accepted(&mut self, relay: &Relay) {
        let waiting = async { while !self.accepted(relay).await {} };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it recovers");
    }
}

async fn get(relay: &Relay, path: &str) -> (StatusCode, String) {
    let answer = http().get(format!("{}{path}", relay.url)).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn until_delivered(folder: &Path, accepted: usize) {
    let all = || {
        let mut list = program(folder);
        list.args(["events", "list", "--state", "delivered", "--limit", "100000", "--json"]);
        let output = list.output().unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        listed["events"].as_array().is_some_and(|events| events.len() >= accepted)
    };
    until(all).await;
}

/// Checks that every accepted event is delivered, and that the file is intact.
async fn check(folder: &Path, sender: &Sender) {
    let path = folder.join("relay.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    let whole: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    drop(file);
    let store = Sqlite::open(&Settings::new(path)).unwrap();
    for id in sender.accepted.values() {
        let record = store.event(*id).await.unwrap().expect("an accepted event is kept");
        assert_eq!(record.state, State::Delivered);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_webhooks_and_loses_no_accepted_one() {
    let Some(disk) = Disk::mount() else {
        return report_left_out("the test of a full disk: mounting is not allowed here");
    };
    prepare(disk.path());
    let savio = MockServer::start().await;
    savio_answers(&savio, 503).await;
    let mut command = program(disk.path());
    command.arg("serve");
    let relay = serve(command, &savio);
    let mut sender = Sender::default();

    let refused = loop {
        let answer = sender.post(&relay, 40_000).await;
        if answer.status() != StatusCode::ACCEPTED {
            break answer;
        }
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "30");
    let (ready, reasons) = get(&relay, "/readyz").await;
    assert!(ready == StatusCode::SERVICE_UNAVAILABLE && reasons.contains("disk full"), "{reasons}");
    // The store cannot keep it, and it is told all the same.
    until(|| relay.logged("issue opened: The store's disk has") > 0).await;

    disk.fill();
    // The free space that was read a moment before counts for a second.
    let refused = async { while sender.accepted(&relay).await {} };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("the disk is full");
    savio_answers(&savio, 201).await;
    assert!(!sender.accepted(&relay).await);
    disk.free();
    until_delivered(disk.path(), sender.accepted.len()).await;

    assert!(sender.accepted.len() > 100, "{}", sender.accepted.len());
    assert!(relay.stop().success());
    check(disk.path(), &sender).await;
}

/// Returns the program such that a file beyond its limit fails like a disk.
fn serve_on_failing_disk(folder: &Path) -> Command {
    // With SIGXFSZ ignored, the write fails with an error instead of ending the process.
    let relay = program(folder);
    let mut shell = Command::new("/bin/sh");
    shell.current_dir(folder).env_clear();
    shell.args(["-c", "trap '' XFSZ; exec \"$0\" serve"]).arg(relay.get_program());
    shell
}

/// Limits the size of files that the relay may write, and returns whether that worked.
fn limit(relay: &Relay, bytes: &str) -> bool {
    let limit = Command::new("prlimit")
        .args(["--pid", &relay.id().to_string(), &format!("--fsize={bytes}:unlimited")])
        .status();
    limit.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_disk_is_used_again_once_it_works() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let savio = MockServer::start().await;
    savio_answers(&savio, 503).await;
    let relay = serve(serve_on_failing_disk(folder.path()), &savio);
    let mut sender = Sender::default();
    for _ in 0..20 {
        assert!(sender.accepted(&relay).await);
    }

    for _ in 0..3 {
        if !limit(&relay, "1") {
            return report_left_out("the test of a failing disk: prlimit does not work here");
        }
        let refused = sender.post(&relay, 1000).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()["retry-after"], "30");
        assert!(limit(&relay, "unlimited"));
        sender.until_accepted(&relay).await;
    }
    savio_answers(&savio, 201).await;
    until_delivered(folder.path(), sender.accepted.len()).await;

    assert_eq!(get(&relay, "/readyz").await.0, StatusCode::OK);
    assert!(relay.logged("the disk failed") >= 3);
    assert!(relay.stop().success());
    check(folder.path(), &sender).await;
}
