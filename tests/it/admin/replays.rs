//! The dry run of a replay, and the list of replays.

use savio_relay::event::State;
use savio_relay::store::{Inbox, Queue, Sqlite};
use serde_json::json;

use super::Scene;
use crate::support::store::{at, claim_from, from, settle, step};

#[tokio::test]
async fn dry_run_maps_by_the_mapping_in_service_and_replays_nothing() {
    let scene = Scene::new().await;
    let [delivered, _, _, dead] = scene.one_of_each().await;

    let all = scene.post("/api/v1/replay", json!({ "source": "form", "dry_run": true })).await;
    let one = json!({ "dry_run": true });
    let one = scene.post(&format!("/api/v1/events/{dead}/replay"), one).await;

    let of_all = json!({
        "send": 3, "ignore": 1, "fail": 0, "mapped": 4, "sample": false, "reasons": [],
    });
    assert_eq!((&all["would"], &all["matched"], &all["replayed"]), (&of_all, &json!(4), &json!(0)));
    assert_eq!((&one["would"]["send"], &one["would"]["mapped"]), (&json!(1), &json!(1)));
    let queued = scene.post("/api/v1/replay", json!({ "state": "queued", "dry_run": true })).await;
    assert_eq!(queued["would"]["mapped"], 0, "what is queued is left alone");
    assert_eq!(scene.get("/api/v1/replays").await, json!({ "replays": [], "next": null }));

    scene.post(&format!("/api/v1/events/{delivered}/erase"), json!({})).await;
    let erased = json!({ "state": "delivered", "dry_run": true });
    let erased = scene.post("/api/v1/replay", erased).await;
    let reasons = json!([{ "reason": "its data was erased", "events": 1 }]);
    assert_eq!((&erased["would"]["fail"], &erased["would"]["reasons"]), (&json!(1), &reasons));
    assert_eq!(
        scene.post("/api/v1/replay", json!({ "state": "dead" })).await["would"],
        json!(null)
    );
}

#[tokio::test]
async fn source_without_a_mapping_in_service_would_fail() {
    let scene = Scene::new().await;
    let change = async |store: &Sqlite| {
        store.store(from("gone", at(1))).await.unwrap();
        for claimed in claim_from(store, &["gone"], at(2), 1).await {
            store.advance(claimed.claim, step(settle(State::Dead))).await.unwrap();
        }
    };
    let scene = scene.restarted_after(&[], change).await;

    let tried = scene.post("/api/v1/replay", json!({ "state": "dead", "dry_run": true })).await;

    let reasons = json!([{ "reason": "no mapping of gone is in service", "events": 1 }]);
    assert_eq!((&tried["would"]["fail"], &tried["would"]["reasons"]), (&json!(1), &reasons));
}

#[tokio::test]
async fn list_of_replays_says_what_became_of_their_events() {
    let scene = Scene::new().await;
    let [delivered, _, _, dead] = scene.one_of_each().await;

    let first = scene.post(&format!("/api/v1/events/{dead}/replay"), json!({})).await;
    scene.until(&dead, "dead").await;
    let slow = json!({ "rate": 0.001 });
    scene.post(&format!("/api/v1/events/{delivered}/replay"), slow).await;
    scene.until(&delivered, "delivered").await;

    let path = format!("/api/v1/replays/{}", first["replay_id"].as_str().unwrap());
    let replay = scene.get(&path).await;
    assert_eq!(
        (&replay["replayed"], &replay["dead"], &replay["queued"]),
        (&json!(1), &json!(1), &json!(0))
    );
    let page = scene.get("/api/v1/replays?limit=1").await;
    assert_eq!(
        (&page["replays"][0]["delivered"], &page["replays"][0]["running"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(page["replays"][0]["which"], format!("event {delivered}"));
    let next = page["next"].as_str().unwrap();
    let rest = scene.get(&format!("/api/v1/replays?after={next}")).await;
    assert_eq!(
        (&rest["replays"][0]["replay_id"], &rest["next"]),
        (&first["replay_id"], &json!(null))
    );
    let refused = scene.call("GET", "/api/v1/replays?after=2-1", None).await;
    assert_eq!(refused.status, 400);
    let unknown = scene.call("GET", "/api/v1/replays?state=dead", None).await;
    assert_eq!(unknown.status, 400);
}
