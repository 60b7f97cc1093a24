//! `diff`, `mappings history` and `try --event`: a change is seen before it is saved, and taken back.

use std::fs;
use std::process::{Command, Output, Stdio};

use savio_relay::event::{EventId, MappingDigest};
use savio_relay::store::sqlite::{Settings, Sqlite};
use savio_relay::store::{Inbox, NewEvent, Webhook};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, http, program};
use crate::support::store::{at, webhook};
use crate::support::wait::until;

const MAPPING: &str = "provider = \"form\"\nsecrets = [\"env:FORM_SECRET\"]\n\n[[feedback]]\n\
                       problem = \"$.text\"\nperson_email = [\"$.email\", \"$.mail\"]\r\n";

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mappings")).unwrap();
        let place = Place(folder);
        place.write("mappings/form.toml", MAPPING);
        place.write("new.toml", &losing());
        place
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.0.path().join(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join(path)).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        program(self.0.path()).args(arguments).output().expect("the program runs")
    }

    /// Runs a command, and returns what it prints.
    #[track_caller]
    fn says(&self, arguments: &[&str], status: i32) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str], status: i32) -> Value {
        let said = self.says(&[arguments, &["--json"]].concat(), status);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    fn start(&self, savio: &MockServer) -> Relay {
        let savio = format!("{}/app/api/", savio.uri());
        let variables = [
            ("FORM_SECRET", "secret"),
            ("SAVIO_API_TOKEN", "token"),
            ("SAVIO_RELAY_SAVIO__BASE_URL", savio.as_str()),
        ];
        Relay::start(self.0.path(), &variables)
    }

    /// Stores events without a relay, one for each payload.
    async fn store(&self, payloads: &[Value]) -> Vec<EventId> {
        let store = Sqlite::open(&Settings::new(self.0.path().join("relay.db"))).unwrap();
        let mut ids = Vec::new();
        for (second, payload) in (0..).zip(payloads) {
            let body = payload.to_string().into_bytes();
            let event = NewEvent {
                id: EventId::new(at(second)),
                event_type: None,
                delivery_id: None,
                payload: 0..body.len(),
            };
            let webhook = Webhook { body, events: vec![event], ..webhook(at(second)) };
            ids.extend(store.store(webhook).await.unwrap().events);
        }
        store.close().await;
        ids
    }
}

/// The mapping, which finds an address of one of two keys only.
fn losing() -> String {
    MAPPING.replace("[\"$.email\", \"$.mail\"]", "\"$.email\"")
}

async fn savio() -> MockServer {
    let savio = MockServer::start().await;
    let created = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
    Mock::given(method("POST")).respond_with(created).mount(&savio).await;
    savio
}

async fn post(relay: &Relay, payload: &Value) -> String {
    let url = format!("{}/hooks/form", relay.url);
    let sent = http().post(url).header("x-relay-token", "secret").json(payload).send().await;
    let answer: Value = sent.unwrap().json().await.unwrap();
    answer["events"][0].as_str().expect("it is accepted").to_owned()
}

