//! A mapping file that is read, saved and removed by the API.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Answer, MAPPING, Scene, TOKEN};
use crate::support::wait::until_async;

const PATH: &str = "/api/v1/sources/form/mapping";

const EDITOR: &str = "the secret of an editor";

const EDITORS: &str =
    "[[admin.tokens]]\nname = \"editor\"\ntoken = \"env:EDITOR\"\nrole = \"edit\"\n";

fn digest(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", digest(text))
}

fn with_word(word: &str) -> String {
    MAPPING.replace("\"$.text\"", &format!("\"{word} {{{{ payload.text }}}}\""))
}

async fn scene() -> Scene {
    Scene::configured(EDITORS, &[("EDITOR", EDITOR)]).await
}

impl Scene {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("mappings").join(name)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file("form.toml")).unwrap()
    }

    async fn save(&self, token: &str, before: &str, body: Value) -> Answer {
        let tag = quoted(before);
        self.call_if(token, ("PUT", PATH, Some(tag.as_str())), Some(&body)).await
    }

    /// Removes the file that has mistakes since the start.
    pub(super) async fn without_mistakes(self) -> Scene {
        std::fs::remove_file(self.file("off.toml")).unwrap();
        self.relay.hang_up();
        let gone = async || {
            let off = self.get("/api/v1/sources").await["sources"][1].clone();
            off["reason"] == "its mapping file is gone"
        };
        until_async(gone).await;
        self
    }

    async fn delivers(&self, problem: &str) {
        let id = self.webhook(&json!({ "text": "Slow" })).await;
        let event = self.until(&id, "delivered").await;
        assert_eq!(event["requests"][0]["body"]["problem"], problem, "{event}");
    }
}

#[tokio::test]
async fn mapping_is_saved_byte_for_byte_and_in_service_at_once() {
    let scene = scene().await.without_mistakes().await;
    scene.savio_answers().await;
    let shown = scene.get(PATH).await;
    assert_eq!((&shown["text"], &shown["writable"]), (&json!(MAPPING), &json!(true)), "{shown}");
    assert_eq!(shown["digest"], digest(MAPPING));
    assert_eq!(shown["in_service"], shown["digest"]);
    assert_eq!(
        (&shown["file"], &shown["has_bundled"]),
        (&json!("mappings/form.toml"), &json!(true))
    );
    let new = with_word("New").replace('\n', "\r\n") + "# \u{e9}\u{1f600} no line end";

    let saved = scene.save(EDITOR, MAPPING, json!({ "mapping": new })).await;

    assert_eq!(saved.status, 200, "{:?}", saved.json());
    assert_eq!(saved.json()["digest"], digest(&new));
    assert_eq!(scene.text(), new);
    scene.delivers("New Slow").await;
    let names: Vec<_> = std::fs::read_dir(scene.file("")).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
}

#[tokio::test]
async fn change_without_the_digest_of_the_present_text_is_refused() {
    let scene = scene().await.without_mistakes().await;
    let body = json!({ "mapping": with_word("New") });
    let put = async |condition: Option<&str>| {
        scene.call_if(TOKEN, ("PUT", PATH, condition), Some(&body)).await
    };

    let missing = put(None).await;
    assert_eq!(
        (missing.status.as_u16(), &missing.json()["error"]),
        (428, &json!("precondition required"))
    );
    let weak = format!("W/{}", quoted(MAPPING));
    for other in [quoted("another").as_str(), &weak, "\"\""] {
        let refused = put(Some(other)).await;
        assert_eq!(refused.status, 412, "{other}");
        assert!(refused.json()["reason"].as_str().unwrap().contains(&digest(MAPPING)));
    }
    assert_eq!(put(Some("no quotes")).await.status, 400);
    assert_eq!(scene.text(), MAPPING);
    let several = format!("\"x\", {}", quoted(MAPPING));
    assert_eq!(put(Some(&several)).await.status, 200);
    assert_eq!(put(Some("*")).await.status, 200);
    // An editor wrote it, and the relay may not have noticed yet.
    std::fs::write(scene.file("form.toml"), with_word("Theirs")).unwrap();
    assert_eq!(put(Some(&quoted(&with_word("New")))).await.status, 412);
    assert_eq!(scene.text(), with_word("Theirs"));
}

