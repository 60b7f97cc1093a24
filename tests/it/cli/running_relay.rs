//! Commands that speak with the running relay: `destinations`, `sources`, and what queued events
//! wait for.

use std::net::TcpListener;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{FORM_MAPPING, Relay, http, program};
use crate::support::wait::until;

/// A folder with one source, and the addresses of its relay and its Savio.
struct Place {
    folder: TempDir,
    admin: String,
    savio: String,
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl Place {
    /// Nobody listens at `savio` unless a test starts a server there.
    fn new(savio: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mappings")).unwrap();
        std::fs::write(folder.path().join("mappings/form.toml"), FORM_MAPPING).unwrap();
        let config = "mappings = \"mappings\"\n";
        std::fs::write(folder.path().join("relay.toml"), config).unwrap();
        Place { folder, admin: free_address(), savio: format!("{savio}/app/api/") }
    }

    fn variables(&self) -> [(&str, &str); 4] {
        [
            ("FORM_SECRET", "secret"),
            ("SAVIO_API_TOKEN", "token"),
            ("SAVIO_RELAY_SAVIO__BASE_URL", self.savio.as_str()),
            ("SAVIO_RELAY_SERVER__ADMIN_LISTEN", self.admin.as_str()),
        ]
    }

    fn relay(&self) -> Relay {
        Relay::start(self.folder.path(), &self.variables())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = program(self.folder.path());
        command.args(arguments).envs(self.variables()).output().expect("the program runs")
    }

    /// Runs the command and returns its exit code, standard output and standard error.
    fn output(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.run(arguments);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (code, stdout, stderr) = self.output(&[arguments, &["--json"]].concat());
        assert_eq!(code, Some(0), "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }

    fn destination(&self) -> Value {
        self.json(&["destinations", "list"])["destinations"][0].clone()
    }
}

async fn post(relay: &Relay, text: &str) -> String {
    let sent = http()
        .post(format!("{}/hooks/form", relay.url))
        .header("x-relay-token", "secret")
        .json(&json!({ "text": text }))
        .send()
        .await;
    let answer: Value = sent.unwrap().json().await.unwrap();
    answer["events"][0].as_str().expect("it is accepted").to_owned()
}

async fn answers(savio: &MockServer, status: u16) {
    savio.reset().await;
    let created = ResponseTemplate::new(status).set_body_json(json!({ "id": 7 }));
    Mock::given(method("POST")).respond_with(created).mount(savio).await;
    let page = ResponseTemplate::new(if status == 201 { 200 } else { status });
    let page = page.set_body_json(json!({ "results": [] }));
    Mock::given(method("GET")).respond_with(page).mount(savio).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_webhooks_are_listed_with_and_without_a_relay() {
    let savio = MockServer::start().await;
    let place = Place::new(&savio.uri());
    let relay = place.relay();
    let url = format!("{}/hooks/form", relay.url);
    let refuse = async |token: &str| {
        let wrong = http().post(&url).header("x-relay-token", token).json(&json!({}));
        assert_eq!(wrong.send().await.unwrap().status(), 401);
    };
    refuse("Secret").await;
    let listed = |list: &Value| list["rejected"][0]["error"].clone();
    until(|| listed(&place.json(&["rejected", "--source", "form"])) == "signature wrong").await;

    refuse("secrets").await;
    assert!(relay.stop().success());

    let count = |list: &Value| {
        list["rejected"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["count"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(
        count(&place.json(&["rejected", "--source", "form"])),
        2,
        "the stop writes the last"
    );
    let (code, table, _) = place.output(&["rejected", "--since", "1h"]);
    assert_eq!(code, Some(0));
    assert!(table.contains("the signature is wrong"), "{table}");
    assert_eq!(place.json(&["rejected", "--source", "other"])["rejected"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable_savio_is_told_with_what_waits_and_the_next_try() {
    let place = Place::new(&format!("http://{}", free_address()));
    let relay = place.relay();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(post(&relay, &format!("It is slow {number}")).await);
    }
    let down = format!("Savio ({}) cannot be reached: connection refused", place.savio);
    until(|| place.destination()["backoff_until"].is_string()).await;

    let (code, listed, errors) = place.output(&["destinations", "list"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(listed.contains(&format!("default: {down}; 5 events wait, next try at ")), "{listed}");
    let (_, events, _) = place.output(&["events", "list"]);
    assert!(events.contains(&format!("{down}, next try at ")), "{events}");
    let shown = place.json(&["events", "show", &ids[0]]);
    assert_eq!(shown["waiting_for"]["kind"], "backoff");
    assert_eq!(shown["waiting_for"]["reason"], down.as_str());
    assert!(shown["waiting_for"]["until"].is_string(), "{shown}");
    assert_eq!(shown["history"][0]["detail"], down.as_str());
    let log = relay.log_at_stop();
    assert!(log.contains(&format!("{down}; 5 events wait, next try at ")), "{log}");
    assert!(!log.contains("os error"), "a library's words alone: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_resumes_at_once_what_an_answer_paused() {
    let savio = MockServer::start().await;
    let place = Place::new(&savio.uri());
    answers(&savio, 401).await;
    let relay = place.relay();
    let id = post(&relay, "It is slow").await;
    until(|| place.destination()["paused_by"] == "answer").await;

    let waits = place.json(&["events", "show", &id])["waiting_for"].clone();
    assert_eq!(waits["kind"], "paused_by_answer");
    let refused = "delivery is paused: Savio answered 401 (the token is not accepted)";
    assert_eq!(waits["reason"], refused);
    let (code, probed, _) = place.output(&["destinations", "probe"]);
    assert_eq!(code, Some(1), "{probed}");
    assert!(probed.contains("Savio answered 401 (the token is not accepted)"), "{probed}");

    // As after the token was made valid again at Savio.
    answers(&savio, 201).await;
    let (code, probed, _) = place.output(&["destinations", "probe", "default"]);
    assert_eq!(code, Some(0), "{probed}");
    let works = "default: Savio answers and accepts the token; requests are sent again\n";
    assert_eq!(probed, works);
    // The relay itself would ask again after a minute only.
    until(|| place.json(&["events", "show", &id])["state"] == "delivered").await;
    drop(relay);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_ends_no_pause_of_a_person() {
    let savio = MockServer::start().await;
    let place = Place::new(&savio.uri());
    answers(&savio, 201).await;
    let _relay = place.relay();

    let (_, paused, _) = place.output(&["destinations", "pause"]);
    let told = "default: delivery is paused by a person; 0 events wait until `savio-relay \
                destinations resume default`\n";
    assert_eq!(paused, told);
    let probed = place.json(&["destinations", "probe"]);
    assert_eq!((&probed["works"], &probed["resumed"]), (&json!(true), &json!(false)));
    assert_eq!(probed["destination"]["paused_by"], "person");

    let (code, resumed, _) = place.output(&["destinations", "resume", "default"]);
    assert_eq!(code, Some(0), "{resumed}");
    assert_eq!(resumed, format!("default: requests are sent to {}\n", place.savio));
    assert_eq!(place.destination()["paused"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_source_keeps_its_events_until_it_is_resumed() {
    let savio = MockServer::start().await;
    let place = Place::new(&savio.uri());
    answers(&savio, 201).await;
    let relay = place.relay();

    let (code, paused, errors) = place.output(&["sources", "pause", "form"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(paused.starts_with("form is paused: its webhooks are accepted"), "{paused}");
    let id = post(&relay, "It is slow").await;
    let waits = place.json(&["events", "show", &id])["waiting_for"].clone();
    assert_eq!((&waits["kind"], &waits["until"]), (&json!("source_paused"), &Value::Null));
    let (_, listed, _) = place.output(&["sources", "list"]);
    assert!(listed.contains("form: a person paused the source form"), "{listed}");

    let (_, resumed, _) = place.output(&["sources", "resume", "form"]);
    assert!(resumed.starts_with("form is delivered again"), "{resumed}");
    until(|| place.json(&["events", "show", &id])["state"] == "delivered").await;
    let (code, _, errors) = place.output(&["sources", "pause", "from"]);
    assert_eq!(
        (code, errors.as_str()),
        (Some(1), "savio-relay: no source `from`; did you mean form?\n")
    );
    let (code, _, errors) = place.output(&["destinations", "pause", "defualt"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("no destination `defualt`; did you mean default?"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_relay_the_store_is_listed_and_nothing_is_changed() {
    let place = Place::new(&format!("http://{}", free_address()));
    let relay = place.relay();
    post(&relay, "It is slow").await;
    assert!(relay.stop().success());

    let (code, listed, errors) = place.output(&["destinations", "list"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(listed.contains("1 event waits") || listed.contains("requests are sent"), "{listed}");
    let not_running = format!("no relay is running at http://{}/", place.admin);
    assert!(errors.contains(&not_running), "{errors}");
    let sources = place.json(&["sources", "list"]);
    let form = sources["sources"].as_array().unwrap().iter().find(|it| it["name"] == "form");
    assert_eq!(form.unwrap()["queued"], 1, "{sources}");
    for arguments in [["destinations", "pause"], ["destinations", "probe"]] {
        let (code, _, errors) = place.output(&arguments);
        assert_eq!(code, Some(3), "{errors}");
        assert!(errors.contains(&not_running) && errors.contains("Without a relay"), "{errors}");
    }
}

#[test]
fn missing_relay_is_told_before_a_missing_token() {
    let place = Place::new(&format!("http://{}", free_address()));

    for arguments in [&["destinations", "pause"][..], &["sources", "pause", "form"]] {
        let (code, _, errors) = place.output(arguments);
        assert_eq!(code, Some(3), "{errors}");
        assert!(errors.contains("no relay is running at"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_of_another_relay_is_told() {
    let place = Place::new(&format!("http://{}", free_address()));
    let _relay = place.relay();
    std::fs::write(place.folder.path().join("admin-token"), "another\n").unwrap();

    let (code, _, errors) = place.output(&["destinations", "resume"]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("does not accept the admin token of admin-token"), "{errors}");
    std::fs::remove_file(place.folder.path().join("admin-token")).unwrap();
    let (_, _, errors) = place.output(&["destinations", "resume"]);
    assert!(errors.contains("ADMIN_TOKEN is not set, and there is no admin-token"), "{errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edited_payload_is_sent_as_a_copy() {
    let savio = MockServer::start().await;
    answers(&savio, 400).await;
    let place = Place::new(&savio.uri());
    let relay = place.relay();
    let id = post(&relay, "It is slow").await;
    until(|| place.json(&["events", "show", &id])["state"] == "dead").await;
    answers(&savio, 201).await;
    let file = place.folder.path().join("payload.json");
    std::fs::write(&file, r#"{ "text": "It is quick" }"#).unwrap();

    let copied = place.json(&["events", "copy", &id, file.to_str().unwrap()]);

    let copy = copied["id"].as_str().unwrap();
    until(|| place.json(&["events", "show", copy])["state"] == "delivered").await;
    let event = place.json(&["events", "show", copy]);
    assert_eq!((&event["copy_of"], &event["payload"]["text"]), (&json!(id), &json!("It is quick")));
    let (_, listed, _) = place.output(&["events", "list"]);
    assert!(listed.contains(&format!("copy of {id}")), "{listed}");
    let audited = &place.json(&["audit", "--action", "copy"])["entries"][0];
    assert_eq!((&audited["via"], &audited["on"]), (&json!("cli"), &json!(format!("event {id}"))));
    std::fs::write(&file, "{ \"text\": }").unwrap();
    let (code, _, said) = place.output(&["events", "copy", &id, file.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(relay.stop().success());
    std::fs::write(&file, "{}").unwrap();
    let (code, _, said) = place.output(&["events", "copy", &id, file.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    assert!(said.contains("A copy is accepted by the relay"), "{said}");
}
