//! Promises 1 and 3: kill -9 under load loses no event, and possible repeats are marked.

mod locked;
mod poison;
mod stop;

use crate::support::savio::{Arrived, start_savio};
use crate::support::wait::{until, until_async};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http::StatusCode;
use reqwest::{Client, Response};
use savio_relay::event::{EventId, State as EventState};
use savio_relay::store::sqlite::Settings;
use savio_relay::store::{Archive, Sqlite};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::half_hours::{self, Totals};
use crate::support::relay::{Relay, SECRET, http, typeform_signature};

const CONNECTIONS: usize = 16;
const ACCEPTED_BETWEEN_KILLS: usize = 60;

/// Number of kills, unless the variable KILLS sets it: the long form is `KILLS=100`.
const KILLS: usize = 20;

#[expect(clippy::disallowed_methods, reason = "how long a test runs is said by who runs it")]
fn kills() -> usize {
    std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().expect("KILLS is a number"))
}

pub(super) const MAPPING: &str = r#"
provider = "typeform"
secrets = ["env:TYPEFORM_SECRET"]

[[feedback]]
problem = "$.form_response.token"
"#;

/// Event ids of the webhooks that were answered with 202, by the text of their feedback.
type Accepted = Arc<Mutex<BTreeMap<String, EventId>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_events_are_delivered_despite_twenty_kills() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/survey.toml"), MAPPING).unwrap();
    let arrived = Arrived::default();
    let savio = start_savio(arrived.clone()).await;
    let variables = [
        ("TYPEFORM_SECRET", SECRET),
        ("SAVIO_API_TOKEN", "token"),
        ("SAVIO_RELAY_SAVIO__BASE_URL", savio.as_str()),
        ("SAVIO_RELAY_RETRY__WAIT_MIN", "10ms"),
        ("SAVIO_RELAY_RETRY__WAIT_MAX", "50ms"),
    ];

    let accepted = post_while_killing(folder.path(), &variables).await;
    let relay = Relay::start(folder.path(), &variables);
    until(|| accepted.keys().all(|text| arrived.lock().unwrap().contains_key(text))).await;
    assert!(relay.stop().success());

    assert!(accepted.len() >= kills() * ACCEPTED_BETWEEN_KILLS);
    let repeated = repeated(&arrived, &accepted);
    let totals = agree(folder.path());
    assert_eq!((totals.accepted, totals.queued), (totals.settled, 0));
    let marked = marked(folder.path(), accepted.values()).await;
    eprintln!("{} accepted, {} repeated, {} marked", accepted.len(), repeated.len(), marked.len());
    assert!(repeated.is_subset(&marked), "a repeat is not marked");
    assert_eq!(count(folder.path(), EventState::Dead).await, 0);
}

// The same events are in progress at each kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_soon_after_start_make_no_event_dead() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/survey.toml"), MAPPING).unwrap();
    let arrived = Arrived::default();
    let savio = start_savio(arrived.clone()).await;
    let secret = ("TYPEFORM_SECRET", SECRET);
    let variables =
        [secret, ("SAVIO_API_TOKEN", "token"), ("SAVIO_RELAY_SAVIO__BASE_URL", savio.as_str())];
    let delivered = || arrived.lock().unwrap().len();

    // Without a token nothing is mapped.
    let relay = Relay::start(folder.path(), &[secret]);
    let (client, accepted) = (http(), 10 * kills());
    for number in 0..accepted {
        let text = number.to_string();
        assert_eq!(send(&client, &relay.url, &text).await.unwrap().status(), StatusCode::ACCEPTED);
    }
    assert!(relay.stop().success());
    for round in 0..kills() {
        let relay = Relay::start(folder.path(), &variables);
        let before = delivered();
        // On a busy machine the rounds before may have delivered all.
        until(|| delivered() >= accepted.min(before + round % 4)).await;
        relay.kill();
    }

    let relay = Relay::start(folder.path(), &variables);
    until_async(async || count(folder.path(), EventState::Queued).await == 0).await;
    assert!(relay.stop().success());
    assert_eq!(count(folder.path(), EventState::Dead).await, 0);
    assert_eq!(delivered(), accepted);
}

