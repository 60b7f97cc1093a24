//! Sources and destinations: their state, what was rejected, and a mapping that is tried.

use savio_relay::clock;
use savio_relay::store::sqlite::{Settings, Sqlite};
use serde_json::{Value, json};

use super::{MAPPING, Scene};
use crate::support::store::{from, store_one};
#[tokio::test]
async fn source_shows_whether_it_is_live_and_why_not() {
    let scene = Scene::new().await;

    let listed = scene.get("/api/v1/sources").await;

    let [form, off] = [&listed["sources"][0], &listed["sources"][1]];
    assert_eq!((&form["name"], &form["live"]), (&json!("form"), &json!(true)));
    assert_eq!(form["url"], format!("{}/hooks/form", scene.relay.url));
    assert_eq!(form["destination"], "default");
    assert_eq!((&off["live"], &off["destination"]), (&json!(false), &Value::Null));
    assert!(off["reason"].as_str().unwrap().contains("mistakes"), "{off}");
}

#[tokio::test]
async fn source_without_mapping_is_listed_with_its_events() {
    let scene = Scene::new().await;
    let store = Settings::new(scene.folder.path().join("relay.db"));
    let store = Sqlite::open_shared(&store).unwrap();
    let id = store_one(&store, from("gone", clock::now())).await;
    store.close().await;

    let listed = scene.get("/api/v1/sources").await;

    let waits = json!("the source gone has no mapping at present");
    let gone = &listed["sources"][2];
    assert_eq!((&gone["name"], &gone["live"]), (&json!("gone"), &json!(false)));
    assert_eq!((&gone["queued"], &gone["queued_reason"]), (&json!(1), &waits), "{gone}");
    assert_eq!(gone["waiting_for_event"], 0);
    assert_eq!(scene.get("/api/v1/events?source=gone").await["events"][0]["reason"], waits);
    assert_eq!(scene.get(&format!("/api/v1/events/{id}")).await["reason"], waits);
}

#[tokio::test]
async fn paused_destination_and_source_deliver_after_resume() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    for (what, name) in [("destinations", "default"), ("sources", "form")] {
        let path = format!("/api/v1/{what}/{name}");
        let paused = scene.post(&format!("{path}/pause"), json!({})).await;
        assert_eq!(paused["paused"], true, "{paused}");

        let id = scene.webhook(&json!({ "text": what })).await;
        let listed = scene.get(&format!("/api/v1/{what}")).await;
        let own = listed[what].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
        assert_eq!((&own["queued"], &own["paused"]), (&json!(1), &json!(true)), "{own}");
        assert!(own["oldest_queued_seconds"].is_u64(), "{own}");

        scene.post(&format!("{path}/resume"), json!({})).await;
        scene.until(&id, "delivered").await;
    }
}

#[tokio::test]
async fn log_of_a_destination_has_its_pauses_and_what_waited() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    let log = async |query: &str| {
        let path = format!("/api/v1/destinations/default/log{query}");
        scene.get(&path).await["interruptions"].clone()
    };
    assert_eq!(log("").await, json!([]));

    scene.post("/api/v1/destinations/default/pause", json!({})).await;
    let id = scene.webhook(&json!({ "text": "a" })).await;
    let now = log("?since=1h").await;
    assert_eq!(now[0]["kind"], "paused_by_person");
    assert_eq!((&now[0]["ended_at"], &now[0]["waiting"]), (&Value::Null, &json!(1)), "{now}");

    scene.post("/api/v1/destinations/default/resume", json!({})).await;
    scene.until(&id, "delivered").await;
    let then = log("").await;
    assert!(then[0]["ended_at"].is_string(), "{then}");
    assert_eq!((then.as_array().unwrap().len(), &then[0]["waiting"]), (1, &json!(1)));
    assert_eq!(log("?since=2100-01-01").await, json!([]));
}

#[tokio::test]
async fn unsaved_mapping_is_previewed() {
    let scene = Scene::new().await;
    let preview = async |order: Value| scene.post("/api/v1/preview", order).await;

    let mapped = preview(
        json!({ "mapping": MAPPING, "payload": { "text": "Slow", "mail": "a@b.example" } }),
    )
    .await;

    assert_eq!(
        mapped["requests"][0]["body"],
        json!({ "problem": "Slow", "person_email": "a@b.example" })
    );
    let explained = mapped["explain"].as_array().unwrap();
    let email = explained.iter().find(|it| it["field"] == "feedback[0].person_email").unwrap();
    assert_eq!((&email["query"], &email["value"]), (&json!("$.mail"), &json!("a@b.example")));
    assert_eq!(email["nodes"], json!(["$['mail']"]));
    let place = ["line", "column", "end_line", "end_column"].map(|key| email[key].clone());
    assert_eq!(place, [8, 28, 8, 36].map(|at| json!(at)));
    assert_eq!(email["tried"][0], json!({ "query": "$.email", "gave": "nothing" }));
    let wrong = "provider = \"form\"\nsecrets = [\"env:S\"]\n[[feedback]]\nproblm = \"$.text\"\n";
    let answer = preview(json!({ "mapping": wrong, "payload": {} })).await;
    let mistakes = answer["mistakes"].as_array().unwrap();
    let misspelt = mistakes.iter().find(|it| it["line"] == 4 && it["column"] == 1).unwrap();
    assert_eq!(misspelt["help"], "did you mean `problem`?");
}
