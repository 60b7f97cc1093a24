//! A field that a saved mapping loses: its issue, from the tenth event without it to the tenth that has it
//! again, and what people are told of it.

use jiff::SignedDuration;
use savio_relay::clock;
use savio_relay::store::sqlite::{Settings, Sqlite};
use savio_relay::store::{Inbox, NewEvent, Webhook};
use serde_json::{Value, json};

use super::alerts::{OPS as ALERTS, messages, slack, until_messages};
use super::issues::open;
use super::{MAPPING, Scene, TOKEN};
use crate::support::store::from;
use crate::support::wait::until_async;

const PATH: &str = "/api/v1/sources/form/mapping";

/// Stores webhooks beside the relay, one for each of these minutes before now, and waits until all events
/// are delivered.
async fn receive(scene: &Scene, minutes_ago: impl IntoIterator<Item = i64>) {
    let store = Sqlite::open_shared(&Settings::new(scene.folder.path().join("relay.db"))).unwrap();
    let now = clock::now();
    for minutes in minutes_ago {
        let received_at = now - SignedDuration::from_mins(minutes);
        let body = json!({ "text": "Slow", "email": "ada@example.com" }).to_string().into_bytes();
        let webhook = from("form", received_at);
        let event = NewEvent { payload: 0..body.len(), ..webhook.events[0].clone() };
        store.store(Webhook { body, events: vec![event], ..webhook }).await.unwrap();
    }
    until_async(async || scene.get("/api/v1/stats").await["events"]["queued"] == 0).await;
}

async fn save(scene: &Scene, mapping: &str) {
    let body = json!({ "mapping": mapping });
    let saved = scene.call_if(TOKEN, ("PUT", PATH, Some("*")), Some(&body)).await;
    assert_eq!(saved.status, 200, "{}", String::from_utf8_lossy(&saved.body));
}

async fn open_count(scene: &Scene) -> Value {
    scene.get("/api/v1/about").await["open_issues"].clone()
}

#[tokio::test]
async fn field_that_a_saved_mapping_loses_is_an_issue_until_it_is_back() {
    let slack = slack().await;
    let url = slack.uri();
    let scene = Scene::configured(ALERTS, &[("SLACK", &url)]).await.without_mistakes().await;
    scene.savio_answers().await;
    // A week ago, in the hours of the events below, and since.
    let week = 7 * 24 * 60;
    receive(&scene, (week..week + 60).rev().step_by(2)).await;
    receive(&scene, (61..week - 60).rev().step_by(120)).await;

    save(&scene, &MAPPING.replace("[\"$.email\", \"$.mail\"]", "\"$.mail\"")).await;
    // The oldest first: the run begins anew with an older event that is mapped later.
    receive(&scene, [48]).await;
    receive(&scene, (1..=11).rev().map(|it| 4 * it)).await;

    let issue = open(&scene, "drift", 1).await.remove(0);
    assert_eq!(
        issue["text"],
        "`person_email` is missing in the last 12 events from form; 100 of the 100 before had it."
    );
    let place = ["source", "event_type", "block", "field"].map(|key| issue[key].clone());
    assert_eq!(place, [json!("form"), Value::Null, json!("feedback"), json!("person_email")]);
    assert_eq!((&issue["count"], &issue["unit"]), (&json!(12), &json!("events")));
    assert!(!issue.to_string().contains("ada@"), "{issue}");
    let told = until_messages(&slack, 1).await;
    // It was sent at the tenth event, or soon after.
    let text = told[0]["text"].as_str().unwrap();
    assert!(text.starts_with("`person_email` is missing in the last 1"), "{text}");

    // A restart knows it, counts on, and repeats no message.
    let scene = scene.restarted_after(&[("SLACK", &url)], async |_| ()).await;
    receive(&scene, [0]).await;
    until_async(async || open(&scene, "drift", 1).await[0]["count"] == 13).await;
    let same = open(&scene, "drift", 1).await.remove(0);
    assert_eq!((&same["id"], &same["opened_at"]), (&issue["id"], &issue["opened_at"]));
    assert_eq!(scene.relay.logged("issue opened"), 0, "{}", scene.relay.log());

    // Muted, it stays quiet while it counts.
    let mute = format!("/api/v1/issues/{}/mute", issue["id"].as_str().unwrap());
    scene.post(&mute, json!({ "until": null, "note": "the form is being changed" })).await;
    receive(&scene, [0]).await;
    assert_eq!(open(&scene, "drift", 1).await[0]["muted"]["by"], "admin.token");
    assert_eq!(open_count(&scene).await, 0);
    assert_eq!(messages(&slack).await.len(), 1);
    // The end of a muted one would be quiet too.
    scene.post(&mute, json!({ "until": "2026-01-01T00:00:00Z" })).await;

    save(&scene, MAPPING).await;
    receive(&scene, [0; 9]).await;
    assert_eq!(open(&scene, "drift", 1).await[0]["id"], issue["id"]);
    receive(&scene, [0]).await;
    assert!(open(&scene, "drift", 0).await.is_empty());
    let closed = scene.get("/api/v1/issues?state=all&kind=drift").await["issues"].clone();
    assert_eq!(closed.as_array().unwrap().len(), 1, "{closed}");
    assert_eq!(closed[0]["outcome"], "10 events in a row have it again.");
    let told = until_messages(&slack, 2).await;
    let text = told[1]["text"].as_str().unwrap();
    assert!(text.starts_with("Closed after "), "{text}");
    assert!(text.contains("10 events in a row have it again."), "{text}");
    assert_eq!(told.len(), 2);
    assert_eq!(scene.relay.logged("issue opened"), 0, "{}", scene.relay.log());
}
