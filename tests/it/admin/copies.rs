//! Edited copies and erased events, by HTTP.

use savio_relay::clock;
use savio_relay::store::sqlite::{Settings, Sqlite};
use serde_json::json;

use super::Scene;
use crate::support::store::{from, store_one};

#[tokio::test]
async fn edited_copy_is_mapped_and_sent_like_any_event() {
    let scene = Scene::new().await;
    let [delivered, ..] = scene.one_of_each().await;
    let path = format!("/api/v1/events/{delivered}/copy");
    let payload = json!({ "payload": { "text": "Quick", "id": 12_345_678_901_234_567_890_u64 } });

    let copied = scene.post(&path, payload).await;

    let id = copied["id"].as_str().unwrap();
    assert_eq!(copied["copy_of"], delivered.as_str());
    let event = scene.until(id, "delivered").await;
    assert_eq!(event["copy_of"], delivered.as_str());
    assert_eq!(event["requests"][0]["body"]["problem"], "Quick");
    assert_eq!(
        event["headers"],
        scene.get(&format!("/api/v1/events/{delivered}")).await["headers"]
    );
    assert_eq!(event["delivery_id"], json!(null));
    let listed = scene.get("/api/v1/events?limit=1").await;
    assert_eq!(listed["events"][0]["copy_of"], delivered.as_str());
}

#[tokio::test]
async fn copy_within_the_limits_of_a_webhook_is_accepted_and_no_other() {
    let scene = Scene::with(&[("SAVIO_RELAY_SERVER__BODY_BYTES_MAX", "100000")]).await;
    let [delivered, ..] = scene.one_of_each().await;
    let path = format!("/api/v1/events/{delivered}/copy");
    let deep = |depth| (0..depth).fold(json!(1), |value, _| json!([value]));
    for (payload, status) in [
        (json!("x".repeat(90_000)), 200),
        (json!("x".repeat(100_001)), 413),
        (deep(60), 200),
        (deep(70), 400),
    ] {
        let answer = scene.call("POST", &path, Some(&json!({ "payload": payload }))).await;
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    }
    let without = scene.call("POST", &path, Some(&json!({}))).await;
    assert_eq!(without.status, 400);
}

#[tokio::test]
async fn copy_for_a_source_that_is_not_live_is_409() {
    let scene = Scene::new().await;
    let settings = Settings::new(scene.folder.path().join("relay.db"));
    let store = Sqlite::open_shared(&settings).unwrap();
    for (source, reason) in [("off", "is not live: "), ("gone", "it has no mapping file")] {
        let id = store_one(&store, from(source, clock::now())).await;
        let path = format!("/api/v1/events/{id}/copy");

        let answer = scene.call("POST", &path, Some(&json!({ "payload": {} }))).await;

        assert_eq!(answer.status, 409, "{source}");
        assert!(answer.json()["reason"].as_str().unwrap().contains(reason), "{answer:?}");
    }
}

#[tokio::test]
async fn erased_event_is_neither_sent_nor_shown() {
    let scene = Scene::new().await;
    let [delivered, _, held, _] = scene.one_of_each().await;
    let event = format!("/api/v1/events/{delivered}");

    let erased = scene.post(&format!("{event}/erase"), json!({})).await;

    assert_eq!(erased["log_emptied"], true, "{erased}");
    let shown = scene.get(&event).await;
    assert_eq!((&shown["state"], &shown["payload"]), (&json!("delivered"), &json!(null)));
    assert_eq!(shown["erased_at"], erased["erased_at"]);
    assert_eq!(shown["requests"], json!([]));
    let copy = json!({ "payload": {} });
    for (path, body) in [("replay", json!({})), ("copy", copy)] {
        let answer = scene.call("POST", &format!("{event}/{path}"), Some(&body)).await;
        assert_eq!(answer.status, 409, "{path}");
        assert!(answer.json()["reason"].as_str().unwrap().contains("is erased"), "{path}");
    }
    assert_eq!(scene.call("GET", &format!("{event}/body"), None).await.status, 404);
    let preview = json!({ "mapping": super::MAPPING, "event": delivered });
    assert_eq!(scene.call("POST", "/api/v1/preview", Some(&preview)).await.status, 404);
    let refused = scene.call("POST", &format!("/api/v1/events/{held}/erase"), None).await;
    assert_eq!(refused.status, 409);
    assert!(refused.json()["reason"].as_str().unwrap().contains("release it"), "{refused:?}");
    let again = scene.post(&format!("{event}/erase"), json!({})).await;
    assert_eq!(again["erased_at"], erased["erased_at"]);
}
