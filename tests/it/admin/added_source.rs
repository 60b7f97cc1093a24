//! A source that is added by the API, and its secret.

use std::os::unix::fs::PermissionsExt as _;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use savio_relay::store::sqlite::{Settings, Sqlite};
use savio_relay::store::{AuditFilter, Operations, PageRequest};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Answer, Scene, TOKEN};
use crate::support::relay::http;

const OLD: &str = "an old secret of the survey";
const NEW: &str = "a new secret of the survey";

const SOURCE: &str = "/api/v1/sources/survey";

async fn scene() -> Scene {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    scene.without_mistakes().await
}

impl Scene {
    async fn add(&self, name: &str, provider: &str) -> Answer {
        let body = json!({ "name": name, "provider": provider });
        self.call("POST", "/api/v1/sources", Some(&body)).await
    }

    async fn set_secret(&self, body: Value) -> Answer {
        self.call("PUT", &format!("{SOURCE}/secret"), Some(&body)).await
    }

    /// Sends a webhook of Typeform that is signed with this secret.
    async fn survey(&self, secret: &str, word: &str) -> (StatusCode, Value) {
        let body = json!({
            "event_id": word,
            "event_type": "form_response",
            "form_response": {
                "definition": { "fields": [{ "id": "a", "title": "What?", "type": "short_text" }] },
                "answers": [{ "field": { "id": "a" }, "type": "text", "text": word }],
            },
        });
        let body = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let digest = data_encoding::BASE64.encode(&mac.finalize().into_bytes());
        let call = http()
            .post(format!("{}/hooks/survey", self.relay.url))
            .header("content-type", "application/json")
            .header("typeform-signature", format!("sha256={digest}"));
        let answer = call.body(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn added_source_is_paused_until_it_has_a_secret_and_is_resumed() {
    let scene = scene().await;

    let added = scene.add("survey", "typeform").await;

    assert_eq!(added.status, 200, "{:?}", added.json());
    let source = added.json();
    assert_eq!((&source["paused"], &source["live"]), (&json!(true), &json!(false)), "{source}");
    assert_eq!(source["paused_by"], "admin.token");
    assert_eq!((&source["title"], &source["setup_url"]), (&json!("Typeform"), &Value::Null));
    let secret = json!({ "location": "file:secrets/survey.secret", "set": false, "until": null,
        "matched": 0, "last_matched_at": null });
    assert_eq!(source["secrets"], json!([secret]));
    assert_eq!(source["file"], "mappings/survey.toml");
    assert_eq!(source["secret_from"], "you");
    let url = format!("{}/hooks/survey", scene.relay.url);
    assert!(source["setup"]["steps"].to_string().contains(&url), "{}", source["setup"]);
    let steps = source["setup"]["steps"].to_string();
    let keep = "Set it as the source's secret (PUT /api/v1/sources/survey/secret).";
    assert!(steps.contains(keep), "{steps}");
    assert_eq!(source["provider"], "typeform", "also before its secret is set");
    assert_eq!(scene.survey(NEW, "early").await.0, 503);
    let set = scene.set_secret(json!({ "secret": format!("{NEW}\n") })).await;
    assert_eq!((set.status.as_u16(), &set.json()["live"]), (200, &json!(true)));
    let (status, answer) = scene.survey(NEW, "Slow").await;
    assert_eq!(status, 202);
    let id = answer["events"][0].as_str().unwrap();
    assert_eq!(scene.get(&format!("/api/v1/events/{id}")).await["state"], "queued");
    scene.post(&format!("{SOURCE}/resume"), json!({})).await;
    scene.until(id, "delivered").await;

    let source = scene.get(SOURCE).await;
    assert_eq!(
        (&source["secrets"][0]["set"], &source["secrets"][0]["matched"]),
        (&json!(true), &json!(1))
    );
    assert!(source["secrets"][0]["last_matched_at"].is_string(), "{source}");
    assert!(source["first_event_at"].is_string(), "{source}");
    assert_eq!((&source["today"]["delivered"], &source["today"]["queued"]), (&json!(1), &json!(0)));
    let file = scene.folder.path().join("secrets/survey.secret");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), NEW);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let settings = Settings::new(scene.folder.path().join("relay.db"));
    let store = Sqlite::open_shared(&settings).unwrap();
    let page = PageRequest { limit: 10, after: None };
    let recorded = store.audit(AuditFilter::default(), page).await.unwrap().entries;
    store.close().await;
    let recorded: Vec<_> = recorded.iter().map(|it| (&*it.action, it.on.as_deref())).collect();
    let of = |action| (action, Some("source survey"));
    assert_eq!(recorded, [of("resume"), of("set_secret"), of("add_source")]);
    let log = scene.relay.log();
    assert!(!log.contains(NEW), "{log}");
}

#[tokio::test]
async fn added_source_has_no_tests_and_is_tested_by_bundled_samples() {
    let scene = scene().await;
    scene.add("survey", "typeform").await;
    let text = std::fs::read_to_string(scene.file("survey.toml")).unwrap();
    assert!(!text.contains("[[test]]") && text.contains("[[feedback]]"), "{text}");
    scene.set_secret(json!({ "secret": NEW })).await;

    let tested = scene.post(&format!("{SOURCE}/test"), json!({})).await;

    assert_eq!(tested["status"], 202, "{tested}");
    assert!(tested["sample"].as_str().unwrap().starts_with("typeform."), "{tested}");
    assert!(!tested["requests"].as_array().unwrap().is_empty(), "{tested}");
}

#[tokio::test]
async fn short_secret_is_warned_about_and_a_past_day_is_refused() {
    let scene = scene().await;
    scene.add("survey", "typeform").await;

    let short = scene.set_secret(json!({ "secret": "short" })).await;
    assert_eq!(short.status, 200, "{:?}", short.json());
    let warning = short.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.starts_with("the secret has 5 characters"), "{warning}");
    let set = scene.set_secret(json!({ "secret": OLD })).await.json();
    assert_eq!(set["warnings"], json!([]));

