//! The check of a mapping that is not saved: its mistakes with their corrections, and its tests.

use std::time::Duration;

use rusqlite::Connection;
use savio_relay::clock;
use savio_relay::store::sqlite::{Settings, Sqlite};
use serde_json::{Value, json};

use super::{MAPPING, Scene};
use crate::support::store::{from, store_one};
use crate::support::wait::until_async;

fn with_test(payload: &str, expect: &str) -> String {
    format!("{MAPPING}\n[[test]]\npayload = \"{payload}\"\nexpect = \"{expect}\"\n")
}

fn write_sample(scene: &Scene, name: &str, content: &Value) {
    let samples = scene.folder.path().join("mappings/samples");
    std::fs::create_dir_all(&samples).unwrap();
    std::fs::write(samples.join(name), content.to_string()).unwrap();
}

async fn check(scene: &Scene, mapping: &str) -> Value {
    scene.post("/api/v1/check", json!({ "mapping": mapping, "source": "form" })).await
}

#[tokio::test]
async fn mistake_has_both_ends_and_the_text_that_corrects_it() {
    let scene = Scene::new().await;
    let wrong = "provider = \"form\"\nsecrets = [\"env:S\"]\n[[feedback]]\n\
                 problem = \"$.é\" # é\nperson_nam = \"é {{ payload.a \"\n";

    let checked = check(&scene, &wrong.replace("person_nam ", "person_name ")).await;
    let mistake = &checked["mistakes"][0];
    assert_eq!(mistake["severity"], "error", "{checked}");
    let place = ["line", "column", "end_line", "end_column"].map(|key| mistake[key].clone());
    assert_eq!(place, [5, 18, 5, 20].map(|at| json!(at)), "{checked}");
    assert_eq!(mistake["fix"]["text"], " }}", "{checked}");
    assert_eq!(checked["tests"], json!([]));

    let checked = check(&scene, &wrong.replace(" {{ payload.a ", "")).await;
    let fix = &checked["mistakes"][0]["fix"];
    let expected = json!({ "line": 5, "column": 1, "end_line": 5, "end_column": 11,
        "text": "person_name", "label": "Write `person_name`" });
    assert_eq!(*fix, expected, "{checked}");
    let right = wrong.replace("person_nam ", "person_name ").replace(" {{ payload.a ", "");
    assert_eq!(check(&scene, &right).await["mistakes"], json!([]));
}

#[tokio::test]
async fn tests_are_run_with_samples_of_the_folder() {
    let scene = Scene::new().await;
    write_sample(&scene, "a.json", &json!({ "text": "Slow" }));
    let expected = json!([{ "request": "feedback", "body": { "problem": "Slow" } }]);
    write_sample(&scene, "a.expected.json", &expected);
    let mapping = with_test("samples/a.json", "samples/a.expected.json");

    let passed = check(&scene, &mapping).await;
    let changed = check(&scene, &mapping.replace("$.text", "$.email")).await;
    let other = check(&scene, &mapping.replace("\"$.text\"", "\"Fast\"")).await;

    let test = &passed["tests"][0];
    assert_eq!((&test["name"], &test["passed"]), (&json!("samples/a.json"), &json!(true)));
    assert_eq!(test["difference"], Value::Null);
    assert_eq!(changed["tests"][0]["passed"], false);
    let reason = changed["tests"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("feedback[0].problem"), "{reason}");
    let difference = other["tests"][0]["difference"].as_str().unwrap();
    assert!(difference.contains("- problem: \"Slow\""), "{difference}");
    assert!(difference.contains("+ problem: \"Fast\""), "{difference}");
}

#[tokio::test]
async fn check_opens_no_file_but_samples() {
    let scene = Scene::new().await;
    write_sample(&scene, "a.json", &json!({ "text": "Slow" }));
    let folder = scene.folder.path();
    std::fs::write(folder.join("mappings/own.json"), "{}").unwrap();
    std::fs::write(folder.join("secret.json"), "{}").unwrap();
    std::os::unix::fs::symlink(folder.join("secret.json"), folder.join("mappings/samples/link"))
        .unwrap();

    for path in [
        "samples/../../secret.json",
        "../secret.json",
        "/etc/hostname",
        "own.json",
        "samples/link",
        "samples/none.json",
        folder.join("secret.json").to_str().unwrap(),
    ] {
        let checked = check(&scene, &with_test(path, "samples/a.json")).await;
        let reason = checked["tests"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("there is no such file in `samples`"), "{path}: {reason}");
    }
    let secret = MAPPING.replace("env:FORM_SECRET", "file:/dev/zero");
    assert_eq!(check(&scene, &secret).await["mistakes"], json!([]));
}

