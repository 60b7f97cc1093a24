//! `backup` and a restore, as an operator does them.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{FORM_MAPPING, Relay, http, program};
use crate::support::wait::until;

struct Deployment {
    folder: TempDir,
    savio: MockServer,
}

impl Deployment {
    async fn new() -> Deployment {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mappings")).unwrap();
        fs::write(folder.path().join("mappings/form.toml"), FORM_MAPPING).unwrap();
        Deployment { folder, savio: MockServer::start().await }
    }

    async fn savio_answers(&self, status: u16) {
        self.savio.reset().await;
        let answer = ResponseTemplate::new(status).set_body_json(json!({ "id": 7 }));
        Mock::given(method("POST")).respond_with(answer).mount(&self.savio).await;
    }

    fn start(&self, arguments: &[&str]) -> Relay {
        let savio = format!("{}/app/api/", self.savio.uri());
        let variables = [
            ("FORM_SECRET", "secret"),
            ("SAVIO_API_TOKEN", "token"),
            ("SAVIO_RELAY_SAVIO__BASE_URL", savio.as_str()),
            ("SAVIO_RELAY_RETRY__WAIT_MIN", "10ms"),
            ("SAVIO_RELAY_RETRY__WAIT_MAX", "50ms"),
        ];
        let mut serve = program(self.folder.path());
        Relay::start_by(serve.arg("serve").args(arguments), &variables)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Restores the backup as docs/operations.md says.
    fn restore(&self, backup: &str) {
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(self.path(&format!("relay.db{suffix}")));
        }
        fs::copy(self.path(backup), self.path("relay.db")).unwrap();
    }

    fn events(&self, state: &str) -> Vec<Value> {
        let listed = run(self.folder.path(), &["events", "list", "--state", state, "--json"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
        listed["events"].as_array().cloned().unwrap_or_default()
    }

    fn event(&self, event: &Value) -> Value {
        let id = event["id"].as_str().unwrap();
        let shown = run(self.folder.path(), &["events", "show", id, "--json"]);
        serde_json::from_slice(&shown.stdout).unwrap()
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().unwrap()
}

async fn post(relay: &Relay, text: &str) {
    let answer = http()
        .post(format!("{}/hooks/form", relay.url))
        .header("x-relay-token", "secret")
        .json(&json!({ "text": text }))
        .send();
    assert_eq!(answer.await.unwrap().status(), 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_delivered_after_a_backup_are_marked_when_they_are_sent_again() {
    let deployment = Deployment::new().await;
    deployment.savio_answers(503).await;
    let relay = deployment.start(&[]);
    for text in ["one", "two", "three"] {
        post(&relay, text).await;
    }

    let backup = run(deployment.folder.path(), &["backup", "backup.db"]);
    let shown = String::from_utf8(backup.stdout).unwrap();
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    for part in
        ["backup.db: ", "events: 3: 3 queued", "rm -f relay.db-wal relay.db-shm", "serve --hold"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    deployment.savio_answers(201).await;
    until(|| deployment.events("delivered").len() == 3).await;
    assert!(relay.stop().success());
    deployment.restore("backup.db");

    let relay = deployment.start(&[]);
    let said = "3 queued events in it may have been sent since, and are sent now";
    assert!(relay.startup_output.contains(said), "{}", relay.startup_output);
    until(|| deployment.events("delivered").len() == 3).await;
    for event in deployment.events("delivered") {
        let event = deployment.event(&event);
        let attempts = event["history"].as_array().unwrap();
        assert_eq!(attempts.last().unwrap()["may_repeat"], true, "{event}");
    }
    assert!(relay.stop().success());
    let relay = deployment.start(&[]);
    assert!(!relay.startup_output.contains("backup"), "only once: {}", relay.startup_output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_events_are_held_by_serve_hold() {
    let deployment = Deployment::new().await;
    deployment.savio_answers(503).await;
    let relay = deployment.start(&[]);
    post(&relay, "one").await;
    assert!(run(deployment.folder.path(), &["backup", "backup.db"]).status.success());
    assert!(relay.stop().success());
    deployment.restore("backup.db");
    deployment.savio_answers(201).await;

    let relay = deployment.start(&["--hold"]);

    assert!(relay.startup_output.contains("is held until a person"), "{}", relay.startup_output);
    post(&relay, "new").await;
    until(|| deployment.events("delivered").len() == 1).await;
    assert_eq!(deployment.events("held").len(), 1);
    assert!(relay.stop().success());
    let relay = deployment.start(&["--hold"]);
    assert!(relay.startup_output.contains("nothing was held"), "{}", relay.startup_output);
}

#[test]
fn refused_backup_says_why_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let output = run(folder.path(), arguments);
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && shown.contains(expected), "{shown}");
    };
    check(&["backup", "b.db"], 1, "there is no store at relay.db");
    assert!(!folder.path().join("relay.db").exists());
    Relay::start(folder.path(), &[]).stop();

    fs::write(folder.path().join("taken.db"), "").unwrap();
    check(&["backup", "taken.db"], 1, "exists already, and a backup overwrites nothing");
    check(&["backup", "none/b.db"], 3, "the folder none does not exist");
    check(&["backup", "."], 3, "it is a folder, not a file");
    check(&["backup", "relay.db-journal"], 1, "the store itself uses");
}

#[test]
fn interrupted_backup_command_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    Relay::start(folder.path(), &[]).stop();
    // Large enough that the backup takes a second.
    let file = rusqlite::Connection::open(folder.path().join("relay.db")).unwrap();
    let sql = "INSERT INTO webhooks (source, received_at, headers, body)
               SELECT 'form', 0, '{}', zeroblob(1048576) FROM (WITH RECURSIVE n(i) AS
                   (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 64) SELECT i FROM n)";
    file.execute(sql, []).unwrap();
    drop(file);

    for signal in ["-INT", "-TERM"] {
        let mut backup = program(folder.path()).args(["backup", "b.db"]).spawn().unwrap();
        while !folder.path().join("b.db.partial").exists() {
            assert!(backup.try_wait().unwrap().is_none(), "it takes its time");
            std::thread::yield_now();
        }
        let id = backup.id().to_string();
        std::process::Command::new("kill").args([signal, &id]).status().unwrap();
        assert_eq!(backup.wait().unwrap().code(), Some(3));
        let left = fs::read_dir(folder.path()).unwrap();
        let left: Vec<_> = left.map(|it| it.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("b.db")), "{left:?}");
    }
}