    let past = json!({ "secret": NEW, "keep_old_until": "2020-01-31" });
    let refused = scene.set_secret(past).await;
    assert_eq!(refused.status, 400);
    let reason = "2020-01-31 is over: leave keep_old_until out to end the old secret now";
    assert_eq!(refused.json()["reason"], reason);
    let no_day = scene.set_secret(json!({ "secret": NEW, "keep_old_until": "soon" })).await;
    assert_eq!(no_day.json()["reason"], "`keep_old_until`: write a date such as 2026-01-31");
    assert_eq!(scene.survey(OLD, "1").await.0, 202, "it is as it was");
}

#[tokio::test]
async fn replaced_secret_may_stay_valid_until_a_day() {
    let scene = scene().await;
    scene.add("survey", "typeform").await;
    let kept = json!({ "secret": OLD, "keep_old_until": "2999-12-31" });
    assert_eq!(scene.set_secret(kept).await.status, 409, "there is no old one");
    assert_eq!(scene.set_secret(json!({ "secret": OLD })).await.status, 200);
    let text = || std::fs::read_to_string(scene.file("survey.toml")).unwrap();
    let before = text();

    let kept = json!({ "secret": NEW, "keep_old_until": "2999-12-31" });
    let set = scene.set_secret(kept).await;

    assert_eq!(set.status, 200, "{:?}", set.json());
    assert_eq!(scene.survey(OLD, "1").await.0, 202);
    assert_eq!(scene.survey(NEW, "2").await.0, 202);
    let former = "{ from = \"file:secrets/survey.old.secret\", until = \"2999-12-31\" }";
    let list = "\"file:secrets/survey.secret\"";
    assert_eq!(text(), before.replace(list, &format!("{list}, {former}")), "all else is as it was");
    let secrets = scene.get(SOURCE).await["secrets"].clone();
    assert_eq!((&secrets[0]["matched"], &secrets[1]["matched"]), (&json!(1), &json!(1)));
    assert_eq!(secrets[1]["until"], "2999-12-31");
    assert_eq!(scene.set_secret(json!({ "secret": NEW })).await.status, 200);
    assert_eq!(scene.survey(OLD, "3").await.0, 401);
    assert_eq!(scene.survey(NEW, "4").await.0, 202);
    assert_eq!(text(), before);
    assert!(!scene.folder.path().join("secrets/survey.old.secret").exists());
}