/// Checks that what is counted by half hours is that of the events, and that what was accepted and not settled
/// is queued.
fn agree(folder: &Path) -> Totals {
    let totals = half_hours::check(&folder.join("relay.db")).unwrap();
    assert_eq!(totals.accepted, totals.settled + totals.queued, "{totals:?}");
    totals
}

/// Counts the events in this state.
async fn count(folder: &Path, state: EventState) -> u64 {
    let store = Sqlite::open_shared(&Settings::new(folder.join("relay.db"))).unwrap();
    let counts = store.counts().await.unwrap();
    counts.iter().filter(|count| count.state == state).map(|count| count.events).sum()
}

/// Posts from all connections while the relay is killed and restarted; returns what was accepted.
async fn post_while_killing(
    folder: &Path,
    variables: &[(&str, &str)],
) -> BTreeMap<String, EventId> {
    let accepted = Accepted::default();
    let stop = Arc::new(AtomicBool::new(false));
    let mut relay = Relay::start(folder, variables);
    let (url, current) = watch::channel(relay.url.clone());
    let posting: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            tokio::spawn(post_until(stop.clone(), connection, current.clone(), accepted.clone()))
        })
        .collect();
    for round in 1..=kills() {
        until(|| accepted.lock().unwrap().len() >= round * ACCEPTED_BETWEEN_KILLS).await;
        relay.kill();
        // Before a start corrects what it finds wrong.
        agree(folder);
        relay = Relay::start(folder, variables);
        url.send_replace(relay.url.clone());
    }
    stop.store(true, Ordering::Relaxed);
    for task in posting {
        task.await.unwrap();
    }
    relay.kill();
    accepted.lock().unwrap().clone()
}

async fn post_until(
    stop: Arc<AtomicBool>,
    connection: usize,
    url: watch::Receiver<String>,
    accepted: Accepted,
) {
    let client = http();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let text = format!("{connection}-{number}");
        let current = url.borrow().clone();
        let sent = send(&client, &current, &text).await;
        let Ok(answer) = sent else {
            tokio::task::yield_now().await;
            continue;
        };
        let was_accepted = answer.status() == StatusCode::ACCEPTED;
        let Ok(answer) = answer.json::<Value>().await else { continue };
        if was_accepted {
            let id = answer["events"][0].as_str().unwrap().parse().unwrap();
            accepted.lock().unwrap().insert(text, id);
        }
    }
}

pub(super) async fn send(client: &Client, url: &str, text: &str) -> reqwest::Result<Response> {
    let body = json!({
        "event_id": text,
        "event_type": "form_response",
        "form_response": {"token": text},
    });
    let body = body.to_string();
    client
        .post(format!("{url}/hooks/survey"))
        .header("content-type", "application/json")
        .header("typeform-signature", typeform_signature(body.as_bytes()))
        .body(body)
        .send()
        .await
}

fn repeated(arrived: &Arrived, accepted: &BTreeMap<String, EventId>) -> BTreeSet<EventId> {
    let arrived = arrived.lock().unwrap();
    accepted.iter().filter(|(text, _)| arrived[*text] > 1).map(|(_, id)| *id).collect()
}

/// Returns the events with an attempt that is marked as a possible repeat.
async fn marked(folder: &Path, ids: impl Iterator<Item = &EventId>) -> BTreeSet<EventId> {
    let store = Sqlite::open(&Settings::new(folder.join("relay.db"))).unwrap();
    let mut marked = BTreeSet::new();
    for id in ids {
        let record = store.event(*id).await.unwrap().expect("an accepted event is kept");
        if record.attempts.iter().any(|attempt| attempt.may_repeat) {
            marked.insert(*id);
        }
    }
    marked
}
