//! `events` and `dead`, run beside a running relay.

mod erased;
mod ids;
mod replays;
mod tail;

use std::path::Path;
use std::process::Output;
use std::sync::Arc;

use rusqlite::Connection;
use savio_relay::event::{EventId, State};
use savio_relay::store::sqlite::Settings;
use savio_relay::store::{Inbox, NewEvent, Queue, Sqlite, Webhook};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{FORM_MAPPING, Relay, http, program};
use crate::support::store::{at, claim, settle, step, store_one, webhook};
use crate::support::wait::until;

/// A folder in which the relay can start, and a Savio with these responses, the last of them for
/// ever.
struct Place {
    folder: TempDir,
    savio: MockServer,
}

impl Place {
    async fn new(answers: &[u16]) -> Place {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mappings")).unwrap();
        std::fs::write(folder.path().join("mappings/form.toml"), FORM_MAPPING).unwrap();
        let savio = MockServer::start().await;
        let (last, before) = answers.split_last().unwrap();
        let mock = |status: &u16| {
            let answer = ResponseTemplate::new(*status).set_body_json(json!({ "id": 7 }));
            Mock::given(method("POST")).respond_with(answer)
        };
        for status in before {
            mock(status).up_to_n_times(1).mount(&savio).await;
        }
        mock(last).mount(&savio).await;
        Place { folder, savio }
    }

    fn relay(&self) -> Relay {
        let savio = format!("{}/app/api/", self.savio.uri());
        let variables = [
            ("FORM_SECRET", "secret"),
            ("SAVIO_API_TOKEN", "token"),
            ("SAVIO_RELAY_SAVIO__BASE_URL", savio.as_str()),
        ];
        Relay::start(self.folder.path(), &variables)
    }

    fn store(&self) -> Arc<Sqlite> {
        let settings = Settings::new(self.folder.path().join("relay.db"));
        Arc::new(Sqlite::open(&settings).unwrap())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(self.folder.path(), arguments)
    }

    /// Runs the command with `--json` and returns what it prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn event(&self, id: &str) -> Value {
        self.json(&["events", "show", id])
    }

    async fn until(&self, id: &str, state: &str) -> Value {
        until(|| self.event(id)["state"] == state).await;
        self.event(id)
    }

    async fn savio_got(&self) -> usize {
        self.savio.received_requests().await.unwrap().len()
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().expect("the program runs")
}

async fn post(relay: &Relay, payload: Value) -> String {
    let sent = http()
        .post(format!("{}/hooks/form", relay.url))
        .header("x-relay-token", "secret")
        .json(&payload)
        .send()
        .await;
    let answer: Value = sent.unwrap().json().await.unwrap();
    answer["events"][0].as_str().expect("it is accepted").to_owned()
}

