//! The check of a mapping that is not saved: its mistakes with their corrections, and its tests.

use serde_json::{Value, json};

use super::{MAPPING, Scene};

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