#[tokio::test]
async fn mapping_with_mistakes_is_not_saved() {
    let scene = scene().await.without_mistakes().await;
    let wrong = MAPPING.replace("problem", "problm");

    let refused = scene.save(EDITOR, MAPPING, json!({ "mapping": wrong })).await;

    assert_eq!(refused.status, 422);
    let mistakes = refused.json()["mistakes"].clone();
    let misspelt = mistakes.as_array().unwrap().iter().find(|it| it["line"] == 7).unwrap();
    assert_eq!(misspelt["help"], "did you mean `problem`?", "{mistakes}");
    // Only the set as a whole knows the destinations.
    let elsewhere = format!("destination = \"nowhere\"\n{MAPPING}");
    let refused = scene.save(TOKEN, MAPPING, json!({ "mapping": elsewhere })).await;
    assert_eq!(refused.status, 422, "{:?}", refused.json());
    assert_eq!(scene.text(), MAPPING);
}

#[tokio::test]
async fn mistake_in_another_file_is_a_conflict_that_names_it() {
    let scene = scene().await;

    let refused = scene.save(TOKEN, MAPPING, json!({ "mapping": with_word("New") })).await;

    assert_eq!(refused.status, 409);
    let reason = refused.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("mappings/off.toml"), "{reason}");
    assert!(reason.contains("correct that one first"), "{reason}");
    assert_eq!(scene.text(), MAPPING);
    let off = "/api/v1/sources/off/mapping";
    let repaired = json!({ "mapping": MAPPING });
    let saved = scene.call_if(TOKEN, ("PUT", off, Some("*")), Some(&repaired)).await;
    assert_eq!(saved.status, 200, "the mistaken file itself can be corrected: {:?}", saved.json());
}

#[tokio::test]
async fn editor_may_not_change_who_sends_or_where_events_go() {
    let config = format!("{EDITORS}[destinations.eu]\ntoken = \"env:EU\"\n");
    let scene = Scene::configured(&config, &[("EDITOR", EDITOR), ("EU", "t")]).await;
    let scene = scene.without_mistakes().await;
    let form = "provider = \"form\"";
    let secrets = "secrets = [\"env:FORM_SECRET\"]";
    let none = "[signature]\nscheme = \"none\"\n[[feedback]]";
    let kept = "secrets = [\"file:secrets/form.secret\"]";
    let greeting = "[[handshake]]\nmethod = \"GET\"\nbody = \"{query:x}\"\n[[feedback]]";
    let dated = "secrets = [{ from = \"env:FORM_SECRET\", until = \"2999-01-01\" }]";
    let refused = [
        ("secrets", MAPPING.replace("env:FORM_SECRET", "env:ADMIN_TOKEN")),
        ("secrets", MAPPING.replace("env:FORM_SECRET", "file:/etc/passwd")),
        ("secrets", MAPPING.replace("env:FORM_SECRET", "file:secrets/../form.secret")),
        ("secrets", MAPPING.replace("env:FORM_SECRET", "file:secrets/other.secret")),
        ("secrets", MAPPING.replace("env:FORM_SECRET", "file:secrets/form.secret\", \"env:PATH")),
        ("secrets", MAPPING.replace(secrets, dated)),
        ("[signature]", MAPPING.replace("[[feedback]]", none)),
        ("[signature]", MAPPING.replace("[[feedback]]", none).replace(secrets, kept)),
        ("[signature]", MAPPING.replace(form, "provider = \"typeform\"")),
        ("[[handshake]]", MAPPING.replace("[[feedback]]", greeting)),
        ("[[handshake]]", MAPPING.replace("[[feedback]]", greeting).replace(secrets, kept)),
        ("destination", format!("destination = \"eu\"\n{MAPPING}")),
    ];
    for (part, text) in &refused {
        let answer = scene.save(EDITOR, MAPPING, json!({ "mapping": text })).await;
        assert_eq!(answer.status, 403, "{text}");
        let reason = answer.json()["reason"].as_str().unwrap().to_owned();
        assert!(
            reason.contains("the token editor may not change") && reason.contains(part),
            "{reason}"
        );
        let is_advised_on_secrets = reason.contains("\"file:secrets/form.secret\"");
        assert_eq!(is_advised_on_secrets, *part != "destination", "{reason}");
        assert_eq!(scene.text(), MAPPING);
    }
    // The same in other words is no change, and a secret that the relay keeps may be named.
    let same = MAPPING.replace(secrets, "secrets = \"env:FORM_SECRET\" # as before");
    let destination = format!("destination = 'default'\n{same}");
    let own = MAPPING.replace(secrets, kept);
    let mut before = MAPPING.to_owned();
    for text in [same, destination, own] {
        let answer = scene.save(EDITOR, &before, json!({ "mapping": text })).await;
        assert_eq!(answer.status, 200, "{text}: {:?}", answer.json());
        before = text;
    }
    let answer = scene.save(TOKEN, &before, json!({ "mapping": refused[6].1 })).await;
    assert_eq!(answer.status, 200, "{:?}", answer.json());
}