#[tokio::test]
async fn secret_that_cannot_be_one_is_refused_without_being_shown() {
    let scene = scene().await;
    scene.add("survey", "typeform").await;
    for secret in
        [json!(""), json!("hunter2\u{7}hunter2"), json!(12_345_678), json!("x".repeat(65_537))]
    {
        let refused = scene.set_secret(json!({ "secret": secret })).await;
        assert_eq!(refused.status, 400, "{secret}");
        let reason = refused.json()["reason"].as_str().unwrap().to_owned();
        assert!(!reason.contains("hunter2") && !reason.contains("12345678"), "{reason}");
    }
    assert!(!scene.folder.path().join("secrets/survey.secret").exists());
    let form =
        scene.call("PUT", "/api/v1/sources/form/secret", Some(&json!({ "secret": "x" }))).await;
    assert_eq!(form.status, 409);
    let reason = form.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("secrets = [\"file:secrets/form.secret\"]"), "{reason}");
}

#[tokio::test]
async fn source_that_exists_or_has_no_valid_name_is_not_added() {
    let scene = scene().await;
    assert_eq!(scene.add("form", "form").await.status, 409);
    let sources = std::fs::read_dir(scene.file("")).unwrap().count();
    for name in ["", "../x", "A", "a/b", ".x", &"a".repeat(65)] {
        assert_eq!(scene.add(name, "form").await.status, 400, "{name}");
    }
    let unknown = scene.add("survey", "typefrom").await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.json()["reason"].as_str().unwrap().contains("did you mean typeform?"));
    assert_eq!(std::fs::read_dir(scene.file("")).unwrap().count(), sources);
    assert_eq!(scene.add("survey", "form").await.status, 200);
    assert_eq!(scene.add("survey", "form").await.status, 409);
}

#[tokio::test]
async fn source_that_cannot_be_added_is_not_paused() {
    let scene = Scene::new().await;

    // The mistake in off.toml keeps every set from being taken.
    assert_eq!(scene.add("survey", "form").await.status, 409);

    std::fs::remove_file(scene.file("off.toml")).unwrap();
    std::fs::write(scene.file("survey.toml"), super::MAPPING.replace("FORM_SECRET", "S")).unwrap();
    scene.relay.hang_up();
    let survey = async || scene.get("/api/v1/sources").await["sources"][2].clone();
    crate::support::wait::until_async(async || survey().await["name"] == "survey").await;
    assert_eq!(survey().await["paused"], false);
}

#[tokio::test]
async fn source_whose_tool_brings_the_secret_shows_its_address_to_editors_only() {
    let config = "[[admin.tokens]]\nname = \"reader\"\ntoken = \"env:READER\"\nrole = \"read\"\n";
    let scene = Scene::configured(config, &[("READER", "the secret of a reader")]).await;
    let scene = scene.without_mistakes().await;

    let added = scene.add("tasks", "asana").await.json();

    let url = added["setup_url"].as_str().expect("it waits for its secret");
    assert!(url.starts_with(&format!("{}/hooks/tasks?setup=", scene.relay.url)), "{url}");
    let path = "/api/v1/sources/tasks";
    let read = scene.call_as("the secret of a reader", ("GET", path), None).await.json();
    assert_eq!(read["setup_url"], Value::Null);
    let greeting = http().post(url).header("x-hook-secret", "asana's secret");
    assert_eq!(greeting.send().await.unwrap().status(), 200);
    let shown = scene.get(path).await;
    assert_eq!((&shown["live"], &shown["setup_url"]), (&json!(true), &Value::Null), "{shown}");
}

#[tokio::test]
async fn about_says_what_can_be_written() {
    let scene = Scene::with(&[("SAVIO_RELAY_SECRETS_FOLDER", "kept/secrets")]).await;
    let about = scene.get("/api/v1/about").await;

    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&about["mappings_writable"], &about["secrets_writable"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(about["secrets_folder"], "kept/secrets");
    assert_eq!(about["retention_seconds"], 30 * 24 * 60 * 60);
    let scene = scene.without_mistakes().await;
    scene.add("survey", "form").await;
    let added = scene.set_secret(json!({ "secret": "a secret" })).await;
    assert_eq!(added.status, 200, "{:?}", added.json());
    assert!(scene.folder.path().join("kept/secrets/survey.secret").exists());
    let answer = scene.call_if(TOKEN, ("GET", SOURCE, None), None).await.json();
    assert_eq!(answer["secrets"][0]["location"], "file:kept/secrets/survey.secret");
}
