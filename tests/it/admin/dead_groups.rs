//! Dead events by cause, and the replay of one cause.

use serde_json::json;

use super::Scene;

#[tokio::test]
async fn cause_of_dead_events_names_them_for_a_replay() {
    let scene = Scene::new().await;
    scene.one_of_each().await;

    let listed = scene.get("/api/v1/dead/groups").await;

    assert_eq!(listed["without_cause"], 0);
    let [group] = &listed["groups"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!((&group["stage"], &group["status"]), (&json!("savio"), &json!(400)), "{group}");
    assert_eq!((&group["events"], &group["sources"]), (&json!(1), &json!(["form"])), "{group}");
    assert!(group["advice"].as_str().unwrap().starts_with("Map the value"), "{group}");
    let kind = &group["kind"];
    let list = scene.get(&format!("/api/v1/events?reason_kind={}", kind.as_str().unwrap())).await;
    assert_eq!(list["events"].as_array().unwrap().len(), 1);
    assert_eq!(list["events"][0]["reason"], group["reason"]);
    let dry = json!({ "reason_kind": kind, "dry_run": true });
    assert_eq!(scene.post("/api/v1/replay", dry).await["matched"], 1);
    let other = scene.get("/api/v1/dead/groups?source=off").await;
    assert_eq!(other["groups"], json!([]));
    let later = scene.get("/api/v1/dead/groups?since=2100-01-01").await;
    assert_eq!(later["groups"], json!([]));
}