/// Checks what `diff` says of the mapping that loses the field in 12 of 200 events.
fn check_what_would_change(place: &Place) {
    let report = place.json(&["diff", "form", "new.toml"], 4);
    let said = place.says(&["diff", "form", "new.toml"], 4);

    let counts = ["compared", "same", "changed", "newly_dead"].map(|name| report[name].clone());
    assert_eq!(counts, [json!(200), json!(188), json!(12), json!(0)]);
    assert_eq!(report["events"].as_array().unwrap().len(), 12);
    let digest = MappingDigest::of(MAPPING);
    let head =
        format!("200 events: 12 changed, 188 the same, compared with version {}", digest.short());
    assert!(said.starts_with(&head), "{said}");
    assert_eq!(
        said.matches("  feedback[0].person_email\n    was  ada@example.com\n    now  -\n").count(),
        12
    );
    place.write("same.toml", &format!("# The same.\n{MAPPING}"));
    let same = place.says(&["diff", "form", "same.toml", "--limit", "10"], 0);
    assert!(same.starts_with("10 events: 10 the same, compared with"), "{same}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_is_seen_before_it_is_saved_and_taken_back_from_the_history() {
    let (place, savio) = (Place::new(), savio().await);
    let relay = place.start(&savio);
    for number in 0..200 {
        let key = if number % 17 == 3 { "mail" } else { "email" };
        post(&relay, &json!({ "text": "Slow", key: "ada@example.com" })).await;
    }

    check_what_would_change(&place);

    // It is saved all the same, and the next event says by what it was mapped.
    place.write("mappings/form.toml", &losing());
    until(|| {
        let history = place.json(&["mappings", "history", "form"], 0);
        history["versions"].as_array().unwrap().len() == 2
    })
    .await;
    let id = post(&relay, &json!({ "text": "Slow", "mail": "ada@example.com" })).await;
    until(|| place.json(&["events", "show", &id], 0)["state"] == "delivered").await;
    let event = place.json(&["events", "show", &id], 0);
    let (digest, new) = (MappingDigest::of(MAPPING), MappingDigest::of(&losing()));
    assert_eq!(event["mapping"]["digest"], new.to_string());
    assert_eq!(event["requests"][0]["body"], json!({ "problem": "Slow" }));
    let shown = place.says(&["events", "show", &id], 0);
    assert!(shown.contains(&format!("version {} of its mapping file", new.short())), "{shown}");

    // The history has both, and gives back what was there, byte for byte.
    let history = place.says(&["mappings", "history", "form"], 0);
    let lines: Vec<&str> = history.lines().collect();
    assert!(
        lines[1].contains(&new.short()) && lines[1].ends_with("1       the file  in service"),
        "{history}"
    );
    assert!(
        lines[2].contains(&digest.short()) && lines[2].ends_with("200     the file"),
        "{history}"
    );
    let file = fs::File::create(place.0.path().join("mappings/form.toml")).unwrap();
    let mut show = program(place.0.path());
    show.args(["mappings", "history", "form", "--show", &digest.short()]);
    assert!(show.stdout(Stdio::from(file)).status().unwrap().success());
    assert_eq!(place.read("mappings/form.toml"), MAPPING);
    until(|| {
        let history = place.json(&["mappings", "history", "form"], 0);
        history["versions"][0]["digest"] == digest.to_string()
    })
    .await;

    // With the field back, the last event would have it.
    let mapped = place.says(&["try", "form", "--event", &id, "--json"], 0);
    let mapped: Value = serde_json::from_str(&mapped).unwrap();
    assert_eq!(mapped[0]["body"]["person_email"], "ada@example.com");
    let back = place.json(&["diff", "form", "new.toml", "--limit", "1"], 4);
    assert_eq!(back["events"][0]["event"]["id"], id);
}

#[tokio::test]
async fn stored_events_are_compared_without_a_relay() {
    let place = Place::new();
    let payloads = [
        json!({ "text": "a", "mail": "ada@example.com" }),
        json!({ "text": "b\u{1b}[2J", "email": "ada@example.com" }),
        json!({ "text": "" }),
    ];
    let ids = place.store(&payloads).await;
    let newest = &place.json(&["diff", "form", "new.toml", "--limit", "2"], 0);
    assert_eq!((&newest["compared"], &newest["same"]), (&json!(2), &json!(2)));

    let said = place.says(&["diff", "form", "new.toml"], 4);
    let expected = "3 events: 1 changed, 2 the same, compared with the file of this configuration, \
                    which no relay has had in service\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("\n  feedback[0].person_email: gone in 1\n"), "{said}");
    assert!(
        said.contains(&format!("event {}, received 2027-01-15 08:00:00Z: changed", ids[0])),
        "{said}"
    );

    let blocks =
        losing().replace("secrets", "events = [\"a\"]\nsecrets").replace("$.text", "$.texts");
    place.write("new.toml", &blocks);
    let said = place.says(&["diff", "form", "new.toml", "--since", "2027-01-01"], 4);
    assert!(said.contains("3 events: 2 newly dead, 1 the same"), "{said}");
    assert!(said.contains("\nnot compared: events. They differ, and act when"), "{said}");
    assert!(said.contains("  now: feedback[0].problem: it is empty\n"), "{said}");
    assert!(!said.contains("    was  "), "the reason says all: {said}");
    let none = place.says(&["diff", "form", "new.toml", "--state", "dead"], 0);
    assert!(none.starts_with("no event to compare, compared with"), "{none}");
    let compared = |condition: &[&str]| {
        let report = place.json(&[&["diff", "form", "mappings/form.toml"], condition].concat(), 0);
        report["compared"].as_u64().unwrap()
    };
    for (condition, expected) in [
        (&["--state", "queued,dead"][..], 3),
        (&["--type", "other"], 0),
        (&["--stage", "savio"], 0),
        (&["--attempts-min", "1"], 0),
        (&["--may-repeat"], 0),
        (&["--imported"], 0),
        (&["--contains", "ADA"], 2),
    ] {
        assert_eq!(compared(condition), expected, "{condition:?}");
    }
}

#[tokio::test]
async fn new_file_may_have_any_name_and_its_mistakes_are_shown() {
    let place = Place::new();
    place.store(&[json!({ "text": "a" })]).await;
    let mut diff: Command = program(place.0.path());
    let from_stdin = diff
        .args(["diff", "form", "-"])
        .stdin(fs::File::open(place.0.path().join("new.toml")).unwrap());
    assert!(from_stdin.output().unwrap().status.success());
    fs::rename(place.0.path().join("new.toml"), place.0.path().join("New (2).toml")).unwrap();
    place.says(&["diff", "form", "New (2).toml"], 0);

    place.write("new.toml", &MAPPING.replace("problem", "problm"));
    let output = place.run(&["diff", "form", "new.toml"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("new.toml:") && error.contains("problm"), "{error}");

    let unknown = place.run(&["diff", "fromm", "new.toml"]);
    assert_eq!(unknown.status.code(), Some(1));
    for wrong in [
        &["diff", "form", "new.toml", "--limit", "0"][..],
        &["diff", "form", "new.toml", "--limit", "10001"],
        &["diff", "form"],
    ] {
        assert_eq!(place.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn history_of_nothing_and_of_an_unknown_digest_is_told() {
    let place = Place::new();
    let ids = place.store(&[json!({ "text": "a" })]).await;

    let none = place.says(&["mappings", "history", "form"], 0);
    assert!(none.starts_with("no version of form is stored"), "{none}");
    for (arguments, reason) in [
        (&["mappings", "history", "fromm"][..], "no source `fromm`; "),
        (&["mappings", "history", "form", "--show", "3f2a"], "with the digest 3f2a is stored"),
    ] {
        let output = place.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(reason), "{error}");
    }

    let id = ids[0].to_string();
    let mapped = place.says(&["try", "new.toml", "--event", &id, "--explain"], 0);
    assert!(mapped.starts_with("feedback\n  problem  a\n"), "{mapped}");
    let other = place.says(&["try", "typeform", "--event", &id], 0);
    assert!(other.contains("note: the event is of the source form"), "{other}");
    assert_eq!(place.run(&["try", "form"]).status.code(), Some(2));
    assert_eq!(place.run(&["try", "form", "x.json", "--event", &id]).status.code(), Some(2));
}