#[tokio::test]
async fn editor_may_not_undo_a_change_of_secrets_that_is_not_in_service_yet() {
    let scene = scene().await;
    let rotated = MAPPING.replace("env:FORM_SECRET", "env:NEW_SECRET");
    // The mistake in the other file keeps it from being taken.
    std::fs::write(scene.file("form.toml"), &rotated).unwrap();

    let answer = scene.save(EDITOR, &rotated, json!({ "mapping": MAPPING })).await;

    assert_eq!(answer.status, 403, "{:?}", answer.json());
    assert_eq!(scene.text(), rotated);
}

#[tokio::test]
async fn two_mistaken_files_are_corrected_one_after_the_other() {
    let scene = scene().await;
    scene.savio_answers().await;
    // `off.toml` has a mistake, and somebody adds one to the other file.
    let wrong = MAPPING.replace("problem", "problm");
    std::fs::write(scene.file("form.toml"), &wrong).unwrap();

    let first = scene.save(TOKEN, &wrong, json!({ "mapping": with_word("New") })).await;

    assert_eq!(first.status, 202, "{:?}", first.json());
    let warning = first.json()["warnings"][0]["message"].as_str().unwrap().to_owned();
    assert!(warning.starts_with("it is not in service yet: mappings/off.toml cannot"), "{warning}");
    assert_eq!(scene.text(), with_word("New"));
    let shown = scene.get(PATH).await;
    let digests = [&shown["digest"], &shown["in_service"]].map(|it| it.as_str().unwrap());
    assert_eq!(digests, [digest(&with_word("New")), digest(MAPPING)]);
    // Right by now, it is not changed again before the other one is right too.
    let body = json!({ "mapping": with_word("Newer") });
    let again = scene.save(TOKEN, &with_word("New"), body).await;
    assert_eq!(again.status, 409, "{:?}", again.json());
    assert_eq!(scene.text(), with_word("New"));

    let other = "provider = \"typeform\"\nsecrets = [\"env:NONE\"]\n";
    let put = ("PUT", "/api/v1/sources/off/mapping", Some("*"));
    let second = scene.call_if(TOKEN, put, Some(&json!({ "mapping": other }))).await;

    assert_eq!(second.status, 200, "{:?}", second.json());
    assert_eq!(scene.get(PATH).await["in_service"], digest(&with_word("New")));
    scene.delivers("New Slow").await;
}

#[tokio::test]
async fn secret_file_that_is_there_already_is_not_taken_over() {
    let scene = scene().await.without_mistakes().await;
    let secrets = scene.folder.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    for name in ["form", "survey"] {
        std::fs::write(secrets.join(format!("{name}.secret")), "of something else").unwrap();
    }
    let kept = MAPPING.replace("env:FORM_SECRET", "file:secrets/form.secret");

    let moved = scene.save(EDITOR, MAPPING, json!({ "mapping": kept })).await;
    let survey = json!({ "name": "survey", "provider": "typeform" });
    let added = scene.call_as(EDITOR, ("POST", "/api/v1/sources"), Some(&survey)).await;

    assert_eq!(moved.status, 403, "{:?}", moved.json());
    let reason = moved.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("\"file:secrets/form.secret\" was not made by the relay"), "{reason}");
    assert_eq!(scene.text(), MAPPING);
    assert_eq!(added.status, 409, "{:?}", added.json());
    let reason = added.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("file:secrets/survey.secret is there already"), "{reason}");
    assert!(!scene.file("survey.toml").exists());
    for name in ["form", "survey"] {
        let secret = std::fs::read_to_string(secrets.join(format!("{name}.secret"))).unwrap();
        assert_eq!(secret, "of something else");
    }
    let moved = scene.save(TOKEN, MAPPING, json!({ "mapping": kept })).await;
    assert_eq!(moved.status, 200, "{:?}", moved.json());
    // Named by the text in service, it may stay.
    let worded = kept.replace("$.text", "New {{ payload.text }}");
    let saved = scene.save(EDITOR, &kept, json!({ "mapping": worded })).await;
    assert_eq!(saved.status, 200, "{:?}", saved.json());
}

