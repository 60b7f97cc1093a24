//! A stored event that is kept as a test of its mapping.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, MAPPING, Scene, TOKEN};
use crate::support::wait::until_async;

const PATH: &str = "/api/v1/sources/form/tests";

impl Scene {
    async fn keep(&self, condition: Option<&str>, body: Value) -> Answer {
        self.call_if(TOKEN, ("POST", PATH, condition), Some(&body)).await
    }
}

#[tokio::test]
async fn event_is_kept_as_a_test_that_passes() {
    let scene = Scene::new().await.without_mistakes().await;
    scene.savio_answers().await;
    let id = scene.webhook(&json!({ "text": "Slow \u{e9}", "mail": "ada@example.com" })).await;
    let tried = scene.keep(None, json!({ "event": id, "name": "slow", "dry_run": true })).await;
    assert_eq!(tried.status, 200, "{:?}", tried.json());
    let tried = tried.json();
    let paths = ["mappings/samples/form.slow.json", "mappings/samples/form.slow.expected.json"];
    for (file, path) in tried["files"].as_array().unwrap().iter().zip(paths) {
        assert_eq!(file["path"], path);
        assert!(tried["notice"].as_str().unwrap().contains(path), "{tried}");
    }
    assert!(!scene.file("samples").exists());
    assert_eq!(std::fs::read_to_string(scene.file("form.toml")).unwrap(), MAPPING);
    let body = json!({ "event": id, "name": "slow" });
    assert_eq!(scene.keep(None, body.clone()).await.status, 428);
    assert_eq!(scene.keep(Some("\"another\""), body.clone()).await.status, 412);
    assert!(!scene.file("samples/form.slow.json").exists(), "nothing is left of what was refused");

    let tag = format!("\"{}\"", tried["digest"].as_str().unwrap());
    let kept = scene.keep(Some(&tag), body.clone()).await;

    assert_eq!(kept.status, 200, "{:?}", kept.json());
    let text = std::fs::read_to_string(scene.file("form.toml")).unwrap();
    assert_eq!(text, MAPPING.to_owned() + tried["appended"].as_str().unwrap());
    assert_eq!(
        kept.json()["digest"],
        scene.get("/api/v1/sources/form/mapping").await["in_service"]
    );
    let sample = std::fs::read_to_string(scene.file("samples/form.slow.json")).unwrap();
    assert_eq!(sample, r#"{"text":"Slow é","mail":"ada@example.com"}"#);
    let mut check = crate::support::relay::program(scene.folder.path());
    let output = check.arg("check").arg("mappings/form.toml").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("ok, 1 test"), "{output:?}");
    assert_eq!(scene.keep(Some("*"), body).await.status, 409, "there is such a test");
}

#[tokio::test]
async fn event_of_another_source_or_without_a_valid_name_is_not_kept() {
    let scene = Scene::new().await.without_mistakes().await;
    let id = scene.webhook(&json!({ "text": "Slow" })).await;
    let keep = async |body: Value| scene.keep(Some("*"), body).await.status.as_u16();

    assert_eq!(keep(json!({ "event": id, "name": "../x" })).await, 400);
    assert_eq!(keep(json!({ "event": id, "name": "a.b" })).await, 400);
    let named = scene.keep(Some("*"), json!({ "event": id, "name": "hidden email" })).await.json();
    assert!(named["reason"].as_str().unwrap().starts_with("`name`: a test's name has"), "{named}");
    assert_eq!(keep(json!({ "event": "01a1f2c4-0000-7000-8000-000000000000" })).await, 404);
    assert_eq!(keep(json!({ "event": id })).await, 200);
    assert!(scene.file(&format!("samples/form.{id}.json")).exists());
}

#[tokio::test]
async fn client_that_leaves_while_a_test_is_kept_leaves_no_file_without_its_test() {
    let scene = Scene::new().await.without_mistakes().await;
    let id = scene.webhook(&json!({ "text": "Slow" })).await;
    let body = |number: u64| json!({ "event": id, "name": format!("kept-{number}") });
    for number in 0..24 {
        let kept = scene.keep(Some("*"), body(number));
        // It may have been kept before the client left.
        let _ = tokio::time::timeout(Duration::from_millis(number), kept).await;
    }
    // Changes are made in order: those before it have been made, or will not be.
    until_async(async || scene.keep(Some("*"), body(99)).await.status == 200).await;

    let text = || std::fs::read_to_string(scene.file("form.toml")).unwrap();
    let is_there = |number: u64| scene.file(&format!("samples/form.kept-{number}.json")).exists();
    let is_named = |number: u64| text().contains(&format!("samples/form.kept-{number}.json"));
    until_async(async || (0..24).all(|number| is_there(number) == is_named(number))).await;
    assert!(is_there(99) && is_named(99));
}

#[tokio::test]
async fn text_that_is_saved_while_a_test_is_kept_is_not_lost() {
    let scene = Scene::new().await.without_mistakes().await;
    let id = scene.webhook(&json!({ "text": "Slow" })).await;
    for number in 0..12 {
        let mark = format!("# saved {number}\n");
        let path = "/api/v1/sources/form/mapping";
        let body = json!({ "mapping": format!("{mark}{MAPPING}") });
        let save = async || scene.call_if(TOKEN, ("PUT", path, Some("*")), Some(&body)).await;
        let keep = json!({ "event": id, "name": format!("kept-{number}") });

        let (saved, kept) = tokio::join!(save(), scene.keep(Some("*"), keep));

        let statuses = (saved.status.as_u16(), kept.status.as_u16());
        // Whoever comes second is refused, or had read what the first one wrote.
        assert!(statuses.0 == 200 || kept.status == 200, "{statuses:?}");
        let text = std::fs::read_to_string(scene.file("form.toml")).unwrap();
        assert_eq!(text.contains(&mark), saved.status == 200, "{statuses:?}: {text}");
    }
}
