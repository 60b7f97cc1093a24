//! The admin API of the real program.

mod audit;
mod bounds;
mod browser;
mod changes;
mod check;
mod added_source;
mod copies;
mod described;
mod lists;
mod proxied;
mod drafts;
mod providers;
mod kept_test;
mod mapping;
mod random;
mod refusals;
mod roles;
mod scraped;
mod series;
mod sessions;
mod source_tests;
mod strict;

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use savio_relay::clock;
use savio_relay::event::MappingDigest;
use savio_relay::store::sqlite::{Settings, Sqlite};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::{body_partial_json, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, http};
use crate::support::store::{from, store_one};
use crate::support::wait::until_async;
use described::{Description, Operation};

/// A mapping of the source `off`, whose secret the relay keeps.
const OTHER_MAPPING: &str = "provider = \"typeform\"\nsecrets = [\"file:secrets/off.secret\"]\n\n[[feedback]]\nproblem = \"$.text\"\n";

const TOKEN: &str = "a token of the test";

const MAPPING: &str = r#"
provider = "form"
secrets = ["env:FORM_SECRET"]

[[feedback]]
when = "@.ignored != true"
problem = "$.text"
person_email = ["$.email", "$.mail"]
"#;

/// A running relay with one source, a source that is off, and a scripted Savio.
struct Scene {
    folder: TempDir,
    savio: MockServer,
    relay: Relay,
}

/// A response of the API.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Scene {
    async fn new() -> Scene {
        Scene::with(&[]).await
    }

    async fn with(variables: &[(&str, &str)]) -> Scene {
        Scene::configured("", variables).await
    }

    /// Starts a relay with this relay.toml.
    async fn configured(config: &str, variables: &[(&str, &str)]) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("relay.toml"), config).unwrap();
        std::fs::create_dir(folder.path().join("mappings")).unwrap();
        std::fs::write(folder.path().join("mappings/form.toml"), MAPPING).unwrap();
        std::fs::write(folder.path().join("mappings/off.toml"), "provider = \"typeform\"\n")
            .unwrap();
        let savio = MockServer::start().await;
        let base_url = format!("{}/app/api/", savio.uri());
        let own = [
            ("FORM_SECRET", "secret"),
            ("SAVIO_API_TOKEN", "token"),
            ("ADMIN_TOKEN", TOKEN),
            ("SAVIO_RELAY_SHIPPED_MAPPINGS", "false"),
            ("SAVIO_RELAY_SAVIO__BASE_URL", base_url.as_str()),
            ("SAVIO_RELAY_SAVIO__UNANSWERED", "hold"),
            ("SAVIO_RELAY_SAVIO__TIMEOUT", "500ms"),
        ];
        let relay = Relay::start(folder.path(), &[&own, variables].concat());
        Scene { folder, savio, relay }
    }

    /// Makes Savio refuse feedback with the text "refuse", and not answer one with "hang" in time.
    async fn savio_answers(&self) {
        let posts = || Mock::given(method("POST"));
        let refused = ResponseTemplate::new(400).set_body_json(json!({ "problem": ["No."] }));
        let late = ResponseTemplate::new(201).set_delay(std::time::Duration::from_mins(1));
        for (text, answer) in [("refuse", refused), ("hang", late)] {
            let has_text = body_partial_json(json!({ "problem": text }));
            posts().and(has_text).respond_with(answer).mount(&self.savio).await;
        }
        let created = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
        posts().respond_with(created).mount(&self.savio).await;
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.call_as(TOKEN, (method, path), body).await
    }

    async fn call_as(
        &self,
        token: &str,
        (method, path): (&str, &str),
        body: Option<&Value>,
    ) -> Answer {
        self.call_if(token, (method, path, None), body).await
    }

    /// Calls with the header `If-Match`.
    async fn call_if(
        &self,
        token: &str,
        (method, path, condition): (&str, &str, Option<&str>),
        body: Option<&Value>,
    ) -> Answer {
        let method: Method = method.parse().unwrap();
        let mut call = http().request(method, format!("{}{path}", self.relay.admin_url));
        if let Some(condition) = condition {
            call = call.header("if-match", condition);
        }
        if let Some(body) = body {
            call = call.json(body);
        }
        let answer = call.bearer_auth(token).send().await.unwrap();
        Answer { status: answer.status(), body: answer.bytes().await.unwrap().to_vec() }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.call("POST", path, Some(&body)).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Sends a webhook and returns the event's id.
    async fn webhook(&self, payload: &Value) -> String {
        let url = format!("{}/hooks/form", self.relay.url);
        let call = http().post(url).header("x-relay-token", "secret").json(payload);
        let answer: Value = call.send().await.unwrap().json().await.unwrap();
        answer["events"][0].as_str().expect("it is accepted").to_owned()
    }

    async fn until(&self, id: &str, state: &str) -> Value {
        let path = format!("/api/v1/events/{id}");
        until_async(async || self.get(&path).await["state"] == state).await;
        self.get(&path).await
    }

    /// Creates an event in each state except queued: delivered, ignored, held, dead.
    async fn one_of_each(&self) -> [String; 4] {
        self.savio_answers().await;
        let payloads = [
            (json!({ "text": "Slow", "email": "ada@example.com" }), "delivered"),
            (json!({ "text": "Slow", "ignored": true }), "ignored"),
            (json!({ "text": "hang" }), "held"),
            (json!({ "text": "refuse" }), "dead"),
        ];
        let mut ids = Vec::new();
        for (payload, state) in payloads {
            let id = self.webhook(&payload).await;
            self.until(&id, state).await;
            ids.push(id);
        }
        ids.try_into().unwrap()
    }

    async fn description(&self) -> Description {
        Description(self.get("/api/v1/openapi.json").await)
    }
}