#[tokio::test]
async fn schema_of_mapping_files_is_served() {
    let scene = Scene::new().await;

    let schema = scene.get("/api/v1/mapping.schema.json").await;

    assert!(schema["properties"]["provider"]["description"].is_string());
}

#[tokio::test]
async fn event_is_explained_by_the_version_that_mapped_it() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    let payload = json!({ "text": "Slow", "mail": "ada@example.com", "other": "Fast" });
    let id = scene.webhook(&payload).await;
    let event = scene.until(&id, "delivered").await;
    let path = format!("/api/v1/events/{id}/explain");

    let used = scene.get(&path).await;

    let body = json!({ "problem": "Slow", "person_email": "ada@example.com" });
    assert_eq!(used["requests"][0]["body"], body, "{used}");
    assert_eq!(
        (&used["mapping"]["digest"], &used["mapping"]["in_service"]),
        (&event["mapping"]["digest"], &json!(true))
    );
    let email = &used["explain"][1];
    assert_eq!(email["nodes"], json!(["$['mail']"]));
    assert_eq!((&email["line"], &email["column"]), (&json!(8), &json!(28)));

    // A set with a mistake is not taken into service.
    std::fs::remove_file(scene.folder.path().join("mappings/off.toml")).unwrap();
    let changed = format!("# changed\n{}", MAPPING.replace("$.text", "$.other"));
    std::fs::write(scene.folder.path().join("mappings/form.toml"), changed).unwrap();
    let current = format!("{path}?mapping=current");
    until_async(async || scene.get(&current).await["explain"][0]["value"] == "Fast").await;

    assert_eq!(scene.get(&current).await["explain"][1]["line"], 9);
    let again = scene.get(&path).await;
    assert_eq!(again["explain"], used["explain"]);
    assert_eq!(again["mapping"]["in_service"], false);
    assert_eq!(again["mapping"]["digest"], used["mapping"]["digest"]);
    let other = scene.call("GET", &format!("{path}?mapping=other"), None).await;
    assert_eq!(other.status, 400);
}

#[tokio::test]
async fn event_whose_mapping_is_gone_is_not_explained() {
    let scene = Scene::new().await;
    let [delivered, ..] = scene.one_of_each().await;
    let settings = Settings::new(scene.folder.path().join("relay.db"));
    let store = Sqlite::open_shared(&settings).unwrap();
    let unmapped = store_one(&store, from("gone", clock::now())).await;
    store.close().await;
    let file = Connection::open(&settings.path).unwrap();
    file.busy_timeout(Duration::from_secs(5)).unwrap();
    let check = async |path: String, reason: &str| {
        let refused = scene.call("GET", &path, None).await;
        assert_eq!(refused.status, 409, "{path}: {refused:?}");
        let error = refused.json();
        assert!(error["reason"].as_str().unwrap().contains(reason), "{error}");
    };

    check(format!("/api/v1/events/{unmapped}/explain"), "gone has no mapping in service").await;
    // As if another text had been in service, which this program cannot read.
    file.execute_batch(
        "INSERT INTO mapping_texts (digest, text) VALUES (zeroblob(32), '[[');
         UPDATE mapping_versions SET digest = zeroblob(32)",
    )
    .unwrap();
    let path = format!("/api/v1/events/{delivered}/explain");
    check(path.clone(), "cannot read the mapping").await;
    // As if it had been pruned since the event was read.
    file.execute_batch("UPDATE mapping_versions SET source = 'another'").unwrap();
    check(path.clone(), "is no longer stored: ask for the one in service").await;
    let current = scene.get(&format!("{path}?mapping=current")).await;
    assert_eq!(current["mapping"]["in_service"], true);
}

#[tokio::test]
async fn largest_payload_is_explained() {
    let scene = Scene::new().await;
    let text = "x".repeat(4 * 1024 * 1024);
    let id = scene.webhook(&json!({ "list": vec![0; 100_000], "text": text })).await;

    let explained = scene.get(&format!("/api/v1/events/{id}/explain")).await;

    assert_eq!(explained["explain"][0]["nodes"], json!(["$['text']"]));
}
