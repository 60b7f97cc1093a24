//! Events that are found, shown, counted, replayed and released.

use serde_json::{Value, json};

use super::Scene;
use crate::support::wait::until_async;
#[tokio::test]
async fn events_are_found_by_each_filter() {
    let scene = Scene::new().await;
    let [delivered, ignored, held, dead] = scene.one_of_each().await;
    let found = async |query: &str| {
        let listed = scene.get(&format!("/api/v1/events{query}")).await;
        let events = listed["events"].as_array().unwrap().clone();
        events.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    assert_eq!(found("").await, [dead.clone(), held, ignored.clone(), delivered.clone()]);
    assert_eq!(found("?state=dead").await, std::slice::from_ref(&dead));
    assert_eq!(found("?source=form&state=ignored").await, std::slice::from_ref(&ignored));
    assert_eq!(found("?destination=default&state=delivered").await, [delivered]);
    assert!(found("?source=off").await.is_empty());
    assert_eq!(found(&format!("?q={}", dead.to_uppercase())).await, [dead]);
    assert!(found("?since=2999-01-01T00:00:00Z").await.is_empty());
    let first = scene.get("/api/v1/events?limit=2").await;
    let rest = found(&format!("?after={}", first["next"].as_str().unwrap())).await;
    assert_eq!(rest[0], ignored);
}

#[tokio::test]
async fn event_and_its_original_body_are_shown() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    let id = scene.webhook(&json!({ "text": "Slow", "email": "ada@example.com" })).await;

    let event = scene.until(&id, "delivered").await;

    assert_eq!(event["payload"]["text"], "Slow");
    assert_eq!(event["requests"][0]["body"]["person_email"], "ada@example.com");
    assert_eq!(event["requests"][0]["savio_id"], 7);
    assert_eq!(event["history"][0]["outcome"], "done");
    assert_eq!(event["headers"]["x-relay-token"], "*");
    let body = scene.call("GET", &format!("/api/v1/events/{id}/body"), None).await;
    assert_eq!(body.body, br#"{"text":"Slow","email":"ada@example.com"}"#);
}

#[tokio::test]
async fn dead_events_are_counted_replayed_and_restored() {
    let scene = Scene::new().await;
    let [_, _, _, dead] = scene.one_of_each().await;
    let dead_with = |more: Value| {
        let mut request = json!({ "state": "dead" });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let counted = scene.post("/api/v1/replay", dead_with(json!({ "dry_run": true }))).await;
    let would = json!({
        "send": 1, "ignore": 0, "fail": 0, "mapped": 1, "sample": false, "reasons": [],
    });
    assert_eq!(
        counted,
        json!({
            "matched": 1, "at_least": false, "replayed": 0, "replay_id": null, "would": would,
        })
    );
    scene.post("/api/v1/destinations/default/pause", json!({})).await;

    let ordered = scene.post("/api/v1/replay", dead_with(json!({ "rate": 0.001 }))).await;
    assert_eq!((&ordered["matched"], &ordered["replayed"]), (&json!(1), &json!(1)));
    scene.until(&dead, "queued").await;
    let replay = format!("/api/v1/replays/{}", ordered["replay_id"].as_str().unwrap());
    assert_eq!(scene.get(&replay).await["waiting"], 1);
    let canceled = scene.call("DELETE", &replay, None).await.json();

    assert_eq!((&canceled["canceled"], &canceled["given_back"]), (&json!(true), &json!(1)));
    scene.until(&dead, "dead").await;
}

#[tokio::test]
async fn event_is_replayed_and_a_held_one_released() {
    let scene = Scene::new().await;
    let [delivered, _, held, _] = scene.one_of_each().await;

    let released =
        scene.post(&format!("/api/v1/events/{held}/release"), json!({"arrived": true})).await;
    assert_eq!(released["state"], "delivered");
    let again = format!("/api/v1/events/{held}/release");
    let refused = scene.call("POST", &again, Some(&json!({ "arrived": true }))).await;
    assert_eq!(refused.status, 409);
    scene.post(&format!("/api/v1/events/{delivered}/replay"), json!({})).await;

    let path = format!("/api/v1/events/{delivered}");
    let history = async || scene.get(&path).await["history"].clone();
    until_async(async || history().await.as_array().unwrap().len() == 2).await;
    assert_eq!(history().await[1]["replay"], true);
}

#[tokio::test]
async fn stats_count_events_by_state() {
    let scene = Scene::new().await;
    scene.one_of_each().await;

    let stats = scene.get("/api/v1/stats").await;

    let counts = json!({ "queued": 0, "delivered": 1, "ignored": 1, "held": 1, "dead": 1 });
    assert_eq!((&stats["events"], &stats["sources"]["form"]), (&counts, &counts));
    assert_eq!(stats["oldest_queued_seconds"], Value::Null);
}
