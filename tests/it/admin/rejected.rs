//! Rejected webhooks: what is kept of them, and how they are counted.

use serde_json::{Value, json};

use super::Scene;
use crate::support::relay::http;

/// Sends a webhook with a wrong token.
async fn send_wrong(scene: &Scene, body: &'static str) {
    let url = format!("{}/hooks/form", scene.relay.url);
    let wrong = http().post(url).header("x-relay-token", "Secret").body(body);
    assert_eq!(wrong.send().await.unwrap().status(), 401);
}

fn rejected(stats: &Value) -> &Value {
    &stats["sources"]["form"]["rejected"]
}

#[tokio::test]
async fn rejected_webhook_is_listed_with_a_hint() {
    let scene = Scene::new().await;
    send_wrong(&scene, r#"{"text":"slow"}"#).await;

    let listed = scene.get("/api/v1/rejected?source=form").await;

    let one = &listed["rejected"][0];
    assert_eq!((&one["source"], &one["status"]), (&json!("form"), &json!(401)), "{one}");
    assert_eq!((&one["error"], &one["bytes"]), (&json!("signature wrong"), &json!(15)), "{one}");
    assert!(one["headers"].as_array().unwrap().contains(&json!("x-relay-token")), "{one}");
    assert!(!one.to_string().contains("slow"), "nothing of the body is kept: {one}");
    assert_eq!(listed["next"], Value::Null);
    assert_eq!(scene.get("/api/v1/rejected?source=off").await["rejected"], json!([]));
}

#[tokio::test]
async fn rejected_webhooks_are_counted_and_summed_up() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        send_wrong(&scene, "{}").await;
    }

    let listed = scene.get("/api/v1/rejected?since=1h").await;

    assert_eq!(listed["rejected"][0]["count"], 3);
    assert_eq!(scene.get("/api/v1/rejected?since=2100-01-01").await["rejected"], json!([]));
    assert_eq!(*rejected(&scene.get("/api/v1/stats?since=1d").await), json!(3));
    let sums = &scene.get("/api/v1/sources/form").await["rejected"];
    assert_eq!((&sums[0]["count"], &sums[0]["status"]), (&json!(3), &json!(401)), "{sums}");
}

#[tokio::test]
async fn rejected_webhooks_are_paged() {
    let scene = Scene::new().await;
    let url = format!("{}/hooks/form", scene.relay.url);
    send_wrong(&scene, "{}").await;
    assert_eq!(http().post(&url).send().await.unwrap().status(), 401);
    assert_eq!(http().put(&url).send().await.unwrap().status(), 405);

    let mut errors = Vec::new();
    let mut query = "limit=1".to_owned();
    loop {
        let page = scene.get(&format!("/api/v1/rejected?{query}")).await;
        let rows = page["rejected"].as_array().unwrap();
        errors.extend(rows.iter().map(|it| it["error"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("limit=1&after={next}");
    }

    assert_eq!(errors, ["method not allowed", "signature missing", "signature wrong"]);
}
