//! Secrets appear nowhere: a relay whose secrets are easy to recognise gets into trouble of every kind,
//! and then all that it wrote, logged and answered is searched for them.

use std::fs;
use std::path::Path;
use std::process::Output;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::collector::Collector;
use crate::support::relay::{Relay, http, program};
use crate::support::wait::until_async;

const SIGNING: &str = "canary-of-the-signature-1f";
const ROTATED: &str = "canary-in-a-file-2e";
const IN_URL: &str = "canary-in-the-url-3d";
const PASSWORD: &str = "canary-password-4c";
const IN_BODY: &str = "canary-in-the-body-5b";
const SAVIO: &str = "canary-token-of-savio-6a";
const ADMIN: &str = "canary-of-the-admin-79";
const COOKIE: &str = "canary-in-a-cookie-88";
const BEARER: &str = "canary-in-a-bearer-97";
/// What somebody presents who has mistaken one secret for another.
const MISTAKEN: &str = "canary-that-is-wrong-a6";
/// What somebody wrote into a file where its name belongs.
const WRITTEN: &str = "canary-written-out-b5";

/// What the collector of traces wants to see in a header.
const COLLECTOR: &str = "canary-for-the-collector-c4";

const CANARIES: [&str; 12] = [
    SIGNING, ROTATED, IN_URL, PASSWORD, IN_BODY, SAVIO, ADMIN, COOKIE, BEARER, MISTAKEN, WRITTEN,
    COLLECTOR,
];

const FEEDBACK: &str = "[[feedback]]\nproblem = [\"$.text\", \"$.Field1\"]\n";

const MAPPINGS: [(&str, &str); 4] = [
    ("signed", "provider = \"github\"\nsecrets = [\"env:SIGNING\", \"file:rotated.txt\"]\n"),
    ("form", "provider = \"form\"\nsecrets = [\"env:IN_URL\"]\n"),
    ("basic", "secrets = [\"env:BASIC\"]\n[signature]\nscheme = \"basic\"\n"),
    ("wufoo", "provider = \"wufoo\"\nsecrets = [\"env:IN_BODY\"]\n"),
];

/// Something that a person or a sender can see, and what it is called.
type Seen = (String, Vec<u8>);

struct House {
    folder: TempDir,
    _savio: MockServer,
    collector: Collector,
    relay: Relay,
    http: Client,
    seen: Vec<Seen>,
}

