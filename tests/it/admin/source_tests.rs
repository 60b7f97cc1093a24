//! `POST sources/{name}/test`: a webhook that is signed as the provider of the source does it.

use serde_json::{Value, json};

use super::Scene;
use crate::support::wait::until_async;

/// Starts a relay with these bundled sources, which sign in different ways.
async fn scene() -> Scene {
    let scene = Scene::with(&[
        ("SAVIO_RELAY_SHIPPED_MAPPINGS", "github,stripe,trello,discord"),
        ("SAVIO_RELAY_SERVER__PUBLIC_URL", "https://relay.example.com/prefix"),
        ("GITHUB_SECRET", "a secret of github"),
        ("STRIPE_SECRET", "whsec_of_stripe"),
        ("TRELLO_SECRET", "a secret of trello"),
        ("DISCORD_SECRET", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
    ])
    .await;
    scene.savio_answers().await;
    scene
}

async fn test(scene: &Scene, source: &str, body: &Value) -> Value {
    let answer = scene.call("POST", &format!("/api/v1/sources/{source}/test"), Some(body)).await;
    assert_eq!(answer.status, 200, "{source}: {answer:?}");
    answer.json()
}

async fn events(scene: &Scene) -> Vec<Value> {
    scene.get("/api/v1/events").await["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn test_is_verified_and_mapped_and_nothing_is_stored() {
    let scene = scene().await;

    for source in ["github", "stripe", "trello"] {
        let tested = test(&scene, source, &json!({})).await;

        assert_eq!(tested["status"], 202, "{tested}");
        assert!(!tested["requests"].as_array().unwrap().is_empty(), "{tested}");
        assert!(tested["sample"].as_str().unwrap().starts_with(source), "{tested}");
        assert_eq!((&tested["reason"], &tested["events"]), (&Value::Null, &json!([])));
    }
    let tested = test(&scene, "form", &json!({ "payload": { "text": "A dark theme." } })).await;
    assert_eq!(tested["requests"][0]["body"]["problem"], "A dark theme.", "{tested}");

    assert_eq!(events(&scene).await, Vec::<Value>::new());
    assert_eq!(scene.get("/api/v1/rejected").await["rejected"], json!([]));
    let metrics = scene.call("GET", "/metrics", None).await.body;
    let metrics = String::from_utf8(metrics).unwrap();
    let counted = "savio_relay_webhooks_total{source=\"github\",status=\"202\"} 0";
    assert!(!metrics.contains("source=\"github\",status=\"202\"") || metrics.contains(counted));
}

#[tokio::test]
async fn delivered_test_is_an_event_that_repeats_none() {
    let scene = scene().await;
    let body = json!({ "sample": "github", "deliver": true });

    let first = test(&scene, "github", &body).await;
    let second = test(&scene, "github", &body).await;

    let ids = [&first["events"][0], &second["events"][0]];
    assert!(ids[0].is_string() && ids[0] != ids[1], "{first} {second}");
    let listed = events(&scene).await;
    assert_eq!(listed.len(), 2);
    for event in &listed {
        let delivery_id = event["delivery_id"].as_str().unwrap();
        assert!(delivery_id.starts_with("test:"), "{event}");
    }
    let again = test(&scene, "github", &json!({ "event": ids[0] })).await;
    assert_eq!(again["status"], 202, "{again}");
    assert_eq!(again["requests"], first["requests"]);
    assert_eq!(events(&scene).await.len(), 2);
}

#[tokio::test]
async fn ignored_test_says_why() {
    let scene = scene().await;
    let body = json!({ "payload": { "zen": "x" }, "headers": { "X-GitHub-Event": "ping" } });

    let tested = test(&scene, "github", &body).await;

    assert_eq!((&tested["status"], &tested["requests"]), (&json!(200), &json!([])));
    assert_eq!(tested["reason"], "`ping` is no event");
    let broken = test(&scene, "github", &json!({ "payload": "{no JSON" })).await;
    assert_eq!(broken["status"], 400, "{broken}");
    assert!(broken["reason"].is_string(), "{broken}");
    let empty = test(&scene, "form", &json!({ "payload": { "ignored": true } })).await;
    assert_eq!((&empty["status"], &empty["requests"]), (&json!(202), &json!([])));
    assert!(empty["reason"].is_string(), "{empty}");
}

#[tokio::test]
async fn test_that_cannot_be_made_says_why() {
    let scene = scene().await;
    let event = scene.one_of_each().await[0].clone();
    for (source, body, status, reason) in [
        ("discord", json!({}), 409, "signs with a private key"),
        ("off", json!({}), 409, "off is off"),
        ("nobody", json!({}), 404, "no source nobody"),
        ("form", json!({}), 400, "no [[test]] with a sample"),
        ("github", json!({ "sample": "nothing" }), 400, "no sample is called nothing"),
        ("github", json!({ "sample": "a", "payload": {} }), 400, "give one of"),
        ("github", json!({ "event": event }), 409, "is of the source form"),
        ("github", json!({ "payload": {}, "headers": { "a b": "c" } }), 400, "is not a header"),
    ] {
        let path = format!("/api/v1/sources/{source}/test");
        let answer = scene.call("POST", &path, Some(&body)).await;

        assert_eq!(answer.status, status, "{source} {body}: {answer:?}");
        let text = answer.json()["reason"].as_str().unwrap().to_owned();
        assert!(text.contains(reason), "{source} {body}: {text}");
    }
}

#[tokio::test]
async fn sample_outside_of_the_folder_is_not_read() {
    let scene = scene().await;
    let mapping = "provider = \"form\"\nsecrets = [\"env:OUTSIDE_SECRET\"]\n[[feedback]]\n\
                   problem = \"$.text\"\n[[test]]\npayload = \"../relay.toml\"\nexpect = \"x.json\"\n";
    let folder = scene.folder.path();
    std::fs::write(folder.join("outside.secret"), "a secret of the source outside").unwrap();
    let mapping = mapping.replace("env:OUTSIDE_SECRET", "file:outside.secret");
    // With its mistake, no file would be applied.
    std::fs::remove_file(folder.join("mappings/off.toml")).unwrap();
    std::fs::write(folder.join("mappings/outside.toml"), mapping).unwrap();
    let path = "/api/v1/sources/outside/test";
    until_async(async || scene.call("POST", path, Some(&json!({}))).await.status != 404).await;

    let answer = scene.call("POST", path, Some(&json!({}))).await;

    assert_eq!(answer.status, 409, "{answer:?}");
    let reason = answer.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("no such file in `samples`"), "{reason}");
}

#[tokio::test]
async fn mapping_cannot_show_the_secret_with_which_a_test_is_signed() {
    let scene = scene().await;
    let shown = "\"{{ headers['x-key'] }} {{ headers['authorization'] }} {{ headers['x-copy'] }} \
                 {{ payload.key }} {{ payload.text }}\"";
    let secret = "hunter2-hunter2";
    // With its mistake, no file would be applied.
    std::fs::remove_file(scene.file("off.toml")).unwrap();
    for (source, place) in [("a", "header = \"X-Key\""), ("b", "field = \"$.key\"")] {
        std::fs::write(scene.folder.path().join(format!("{source}.secret")), secret).unwrap();
        let mapping = format!(
            "secrets = [\"file:{source}.secret\"]\n[signature]\nscheme = \"token\"\n{place}\n\
             [[feedback]]\nproblem = {shown}\n"
        );
        std::fs::write(scene.file(&format!("{source}.toml")), mapping).unwrap();
        let path = format!("/api/v1/sources/{source}/test");
        let body = json!({
            "payload": { "key": secret, "text": "Slow." },
            "headers": { "Authorization": "Bearer of the gateway", "X-Copy": secret },
        });
        until_async(async || scene.call("POST", &path, Some(&body)).await.status != 404).await;

        let tested = test(&scene, source, &body).await;

        assert_eq!(tested["status"], 202, "{tested}");
        let problem = tested["requests"][0]["body"]["problem"].as_str().unwrap();
        assert!(problem.ends_with("Slow."), "{tested}");
        if source == "a" {
            // That of the payload is the caller's own text here.
            assert_eq!(problem, format!("* * * {secret} Slow."));
        } else {
            assert!(!problem.contains(secret) && problem.contains("***"), "{problem}");
        }
    }
}
