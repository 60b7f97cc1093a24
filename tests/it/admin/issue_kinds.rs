//! The issue of each kind, from what a person does wrong to what ends it.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use savio_relay::clock;
use savio_relay::store::{HalfHour, Inbox, LiveSources, Monitoring, Queue};
use serde_json::{Value, json};
use wiremock::matchers::method;
use wiremock::{Mock, ResponseTemplate};

use super::issues::open;
use super::{MAPPING, Scene};
use crate::support::relay::http;
use crate::support::store::{from, name};
use crate::support::wait::until_async;

/// Returns the only issue of the kind, once it is there.
async fn only(scene: &Scene, kind: &str) -> Value {
    open(scene, kind, 1).await.remove(0)
}

/// Returns how the last issue of the kind ended, once none is open.
async fn outcome(scene: &Scene, kind: &str) -> Value {
    open(scene, kind, 0).await;
    let closed = scene.get(&format!("/api/v1/issues?state=closed&kind={kind}")).await;
    closed["issues"][0]["outcome"].clone()
}

#[tokio::test]
async fn destination_that_an_answer_paused_is_an_issue_until_it_works() {
    let scene = Scene::new().await;
    let answer = async |status| {
        scene.savio.reset().await;
        let answer = ResponseTemplate::new(status).set_body_json(json!({ "id": 7 }));
        Mock::given(method("POST")).respond_with(answer.clone()).mount(&scene.savio).await;
        let list = json!({ "count": 0, "next": null, "previous": null, "results": [] });
        let answer =
            if status == 401 { answer } else { ResponseTemplate::new(200).set_body_json(list) };
        Mock::given(method("GET")).respond_with(answer).mount(&scene.savio).await;
    };
    answer(401).await;
    scene.webhook(&json!({ "text": "Slow" })).await;

    let issue = only(&scene, "paused").await;

    assert_eq!((&issue["destination"], &issue["count"]), (&json!("default"), &json!(1)));
    assert!(
        issue["text"].as_str().unwrap().starts_with("Nothing is sent to Savio for "),
        "{issue}"
    );
    answer(201).await;
    scene.post("/api/v1/destinations/default/resume", json!({})).await;
    assert_eq!(outcome(&scene, "paused").await, "It works again.");
}

#[tokio::test]
async fn wrong_signatures_over_ten_minutes_are_an_issue_until_one_is_right() {
    let ago = |minutes| clock::now() - SignedDuration::from_mins(minutes);
    // As if four had come since eleven minutes ago.
    let wrong = json!({ "count": 4, "first_at": ago(11), "last_at": ago(1), "hint": null });
    let scene = Scene::new().await.restarted_after(&[], async |store| {
        let signs = json!({ "form": { "accepted_at": null, "wrong": wrong } });
        store.write_state("activities", signs).await.unwrap();
    });
    let scene = scene.await;
    scene.savio_answers().await;
    let url = format!("{}/hooks/form", scene.relay.url);
    let call = http().post(url).header("x-relay-token", "wrong").json(&json!({ "text": "Slow" }));
    assert_eq!(call.send().await.unwrap().status(), 401);

    let issue = only(&scene, "rejected").await;

    assert_eq!((&issue["source"], &issue["count"]), (&json!("form"), &json!(5)));
    scene.webhook(&json!({ "text": "Slow" })).await;
    assert_eq!(outcome(&scene, "rejected").await, "A webhook was accepted.");
}

#[tokio::test]
async fn silence_of_the_mapping_file_is_an_issue_until_a_webhook_arrives() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    let silence = MAPPING.replace("\n[[feedback]]", "silence = \"1h\"\n\n[[feedback]]");
    fs::write(scene.folder.path().join("mappings/form.toml"), silence).unwrap();
    let scene = scene.restarted_after(&[], async |store| {
        for half_hours in 1..=3 {
            let at = HalfHour::of(clock::now()).plus(-half_hours).begins_at();
            let live = LiveSources { at, sources: [name("form")].into() };
            store.write_live_half_hour(live, Timestamp::UNIX_EPOCH).await.unwrap();
        }
    });
    let scene = scene.await;

    let issue = only(&scene, "silent").await;

    assert_eq!(issue["text"], "form has received nothing for 90 min.");
    scene.webhook(&json!({ "text": "Slow" })).await;
    assert_eq!(outcome(&scene, "silent").await, "A webhook arrived.");
    // It is counted once, by whichever way the relay reads it.
    let scene = scene.restarted().await;
    scene.get("/api/v1/issues").await;
    let store = rusqlite::Connection::open(scene.folder.path().join("relay.db")).unwrap();
    let sql = "SELECT sum(webhooks) FROM half_hours";
    assert_eq!(store.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap(), 1);
}

#[tokio::test]
async fn events_that_are_not_tried_for_an_hour_are_an_issue_also_while_they_are_claimed() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    // One request an hour: the first is sent, and the others wait for their turn, claimed.
    let slow = [("SAVIO_RELAY_SAVIO__RATE", "1/h")];
    let scene = scene.restarted_after(&slow, async |store| {
        for _ in 0..3 {
            let received_at = clock::now() - SignedDuration::from_hours(2);
            store.store(from("form", received_at)).await.unwrap();
        }
    });
    let scene = scene.await;

    let issue = only(&scene, "queue").await;

    assert_eq!((&issue["destination"], &issue["source"]), (&json!("default"), &json!("form")));
    until_async(async || only(&scene, "queue").await["count"] == 2).await;
    let scene = scene.restarted().await;
    assert_eq!(outcome(&scene, "queue").await, "The events were tried.");
}

#[tokio::test]
async fn mapping_file_that_is_not_taken_is_an_issue_until_a_set_is() {
    let scene = Scene::new().await.without_mistakes().await;
    // The file that was removed is no mistake any more.
    open(&scene, "mapping", 0).await;
    let path = scene.folder.path().join("mappings/form.toml");
    fs::write(&path, MAPPING.replace("problem", "problme")).unwrap();
    scene.relay.hang_up();

    let issue = only(&scene, "mapping").await;

    assert!(issue["reason"].as_str().unwrap().contains("form.toml"), "{issue}");
    fs::write(&path, MAPPING).unwrap();
    scene.relay.hang_up();
    assert_eq!(outcome(&scene, "mapping").await, "The mapping files were taken.");
}

#[tokio::test]
async fn secret_that_cannot_be_read_is_an_issue_until_it_can() {
    let scene = Scene::new().await.without_mistakes().await;
    let secret = scene.folder.path().join("secret.txt");
    fs::write(&secret, "secret").unwrap();
    let reference = format!("file:{}", secret.display());
    let mapping = MAPPING.replace("env:FORM_SECRET", &reference);
    fs::write(scene.folder.path().join("mappings/form.toml"), mapping).unwrap();
    let scene = scene.restarted().await;
    fs::remove_file(&secret).unwrap();
    scene.relay.hang_up();

    let issue = only(&scene, "secret").await;

    assert_eq!(issue["text"], "The relay can't read the secret of source form.");
    fs::write(&secret, "secret").unwrap();
    scene.relay.hang_up();
    assert_eq!(outcome(&scene, "secret").await, "It can be read again.");
}