impl House {
    async fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        for inner in ["mappings", "store"] {
            fs::create_dir(folder.path().join(inner)).unwrap();
        }
        fs::write(folder.path().join("rotated.txt"), format!("{ROTATED}\n")).unwrap();
        for (name, text) in MAPPINGS {
            let path = folder.path().join(format!("mappings/{name}.toml"));
            fs::write(path, text.to_owned() + FEEDBACK).unwrap();
        }
        let savio = MockServer::start().await;
        Mock::given(any()).respond_with(echo).mount(&savio).await;
        let collector = Collector::new().await;
        let relay = start(folder.path(), &format!("{}/app/api/", savio.uri()), &collector.0.uri());
        House { folder, _savio: savio, collector, relay, http: http(), seen: Vec::new() }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let call = self.http.post(format!("{}/hooks/{path}", self.relay.url));
        let call = call.header("cookie", COOKIE).header("x-forwarded-authorization", BEARER);
        call.header("x-forwarded-access-token", BEARER).header("x-api-key", BEARER)
    }

    /// Sends, and keeps the answer among what was seen.
    async fn see(&mut self, called: &str, call: RequestBuilder) -> u16 {
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        let head = format!("{:?}", answer.headers());
        let body = answer.text().await.unwrap();
        self.seen.push((format!("the answer to {called}"), (head + &body).into_bytes()));
        status
    }

    async fn signed(&mut self, secret: &str, text: &str) -> u16 {
        let body = json!({ "text": text }).to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let proof = format!("sha256={}", HEXLOWER.encode(&mac.finalize().into_bytes()));
        let call = self.post("signed").header("x-hub-signature-256", proof);
        let call = call.header("authorization", format!("Bearer {BEARER}"));
        self.see("a signed webhook", call.header("content-type", "application/json").body(body))
            .await
    }

    fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v1/{path}", self.relay.admin_url);
        self.http.request(method, url).bearer_auth(ADMIN)
    }

    /// All events, once each was tried or has come to its end.
    async fn events(&self) -> Vec<Value> {
        loop {
            let answer = self.api(Method::GET, "events").send().await.unwrap();
            let listed: Value = answer.json().await.unwrap();
            let events = listed["events"].as_array().unwrap();
            if events.iter().all(|event| event["attempts"] != 0 || event["state"] != "queued") {
                return events.clone();
            }
        }
    }

    fn command(&mut self, arguments: &[&str]) {
        let store = "sqlite:store/relay.db";
        let output = program(self.folder.path())
            .args(arguments)
            .envs(secrets())
            .env("SAVIO_RELAY_STORE__URL", store)
            .output()
            .unwrap();
        self.keep(&arguments.join(" "), &output);
    }

    fn keep(&mut self, called: &str, output: &Output) {
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        self.seen.push((format!("what `{called}` prints"), said));
    }

    /// Everywhere that a secret could be: what is built later is looked at once it has a line here.
    async fn look_everywhere(&mut self) {
        for event in self.events().await {
            let id = event["id"].as_str().unwrap();
            self.command(&["events", "show", id]);
            self.command(&["events", "show", id, "--json"]);
            self.see("the API", self.api(Method::GET, &format!("events/{id}"))).await;
            self.see("the API", self.api(Method::GET, &format!("events/{id}/body"))).await;
        }
        let metrics = format!("{}/metrics", self.relay.admin_url);
        self.see("the metrics", self.http.get(metrics).bearer_auth(ADMIN)).await;
        for path in ["events", "sources", "destinations", "rejected", "stats", "openapi.json"] {
            let call = self.api(Method::GET, path);
            assert_eq!(self.see(path, call).await, 200, "{path}");
        }
        for command in ["events list", "events list --json", "check", "doctor", "doctor --json"] {
            self.command(&command.split(' ').collect::<Vec<_>>());
        }
        self.seen.push(("the log".to_owned(), self.relay.log().into_bytes()));
        let traces = self.traces().await;
        assert!(!traces.is_empty());
        self.seen.extend(traces.into_iter().map(|sent| ("the traces".to_owned(), sent)));
        for file in fs::read_dir(self.folder.path().join("store")).unwrap() {
            let path = file.unwrap().path();
            self.seen.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }

    /// All that the collector got, once it knows of each webhook that the log knows.
    async fn traces(&self) -> Vec<Vec<u8>> {
        until_async(async || {
            let spans = self.collector.spans().await;
            let received = spans.iter().filter(|span| span.kind == SpanKind::Server).count();
            received >= self.relay.logged(" webhook for ")
        })
        .await;
        self.collector.requests().await.into_iter().map(|request| request.body).collect()
    }

    fn found(&self) -> Vec<String> {
        let basic = BASE64.encode(format!("relay:{PASSWORD}").as_bytes());
        let mut found = Vec::new();
        for canary in CANARIES.into_iter().chain([basic.as_str()]) {
            let holds = |text: &[u8]| text.windows(canary.len()).any(|it| it == canary.as_bytes());
            let places = self.seen.iter().filter(|(_, text)| holds(text));
            found.extend(places.map(|(place, _)| format!("{canary} in {place}")));
        }
        found
    }
}

/// A Savio that repeats what it was sent: trouble of its own, a refusal, a token that is wrong.
fn echo(request: &Request) -> ResponseTemplate {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let status = match body {
        _ if request.method.as_str() == "GET" => 401,
        body if body.contains("refuse") => 400,
        body if body.contains("forbid") => 401,
        _ => 503,
    };
    let headers: Vec<String> = request.headers.values().map(|it| format!("{it:?}")).collect();
    ResponseTemplate::new(status).set_body_json(json!({ "error": headers }))
}

fn secrets() -> Vec<(&'static str, String)> {
    vec![
        ("SIGNING", SIGNING.to_owned()),
        ("IN_URL", IN_URL.to_owned()),
        ("BASIC", format!("relay:{PASSWORD}")),
        ("IN_BODY", IN_BODY.to_owned()),
        ("SAVIO_API_TOKEN", SAVIO.to_owned()),
        ("ADMIN_TOKEN", ADMIN.to_owned()),
        ("COLLECTOR", COLLECTOR.to_owned()),
    ]
}