#[tokio::test]
async fn request_without_the_token_is_401() {
    let scene = Scene::new().await;

    for Operation { method, path, .. } in scene.description().await.operations() {
        let url = format!("{}{path}", scene.relay.admin_url);
        for token in ["", "another"] {
            let call = http().request(method.parse().unwrap(), &url).bearer_auth(token);
            assert_eq!(call.send().await.unwrap().status(), 401, "{method} {path}");
        }
    }
    let url = &scene.relay.admin_url;
    assert_eq!(
        http().get(format!("{url}/api/v1/openapi.json")).send().await.unwrap().status(),
        401
    );
    assert_eq!(http().get(format!("{url}/no/such")).send().await.unwrap().status(), 401);
    assert_eq!(http().get(format!("{url}/healthz")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn every_route_answers_as_described() {
    let scene = Scene::new().await;
    let [delivered, _, held, dead] = scene.one_of_each().await;
    let description = scene.description().await;
    let replayed = scene.post(&format!("/api/v1/events/{dead}/replay"), json!({})).await;
    let digest = MappingDigest::of(MAPPING).to_string();
    let fillings = BTreeMap::from([
        ("id", [delivered.as_str(), &held, replayed["replay_id"].as_str().unwrap(), "no"]),
        ("name", ["form", "default", "off", "no"]),
        ("digest", [digest.as_str(), &digest[..4], "0000", "no"]),
    ]);
    let bodies = [
        json!({}),
        json!({ "arrived": true }),
        json!({ "state": "dead", "dry_run": true }),
        json!({ "mapping": MAPPING, "payload": { "text": "Slow" } }),
        json!({ "payload": { "text": "Slow" } }),
        json!({ "mapping": MAPPING, "event": held }),
        json!({ "mapping": MAPPING.replace("$.text", "$.email") }),
        json!({ "mapping": "[[feedback]]" }),
        json!({ "mapping": "[[feedback]]", "event": held }),
        json!({ "mapping": MAPPING, "source": "form" }),
        json!({ "mapping": OTHER_MAPPING, "update_tests": true }),
        json!({ "nonce": "0".repeat(32), "secrets": [{ "purpose": "admin.token", "fingerprint": "0" }] }),
        json!({ "event": held, "name": "kept" }),
        json!({ "name": "added", "provider": "typeform" }),
        json!({ "secret": "a secret of the source" }),
        json!({ "payload": { "text": "Slow" } }),
        json!({ "unknown": 1 }),
    ];

    let mut seen = std::collections::BTreeSet::new();
    for operation in description.operations() {
        for path in filled(&operation.path, &fillings) {
            let bodies = bodies.iter().map(Some).chain([None]);
            let has_body = operation.description.get("requestBody").is_some();
            for body in bodies.filter(|it| it.is_none() || has_body) {
                let call = (operation.method.as_str(), path.as_str(), Some("*"));
                let answer = scene.call_if(TOKEN, call, body).await;
                let mismatches =
                    description.mismatches(&operation, answer.status.as_u16(), &answer.body);
                assert!(mismatches.is_empty(), "{path} {body:?}: {mismatches:?}");
                seen.insert((operation.path.clone(), answer.status == 200));
            }
        }
        assert!(seen.contains(&(operation.path.clone(), true)), "{} never works", operation.path);
    }
}

fn filled(path: &str, fillings: &BTreeMap<&str, [&str; 4]>) -> Vec<String> {
    let filling = fillings.iter().find(|(name, _)| path.contains(&format!("{{{name}}}")));
    match filling {
        None => vec![path.to_owned()],
        Some((name, values)) => {
            let one = |value: &&str| filled(&path.replace(&format!("{{{name}}}"), value), fillings);
            values.iter().flat_map(one).collect()
        }
    }
}

#[tokio::test]
async fn events_are_found_by_each_filter() {
    let scene = Scene::new().await;
    let [delivered, ignored, held, dead] = scene.one_of_each().await;
    let found = async |query: &str| {
        let listed = scene.get(&format!("/api/v1/events{query}")).await;
        let events = listed["events"].as_array().unwrap().clone();
        events.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };

    assert_eq!(found("").await, [dead.clone(), held, ignored.clone(), delivered.clone()]);
    assert_eq!(found("?state=dead").await, std::slice::from_ref(&dead));
    assert_eq!(found("?source=form&state=ignored").await, std::slice::from_ref(&ignored));
    assert_eq!(found("?destination=default&state=delivered").await, [delivered]);
    assert!(found("?source=off").await.is_empty());
    assert_eq!(found(&format!("?q={}", dead.to_uppercase())).await, [dead]);
    assert!(found("?since=2999-01-01T00:00:00Z").await.is_empty());
    let first = scene.get("/api/v1/events?limit=2").await;
    let rest = found(&format!("?after={}", first["next"].as_str().unwrap())).await;
    assert_eq!(rest[0], ignored);
}

#[tokio::test]
async fn invalid_request_is_refused_with_its_reason() {
    let scene = Scene::new().await;
    let check = async |path: &str, reason: &str| {
        let answer = scene.call("GET", path, None).await;
        assert_eq!(answer.status, 400, "{path}");
        let error = answer.json();
        assert!(error["reason"].as_str().unwrap().contains(reason), "{error}");
    };

    check("/api/v1/events?stat=dead", "unknown parameter `stat`").await;
    check("/api/v1/events?state=gone", "gone").await;
    check("/api/v1/events?limit=501", "from 1 to 500").await;
    check("/api/v1/events?after=x", "not the `next` of a page").await;
    check("/api/v1/events?since=yesterday", "since").await;
    check("/api/v1/events?source=A%20B", "`source`").await;
    check("/api/v1/rejected?sources=form", "unknown parameter `sources`").await;
    for path in ["sources", "destinations", "stats", "openapi.json", "events/x", "replays/x"] {
        check(&format!("/api/v1/{path}?sorce=form"), "unknown parameter `sorce`").await;
    }
    let paused = scene.call("POST", "/api/v1/sources/form/pause?for=1h", None).await;
    assert_eq!(paused.status, 400, "a pause without the end that was asked for");
    let everything = scene.call("POST", "/api/v1/replay", Some(&json!({}))).await;
    assert_eq!(everything.status, 400, "an empty filter replays nothing by mistake");
}

#[tokio::test]
async fn event_and_its_original_body_are_shown() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    let id = scene.webhook(&json!({ "text": "Slow", "email": "ada@example.com" })).await;

    let event = scene.until(&id, "delivered").await;

    assert_eq!(event["payload"]["text"], "Slow");
    assert_eq!(event["requests"][0]["body"]["person_email"], "ada@example.com");
    assert_eq!(event["requests"][0]["savio_id"], 7);
    assert_eq!(event["history"][0]["outcome"], "done");
    assert_eq!(event["headers"]["x-relay-token"], "*");
    let body = scene.call("GET", &format!("/api/v1/events/{id}/body"), None).await;
    assert_eq!(body.body, br#"{"text":"Slow","email":"ada@example.com"}"#);
}

#[tokio::test]
async fn paused_destination_and_source_deliver_after_resume() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    for (what, name) in [("destinations", "default"), ("sources", "form")] {
        let path = format!("/api/v1/{what}/{name}");
        let paused = scene.post(&format!("{path}/pause"), json!({})).await;
        assert_eq!(paused["paused"], true, "{paused}");

        let id = scene.webhook(&json!({ "text": what })).await;
        let listed = scene.get(&format!("/api/v1/{what}")).await;
        let own = listed[what].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
        assert_eq!((&own["queued"], &own["paused"]), (&json!(1), &json!(true)), "{own}");
        assert!(own["oldest_queued_seconds"].is_u64(), "{own}");

        scene.post(&format!("{path}/resume"), json!({})).await;
        scene.until(&id, "delivered").await;
    }
}

#[tokio::test]
async fn dead_events_are_counted_replayed_and_restored() {
    let scene = Scene::new().await;
    let [_, _, _, dead] = scene.one_of_each().await;
    let dead_with = |more: Value| {
        let mut request = json!({ "state": "dead" });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let counted = scene.post("/api/v1/replay", dead_with(json!({ "dry_run": true }))).await;
    assert_eq!(
        counted,
        json!({ "matched": 1, "at_least": false, "replayed": 0, "replay_id": null })
    );
    scene.post("/api/v1/destinations/default/pause", json!({})).await;

    let ordered = scene.post("/api/v1/replay", dead_with(json!({ "rate": 0.001 }))).await;
    assert_eq!((&ordered["matched"], &ordered["replayed"]), (&json!(1), &json!(1)));
    scene.until(&dead, "queued").await;
    let replay = format!("/api/v1/replays/{}", ordered["replay_id"].as_str().unwrap());
    assert_eq!(scene.get(&replay).await["waiting"], 1);
    let canceled = scene.call("DELETE", &replay, None).await.json();

    assert_eq!((&canceled["canceled"], &canceled["given_back"]), (&json!(true), &json!(1)));
    scene.until(&dead, "dead").await;
}

#[tokio::test]
async fn event_is_replayed_and_a_held_one_released() {
    let scene = Scene::new().await;
    let [delivered, _, held, _] = scene.one_of_each().await;

    let released =
        scene.post(&format!("/api/v1/events/{held}/release"), json!({"arrived": true})).await;
    assert_eq!(released["state"], "delivered");
    let again = format!("/api/v1/events/{held}/release");
    let refused = scene.call("POST", &again, Some(&json!({ "arrived": true }))).await;
    assert_eq!(refused.status, 409);
    scene.post(&format!("/api/v1/events/{delivered}/replay"), json!({})).await;

    let path = format!("/api/v1/events/{delivered}");
    let history = async || scene.get(&path).await["history"].clone();
    until_async(async || history().await.as_array().unwrap().len() == 2).await;
    assert_eq!(history().await[1]["replay"], true);
}

#[tokio::test]
async fn rejected_webhook_is_listed_with_a_hint() {
    let scene = Scene::new().await;
    let url = format!("{}/hooks/form", scene.relay.url);
    let wrong = http().post(url).header("x-relay-token", "Secret").json(&json!({}));
    assert_eq!(wrong.send().await.unwrap().status(), 401);

    let rejected = scene.get("/api/v1/rejected?source=form").await;

    let one = &rejected["rejected"][0];
    assert_eq!((&one["source"], &one["status"]), (&json!("form"), &json!(401)), "{one}");
    assert_eq!(scene.get("/api/v1/rejected?source=off").await["rejected"], json!([]));
}

#[tokio::test]
async fn source_shows_whether_it_is_live_and_why_not() {
    let scene = Scene::new().await;

    let listed = scene.get("/api/v1/sources").await;

    let [form, off] = [&listed["sources"][0], &listed["sources"][1]];
    assert_eq!((&form["name"], &form["live"]), (&json!("form"), &json!(true)));
    assert_eq!(form["url"], format!("{}/hooks/form", scene.relay.url));
    assert_eq!(form["destination"], "default");
    assert_eq!((&off["live"], &off["destination"]), (&json!(false), &Value::Null));
    assert!(off["reason"].as_str().unwrap().contains("mistakes"), "{off}");
}

#[tokio::test]
async fn unsaved_mapping_is_previewed() {
    let scene = Scene::new().await;
    let preview = async |order: Value| scene.post("/api/v1/preview", order).await;

    let mapped = preview(
        json!({ "mapping": MAPPING, "payload": { "text": "Slow", "mail": "a@b.example" } }),
    )
    .await;

    assert_eq!(
        mapped["requests"][0]["body"],
        json!({ "problem": "Slow", "person_email": "a@b.example" })
    );
    let explained = mapped["explain"].as_array().unwrap();
    let email = explained.iter().find(|it| it["field"] == "feedback[0].person_email").unwrap();
    assert_eq!((&email["query"], &email["value"]), (&json!("$.mail"), &json!("a@b.example")));
    assert_eq!(email["nodes"], json!(["$['mail']"]));
    let place = ["line", "column", "end_line", "end_column"].map(|key| email[key].clone());
    assert_eq!(place, [8, 28, 8, 36].map(|at| json!(at)));
    assert_eq!(email["tried"][0], json!({ "query": "$.email", "gave": "nothing" }));
    let wrong = "provider = \"form\"\nsecrets = [\"env:S\"]\n[[feedback]]\nproblm = \"$.text\"\n";
    let answer = preview(json!({ "mapping": wrong, "payload": {} })).await;
    let mistakes = answer["mistakes"].as_array().unwrap();
    let misspelt = mistakes.iter().find(|it| it["line"] == 4 && it["column"] == 1).unwrap();
    assert_eq!(misspelt["help"], "did you mean `problem`?");
}

#[tokio::test]
async fn generated_token_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::with(&[("ADMIN_TOKEN", "")]).await;
    let path = scene.folder.path().join("admin-token");

    let token = std::fs::read_to_string(&path).unwrap();

    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(token.trim().len(), 64);
    let url = format!("{}/api/v1/stats", scene.relay.admin_url);
    let stats = http().get(url).bearer_auth(token.trim()).send().await.unwrap();
    assert_eq!(stats.status(), 200);
    assert_eq!(scene.relay.logged(token.trim()), 0);
}

#[tokio::test]
async fn metrics_have_counters_and_gauges() {
    let scene = Scene::new().await;
    scene.one_of_each().await;
    scene.call("POST", "/api/v1/destinations/default/pause", None).await;

    let text = String::from_utf8(scene.call("GET", "/metrics", None).await.body).unwrap();

    for line in [
        r#"savio_relay_webhooks_total{source="form",status="202"} 4"#,
        r#"savio_relay_events{source="form",state="dead"} 1"#,
        r#"savio_relay_events{source="off",state="queued"} 0"#,
        r#"savio_relay_oldest_queued_seconds{source="form"} 0"#,
        r#"savio_relay_attempts_total{destination="default",outcome="refused"} 1"#,
        r#"savio_relay_destination_paused{destination="default"} 1"#,
        r#"savio_relay_secret_matched_total{source="form",secret="0"} 4"#,
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
    assert!(text.contains("savio_relay_commit_seconds_count"), "{text}");
}

#[tokio::test]
async fn stats_count_events_by_state() {
    let scene = Scene::new().await;
    scene.one_of_each().await;

    let stats = scene.get("/api/v1/stats").await;

    let counts = json!({ "queued": 0, "delivered": 1, "ignored": 1, "held": 1, "dead": 1 });
    assert_eq!((&stats["events"], &stats["sources"]["form"]), (&counts, &counts));
    assert_eq!(stats["oldest_queued_seconds"], Value::Null);
}

#[tokio::test]
async fn source_without_mapping_is_listed_with_its_events() {
    let scene = Scene::new().await;
    let store = Settings::new(scene.folder.path().join("relay.db"));
    let store = Sqlite::open_shared(&store).unwrap();
    let id = store_one(&store, from("gone", clock::now())).await;
    store.close().await;

    let listed = scene.get("/api/v1/sources").await;

    let waits = json!("the source gone has no mapping at present");
    let gone = &listed["sources"][2];
    assert_eq!((&gone["name"], &gone["live"]), (&json!("gone"), &json!(false)));
    assert_eq!((&gone["queued"], &gone["queued_reason"]), (&json!(1), &waits), "{gone}");
    assert_eq!(gone["waiting_for_event"], 0);
    assert_eq!(scene.get("/api/v1/events?source=gone").await["events"][0]["reason"], waits);
    assert_eq!(scene.get(&format!("/api/v1/events/{id}")).await["reason"], waits);
}
