//! Issues, from what happens to what the API says of it.

use serde_json::{Value, json};

use super::Scene;
use crate::support::wait::until_async;

/// Returns the open issues of a kind, once there are so many.
pub(super) async fn open(scene: &Scene, kind: &str, count: usize) -> Vec<Value> {
    let path = format!("/api/v1/issues?kind={kind}");
    let read = async || scene.get(&path).await["issues"].as_array().unwrap().clone();
    until_async(async || read().await.len() == count).await;
    read().await
}

#[tokio::test]
async fn dead_and_held_events_are_issues_until_they_are_not() {
    let scene = Scene::new().await;
    let [_, _, held, _] = scene.one_of_each().await;

    let dead = open(&scene, "dead", 1).await.remove(0);
    assert_eq!(dead["text"], "Savio refused 1 event from form.");
    assert_eq!((&dead["source"], &dead["count"]), (&json!("form"), &json!(1)));
    assert_eq!(open(&scene, "held", 1).await[0]["unit"], "events");
    let (all, metrics) =
        (scene.get("/api/v1/issues").await, scene.call("GET", "/metrics", None).await);
    let kinds: Vec<&Value> =
        all["issues"].as_array().unwrap().iter().map(|issue| &issue["kind"]).collect();
    assert_eq!(kinds, ["dead", "held"], "the worst first");
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in
        [r#"savio_relay_issues_open{kind="dead"} 1"#, r#"savio_relay_issues_open{kind="drift"} 0"#]
    {
        assert!(metrics.lines().any(|it| it == line), "{line} is not in\n{metrics}");
    }

    scene.post(&format!("/api/v1/events/{held}/release"), json!({ "arrived": true })).await;

    assert!(open(&scene, "held", 0).await.is_empty());
    let closed = scene.get("/api/v1/issues?state=closed").await;
    assert_eq!(closed["issues"][0]["kind"], "held");
    assert_eq!(closed["issues"][0]["outcome"], "None is held any more.");
    let mute = format!("/api/v1/issues/{}/mute", closed["issues"][0]["id"].as_str().unwrap());
    assert_eq!(scene.call("POST", &mute, Some(&json!({}))).await.status, 409);
}

#[tokio::test]
async fn muted_issue_does_not_count_as_open() {
    let scene = Scene::new().await;
    scene.one_of_each().await;
    let dead = open(&scene, "dead", 1).await.remove(0);
    open(&scene, "held", 1).await;
    let path = format!("/api/v1/issues/{}/mute", dead["id"].as_str().unwrap());

    let muted = scene.post(&path, json!({ "until": null, "note": "on Thursday" })).await;

    assert_eq!(
        muted["issue"]["muted"],
        json!({ "by": "admin.token", "until": null, "note": "on Thursday" })
    );
    assert_eq!(scene.get("/api/v1/about").await["open_issues"], 1);
    let unmuted = scene.post(&path, json!({ "until": "2020-01-01T00:00:00Z" })).await;
    assert_eq!(unmuted["issue"]["muted"], Value::Null);
    assert_eq!(scene.get("/api/v1/about").await["open_issues"], 2);
    for (path, status) in [
        ("/api/v1/issues/00000000-0000-7000-8000-000000000000/mute", 404),
        ("/api/v1/issues/none/mute", 404),
    ] {
        assert_eq!(scene.call("POST", path, Some(&json!({}))).await.status, status, "{path}");
    }
    let long = json!({ "note": "x".repeat(501) });
    assert_eq!(scene.call("POST", &path, Some(&long)).await.status, 400);
}