fn start(folder: &Path, savio: &str, collector: &str) -> Relay {
    let secrets = secrets();
    let mut variables: Vec<(&str, &str)> =
        secrets.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.extend([
        ("SAVIO_RELAY_SAVIO__BASE_URL", savio),
        ("SAVIO_RELAY_STORE__URL", "sqlite:store/relay.db"),
        ("SAVIO_RELAY_LOG__LEVEL", "trace"),
        ("SAVIO_RELAY_SERVER__BODY_BYTES_MAX", "4096"),
        ("SAVIO_RELAY_TRACES__ENDPOINT", collector),
        ("SAVIO_RELAY_TRACES__HEADERS__AUTHORIZATION", "env:COLLECTOR"),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ]);
    Relay::start(folder, &variables)
}

#[tokio::test]
async fn accepted_webhook_is_stored_and_shown_without_secrets() {
    let mut house = House::new().await;

    for (secret, text) in [(SIGNING, "It is slow"), (ROTATED, "please refuse it")] {
        assert_eq!(house.signed(secret, text).await, 202);
    }
    let basic = house.post("basic").basic_auth("relay", Some(PASSWORD));
    assert_eq!(house.see("a password", basic.json(&json!({ "text": "Slow" }))).await, 202);
    let field = format!("Field1=Slow&HandshakeKey={IN_BODY}");
    let wufoo = house.post("wufoo").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(house.see("a key in the body", wufoo.body(field)).await, 202);
    // It pauses Savio, so the others are tried before.
    house.events().await;
    let form = house.post(&format!("form?token={IN_URL}")).json(&json!({ "text": "forbid it" }));
    assert_eq!(house.see("a token in the URL", form).await, 202);

    house.look_everywhere().await;
    assert_eq!(house.found(), Vec::<String>::new());
}

#[tokio::test]
async fn refused_webhook_is_reported_without_secrets() {
    let mut house = House::new().await;

    assert_eq!(house.signed(MISTAKEN, "Slow").await, 401);
    assert_eq!(house.signed(SIGNING, &"x".repeat(5000)).await, 413);
    let mistaken = format!("form?token={MISTAKEN}");
    let form = house.post(&mistaken).json(&json!({ "text": BEARER }));
    assert_eq!(house.see("a wrong token", form).await, 401);
    let basic = house.post("basic").basic_auth("relay", Some(MISTAKEN));
    assert_eq!(house.see("a wrong password", basic.body("{}")).await, 401);
    let broken = house.post(&format!("form?token={IN_URL}")).body("{");
    assert_eq!(house.see("what is no JSON", broken).await, 400);
    let admin = house.api(Method::GET, "events?q=a&nothing=1").header("cookie", ADMIN);
    assert_eq!(house.see("a wrong question", admin).await, 400);
    let stranger = house.http.get(format!("{}/api/v1/events", house.relay.admin_url));
    let stranger = stranger.bearer_auth(MISTAKEN);
    assert_eq!(house.see("a wrong admin token", stranger).await, 401);

    house.look_everywhere().await;
    assert_eq!(house.found(), Vec::<String>::new());
}

#[tokio::test]
async fn literal_secret_in_a_file_is_not_echoed() {
    let mut house = House::new().await;
    let mapping = format!("provider = \"form\"\nsecrets = [\"{WRITTEN}\"]\n{FEEDBACK}");
    fs::write(house.folder.path().join("mappings/written.toml"), mapping).unwrap();
    house.command(&["check"]);
    house.command(&["doctor"]);
    let config = format!("[savio]\ntoken = \"{WRITTEN}\"\n[admin]\ntoken = \"{WRITTEN}\"\n");
    fs::write(house.folder.path().join("relay.toml"), config).unwrap();

    for command in ["serve", "check", "doctor", "doctor --json", "healthcheck", "events list"] {
        house.command(&command.split(' ').collect::<Vec<_>>());
    }

    assert_eq!(house.found(), Vec::<String>::new());
}