#[tokio::test]
async fn expectation_of_another_mapping_file_is_not_updated() {
    let scene = scene().await.without_mistakes().await;
    let table = "\n[[test]]\npayload = \"samples/a.json\"\nexpect = \"samples/a.expected.json\"\n";
    std::fs::create_dir(scene.file("samples")).unwrap();
    std::fs::write(scene.file("samples/a.json"), r#"{"text":"Slow"}"#).unwrap();
    let expected = r#"[{"request":"feedback","body":{"problem":"Slow"}}]"#;
    std::fs::write(scene.file("samples/a.expected.json"), expected).unwrap();
    let other = MAPPING.replace("FORM_SECRET", "OTHER_SECRET") + table;
    std::fs::write(scene.file("other.toml"), other).unwrap();
    until_async(async || scene.relay.logged("other is new") > 0).await;

    let body = json!({ "mapping": with_word("New") + table, "update_tests": true });
    let saved = scene.save(TOKEN, MAPPING, body).await.json();

    assert_eq!(saved["written"], json!([]), "{saved}");
    let help = saved["warnings"][0]["help"].as_str().unwrap();
    assert!(help.starts_with("mappings/other.toml expects the same"), "{help}");
    let kept = std::fs::read_to_string(scene.file("samples/a.expected.json")).unwrap();
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn removed_file_gives_way_to_the_bundled_mapping() {
    let scene = Scene::with(&[("SAVIO_RELAY_SHIPPED_MAPPINGS", "form")]).await;
    let scene = scene.without_mistakes().await;
    let tag = quoted(MAPPING);
    let remove = async |condition| scene.call_if(TOKEN, ("DELETE", PATH, condition), None).await;
    assert_eq!(remove(None).await.status, 428);
    assert_eq!(remove(Some("\"other\"")).await.status, 412);

    let removed = remove(Some(&tag)).await;

    assert_eq!(removed.status, 200, "{:?}", removed.json());
    assert_eq!(removed.json()["file"], Value::Null);
    let shown = scene.get(PATH).await;
    assert_eq!((&shown["file"], &shown["digest"]), (&Value::Null, &shown["in_service"]));
    assert!(shown["text"].as_str().unwrap().starts_with("#:schema"), "{shown}");
    assert!(!scene.file("form.toml").exists());
    assert_eq!(remove(Some("*")).await.status, 404, "there is no file any more");
    let tag = format!("\"{}\"", shown["digest"].as_str().unwrap());
    let body = json!({ "mapping": MAPPING });
    let saved = scene.call_if(TOKEN, ("PUT", PATH, Some(&tag)), Some(&body)).await;
    assert_eq!((saved.status.as_u16(), scene.text().as_str()), (200, MAPPING));
}

#[tokio::test]
async fn file_without_a_bundled_mapping_is_not_removed() {
    let scene = scene().await.without_mistakes().await;

    let refused = scene.call_if(TOKEN, ("DELETE", PATH, Some("*")), None).await;

    assert_eq!(refused.status, 409, "{:?}", refused.json());
    assert_eq!(scene.text(), MAPPING);
}

#[tokio::test]
async fn failing_test_is_a_warning_and_is_updated_on_request() {
    let scene = scene().await.without_mistakes().await;
    let table = "\n[[test]]\npayload = \"samples/a.json\"\nexpect = \"samples/a.expected.json\"\n";
    let text = with_word("New") + table;
    std::fs::create_dir(scene.file("samples")).unwrap();
    std::fs::write(scene.file("samples/a.json"), r#"{"text":"Slow"}"#).unwrap();
    let put = async |update: bool| {
        let body = json!({ "mapping": text, "update_tests": update });
        scene.call_if(EDITOR, ("PUT", PATH, Some("*")), Some(&body)).await.json()
    };

    let saved = put(false).await;
    let warning = saved["warnings"][0]["message"].as_str().unwrap();
    assert_eq!(warning, "samples/a.expected.json is not written yet", "{saved}");
    let shown = (&saved["warnings"][0]["severity"], &saved["warnings"][0]["help"]);
    let help = "send \"update_tests\": true to accept what they give now";
    assert_eq!(shown, (&json!("warning"), &json!(help)));
    assert_eq!(saved["written"], json!([]));
    let saved = put(true).await;
    assert_eq!(saved["written"], json!(["mappings/samples/a.expected.json"]), "{saved}");
    assert_eq!(saved["warnings"], json!([]));

    let expected = std::fs::read(scene.file("samples/a.expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    assert_eq!(expected[0]["body"]["problem"], "New Slow");
    assert_eq!(put(false).await["warnings"], json!([]));
}

#[tokio::test]
async fn test_of_a_saved_mapping_reads_and_writes_only_inside_the_folder() {
    let scene = scene().await.without_mistakes().await;
    std::fs::write(scene.folder.path().join("outside.json"), r#"{"text":"Slow"}"#).unwrap();
    std::fs::create_dir(scene.file("samples")).unwrap();
    std::fs::write(scene.file("samples/a.json"), r#"{"text":"Slow"}"#).unwrap();
    let outside = scene.folder.path().join("written.json");
    let absolute = outside.to_str().unwrap();
    for (payload, expect) in [
        ("../outside.json", "samples/x.json"),
        ("samples/a.json", "../written.json"),
        ("samples/a.json", absolute),
        ("samples/a.json", "samples/x.toml"),
        ("samples/a.json", "x.secret"),
        ("samples/a.json", ".hidden.json"),
    ] {
        let test = format!("\n[[test]]\npayload = \"{payload}\"\nexpect = \"{expect}\"\n");
        let body = json!({ "mapping": MAPPING.to_owned() + &test, "update_tests": true });

        let saved = scene.call_if(EDITOR, ("PUT", PATH, Some("*")), Some(&body)).await;

        assert_eq!(saved.status, 200, "{:?}", saved.json());
        let saved = saved.json();
        assert_eq!(saved["written"], json!([]), "{payload} {expect}: {saved}");
        assert!(!saved["warnings"].as_array().unwrap().is_empty(), "{payload} {expect}");
    }
    assert!(!outside.exists());
    assert_eq!(std::fs::read_dir(scene.file("samples")).unwrap().count(), 1);
}

#[tokio::test]
async fn linked_file_keeps_its_link_and_a_read_only_one_its_text() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let scene = scene().await.without_mistakes().await;
    let target = scene.folder.path().join("elsewhere.toml");
    std::fs::rename(scene.file("form.toml"), &target).unwrap();
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../elsewhere.toml", scene.file("form.toml")).unwrap();

    let saved = scene.save(TOKEN, MAPPING, json!({ "mapping": with_word("New") })).await;

    assert_eq!(saved.status, 200, "{:?}", saved.json());
    assert!(scene.file("form.toml").is_symlink());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), with_word("New"));
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o440)).unwrap();
    let shown = scene.get(PATH).await;
    assert_eq!(
        (&shown["writable"], &shown["not_writable"]),
        (&json!(false), &json!("the file is read-only"))
    );
    let refused = scene.save(TOKEN, &with_word("New"), json!({ "mapping": MAPPING })).await;
    assert_eq!(refused.status, 409, "{:?}", refused.json());
    let reason = refused.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.ends_with("cannot be written: the file is read-only"), "{reason}");
    assert_eq!(scene.text(), with_word("New"));
}

#[tokio::test]
async fn text_that_switches_its_source_off_is_saved_with_a_warning() {
    let scene = scene().await.without_mistakes().await;
    let kept = MAPPING.replace("env:FORM_SECRET", "file:secrets/form.secret");

    let saved = scene.save(EDITOR, MAPPING, json!({ "mapping": kept })).await;

    assert_eq!(saved.status, 200, "{:?}", saved.json());
    let warning = saved.json()["warnings"][0].clone();
    assert_eq!(warning["severity"], "warning");
    let message = warning["message"].as_str().unwrap();
    assert!(message.starts_with("form is off now and refuses webhooks (503): "), "{message}");
    assert!(message.contains("secrets/form.secret"), "{message}");
    assert_eq!(warning["help"], "set it with PUT /api/v1/sources/form/secret");
    let entry = scene.get("/api/v1/audit?action=save_mapping").await["entries"][0].clone();
    assert_eq!((&entry["who"], &entry["detail"]), (&json!("editor"), &json!("changes secrets")));
    let sources = scene.get("/api/v1/sources").await["sources"].clone();
    let form = sources.as_array().unwrap().iter().find(|it| it["name"] == "form").unwrap();
    assert_eq!((&form["in_folder"], &form["live"]), (&json!(true), &json!(false)));
    let mut list = crate::support::relay::program(scene.folder.path());
    let output = list.args(["sources", "list"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("form") && shown.contains("secrets/form.secret"), "{shown}");
    let log = scene.relay.log_at_stop();
    assert!(log.contains("WARN") && log.contains("form is off: "), "{log}");
}
