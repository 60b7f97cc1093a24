//! The admin API of the real program.

mod alerts;
mod answers;
mod audit;
mod bounds;
mod browser;
mod changes;
mod check;
mod added_source;
mod copies;
mod dead_groups;
mod described;
mod event_stream;
mod events;
mod lists;
mod proxied;
mod drafts;
mod drift;
mod providers;
mod issue_kinds;
mod issues;
mod kept_state;
mod kept_test;
mod mapping;
mod random;
mod refusals;
mod rejected;
mod replays;
mod roles;
mod scraped;
mod series;
mod logins;
mod sessions;
mod source_tests;
mod sources;
mod stream;
mod strict;

use reqwest::{Method, StatusCode};
use savio_relay::store::sqlite::{Settings, Sqlite};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::{body_partial_json, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, http};
use crate::support::wait::until_async;
use described::Description;

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

fn start(folder: &TempDir, savio: &MockServer, variables: &[(&str, &str)]) -> Relay {
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
    Relay::start(folder.path(), &[&own, variables].concat())
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
        let relay = start(&folder, &savio, variables);
        Scene { folder, savio, relay }
    }

    /// Stops the relay and starts it again.
    async fn restarted(self) -> Scene {
        self.restarted_after(&[], async |_| ()).await
    }

    /// Stops the relay, changes its store, and starts it again.
    async fn restarted_after(
        self,
        variables: &[(&str, &str)],
        change: impl AsyncFnOnce(&Sqlite),
    ) -> Scene {
        let Scene { folder, savio, relay } = self;
        assert!(relay.stop().success());
        let store = Sqlite::open(&Settings::new(folder.path().join("relay.db"))).unwrap();
        change(&store).await;
        drop(store);
        let relay = start(&folder, &savio, variables);
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
        let mut call = browser::client().request(method, format!("{}{path}", self.relay.admin_url));
        if let Some(condition) = condition {
            call = call.header("if-match", condition);
        }
        if let Some(body) = body {
            call = call.json(body);
        }
        let mut answer = call.bearer_auth(token).send().await.unwrap();
        let status = answer.status();
        let kind = answer.headers().get("content-type").cloned();
        // A stream has no end: its beginning is enough.
        let body = match kind {
            Some(kind) if kind == "text/event-stream" => answer.chunk().await.unwrap().unwrap(),
            Some(_) | None => answer.bytes().await.unwrap(),
        };
        Answer { status, body: body.to_vec() }
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