/// Stores events of `form` that are settled in this state.
async fn settled(store: &Arc<Sqlite>, state: State, count: usize) -> Vec<EventId> {
    let template = webhook(at(0));
    let event = |_| NewEvent { id: EventId::new(at(0)), ..template.events[0].clone() };
    let events = (0..count).map(event).collect();
    let kept = store.store(Webhook { events, ..template.clone() }).await.unwrap();
    let mut settling = JoinSet::new();
    for claimed in claim(&**store, at(0), count).await {
        let store = Arc::clone(store);
        settling.spawn(async move { store.advance(claimed.claim, step(settle(state))).await });
    }
    assert!(settling.join_all().await.iter().all(Result::is_ok));
    kept.events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_event_is_replayed_beside_a_running_relay() {
    let place = Place::new(&[400, 201]).await;
    let relay = place.relay();
    let id = post(&relay, json!({ "text": "It is slow" })).await;
    place.until(&id, "dead").await;

    let listed = place.json(&["dead", "list", "--source", "form", "--since", "1h"]);
    let ordered = place.json(&["dead", "replay"]);
    // Within a minute only a notice of the change can wake the relay.
    let event = place.until(&id, "delivered").await;

    assert_eq!(listed["events"][0]["id"], id.as_str());
    assert_eq!((&ordered["matched"], &ordered["replayed"]), (&json!(1), &json!(1)));
    assert_eq!(event["history"][1]["replay"], true);
    assert_eq!(place.savio_got().await, 2);
    assert!(relay.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_event_is_released_beside_a_running_relay() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    let ids = settled(&store, State::Held, 1).await;
    drop(store);
    let (_relay, id) = (place.relay(), ids[0].to_string());

    let output = place.run(&["events", "release", &id, "--again"]);

    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("event {id} is queued\n"));
    place.until(&id, "delivered").await;
    assert_eq!(place.savio_got().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_filter_alone_selects_events_to_replay() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    settled(&store, State::Dead, 3).await;
    drop(store);

    for (filter, matched) in [
        (&["--left-out"][..], 0),
        (&["--state", "dead"], 3),
        (&["--source", "form"], 3),
        (&["--destination", "default"], 3),
        (&["--since", "2000-01-01"], 3),
        (&["--until", "2000-01-01"], 0),
        (&["--q", "no such text"], 0),
    ] {
        let counted = place.json(&[&["events", "replay", "--dry-run"], filter].concat());
        assert_eq!(counted["matched"], json!(matched), "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_counted_by_state() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    settled(&store, State::Delivered, 3).await;
    settled(&store, State::Dead, 1).await;
    drop(store);
    let text = |arguments: &[&str]| String::from_utf8(place.run(arguments).stdout).unwrap();

    assert_eq!(text(&["events", "count"]), "4 events: 3 delivered, 1 dead\n");
    assert_eq!(text(&["events", "count", "--state", "dead"]), "1 event: 1 dead\n");
    assert_eq!(text(&["events", "count", "--state", "held"]), "no event matches\n");
    let counts = place.json(&["events", "count", "--source", "form"]);
    let events = json!({ "queued": 0, "delivered": 3, "ignored": 0, "held": 0, "dead": 1 });
    assert_eq!(counts, json!({ "events": events, "at_least": false }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_says_what_it_did_and_what_it_will_do() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    settled(&store, State::Dead, 2).await;
    store_one(&*store, webhook(at(9))).await;
    drop(store);
    let text = |arguments: &[&str]| String::from_utf8(place.run(arguments).stdout).unwrap();

    let replay = ["events", "replay", "--source", "form"];
    let counted = text(&[&replay[..], &["--dry-run"]].concat());
    assert_eq!(counted, "2 would be replayed, 1 queued already\n2 would be sent\n");
    let slow = text(&["dead", "replay", "--rate", "1/h"]);
    assert!(slow.starts_with("2 will be replayed\n"), "{slow}");
    assert_eq!(text(&["dead", "replay", "--dry-run"]), "0 would be replayed\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_that_changes_records_names_each_once() {
    let place = Place::new(&[201]).await;
    let mapping = FORM_MAPPING.to_owned()
        + "[[company]]\nwhen = \"@.company\"\ninternal_id = \"$.company\"\nname = \"$.company\"\n";
    let mapping = mapping.replace("[[feedback]]", "[[feedback]]\nwhen = \"@.text\"");
    std::fs::write(place.folder.path().join("mappings/form.toml"), mapping).unwrap();
    let relay = place.relay();
    let id = post(&relay, json!({ "company": "Example Bakeries" })).await;
    place.until(&id, "delivered").await;

    let listed = String::from_utf8(place.run(&["events", "list"]).stdout).unwrap();

    assert!(listed.contains("creates or updates company Example Bakeries"), "{listed}");
    assert_eq!(listed.matches("Example Bakeries").count(), 1, "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_has_a_rate_and_can_be_canceled() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    settled(&store, State::Dead, 3).await;
    store_one(&*store, webhook(at(0))).await;
    drop(store);

    let counted = place.json(&["events", "replay", "--source", "form", "--dry-run"]);
    let replay = place.json(&["events", "replay", "--source", "form", "--rate", "1/h"]);
    let id = replay["replay_id"].as_str().unwrap();
    let progress = place.json(&["events", "replay", "--progress", id]);
    let canceled = place.json(&["events", "replay", "--cancel", id]);

    assert_eq!((&counted["matched"], &counted["queued"]), (&json!(4), &json!(1)));
    assert_eq!((&replay["matched"], &replay["replayed"]), (&json!(4), &json!(3)));
    assert_eq!((&progress["waiting"], &progress["canceled"]), (&json!(3), &json!(false)));
    assert_eq!((&canceled["given_back"], &canceled["done"]), (&json!(3), &json!(true)));
    let dead = place.json(&["dead", "list"]);
    assert_eq!(dead["events"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_is_shown_with_all_details() {
    let place = Place::new(&[201]).await;
    let relay = place.relay();
    let id = post(&relay, json!({ "text": "It is slow" })).await;

    let event = place.until(&id, "delivered").await;
    let shown = String::from_utf8(place.run(&["events", "show", &id]).stdout).unwrap();

    assert_eq!(event["payload"], json!({ "text": "It is slow" }));
    assert_eq!(event["headers"]["x-relay-token"], "*");
    assert_eq!(event["requests"][0]["body"], json!({ "problem": "It is slow" }));
    assert_eq!(event["requests"][0]["savio_id"], 7);
    assert_eq!(
        (&event["history"][0]["outcome"], &event["history"][0]["status"]),
        (&json!("done"), &json!(201))
    );
    for part in ["state     delivered", "feedback: done, Savio's id 7", "done 201", "\"text\""] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_continues_at_its_cursor() {
    let place = Place::new(&[201]).await;
    let ids = settled(&place.store(), State::Dead, 5).await;

    let first = place.json(&["events", "list", "--limit", "3"]);
    let next = first["next"].as_str().unwrap();
    let last = place.json(&["events", "list", "--limit", "3", "--after", next]);

    let listed = [&first, &last].map(|page| page["events"].as_array().unwrap().clone()).concat();
    let listed: Vec<&str> = listed.iter().map(|line| line["id"].as_str().unwrap()).collect();
    let newest_first: Vec<String> = ids.iter().rev().map(EventId::to_string).collect();
    assert_eq!(listed, newest_first);
    assert_eq!(last["next"], Value::Null);
    let table = String::from_utf8(place.run(&["events", "list"]).stdout).unwrap();
    assert_eq!(table.lines().count(), 6, "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_command_says_why_and_sets_the_exit_code() {
    let place = Place::new(&[201]).await;
    let check = |arguments: &[&str], code, message: &str| {
        let output = place.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(message), "{errors}");
    };
    check(&["events", "list"], 1, "there is no store relay.db in ");
    assert!(!place.folder.path().join("relay.db").exists());
    let id = settled(&place.store(), State::Dead, 1).await[0].to_string();
    let unknown = EventId::new(at(0)).to_string();

    check(&["events", "show", &unknown], 1, "there is no event");
    check(&["events", "replay", &id, &unknown], 1, "there is no event");
    check(&["events", "replay", "--cancel", &unknown], 1, "there is no replay");
    check(&["events", "release", &id, "--arrived"], 1, "is dead: only what is held");
    check(&["events", "replay"], 2, "--state");
    check(&["events", "release", &id], 2, "--arrived|--again");
    check(&["events", "show", "7"], 2, "invalid value");
    check(&["events", "list", "--state", "lost"], 2, "queued, delivered, ignored");
    check(&["events", "list", "--since", "soon"], 2, "2026-01-31");
    check(&["events", "replay", &id, "--rate", "0/s"], 2, "more than 0");
    std::fs::write(place.folder.path().join("relay.db"), "no database".repeat(99)).unwrap();
    check(&["events", "list"], 3, "relay.db");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_read_need_no_write_lock() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    let id = settled(&store, State::Dead, 1).await[0].to_string();
    drop(store);
    let replay = place.json(&["events", "replay", &id, "--rate", "1/h"]);
    let replay = replay["replay_id"].as_str().unwrap();
    let other = Connection::open(place.folder.path().join("relay.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    for arguments in [
        &["events", "list"][..],
        &["events", "show", &id],
        &["dead", "list"],
        &["events", "replay", "--dry-run", &id],
        &["events", "replay", "--progress", replay],
    ] {
        let output = place.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    }
    let doctor = String::from_utf8(place.run(&["doctor"]).stdout).unwrap();
    assert!(doctor.contains("1 queued"), "{doctor}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_are_accepted_during_a_replay() {
    let place = Place::new(&[201]).await;
    let store = place.store();
    settled(&store, State::Dead, 500).await;
    drop(store);
    let relay = place.relay();
    let folder = place.folder.path().to_owned();

    let replaying = std::thread::spawn(move || run(&folder, &["dead", "replay", "--rate", "1/h"]));
    let mut posted = 0;
    while !replaying.is_finished() {
        post(&relay, json!({ "text": posted.to_string() })).await;
        posted += 1;
    }

    let output = replaying.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(posted > 0);
}
