//! Secrets appear nowhere: a relay with recognisable secrets is driven into failures of every kind,
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
/// A wrong secret, presented in place of the right one.
const MISTAKEN: &str = "canary-that-is-wrong-a6";
/// A literal secret in a file, in place of its name.
const WRITTEN: &str = "canary-written-out-b5";

/// The token that the trace collector requires in a header.
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

/// Something that a person or a sender can see, with its name.
type NamedOutput = (String, Vec<u8>);

struct Scene {
    folder: TempDir,
    _savio: MockServer,
    collector: Collector,
    relay: Relay,
    http: Client,
    outputs: Vec<NamedOutput>,
}

impl Scene {
    async fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        for subfolder in ["mappings", "store"] {
            fs::create_dir(folder.path().join(subfolder)).unwrap();
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
        Scene { folder, _savio: savio, collector, relay, http: http(), outputs: Vec::new() }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        let call = self.http.post(format!("{}/hooks/{path}", self.relay.url));
        let call = call.header("cookie", COOKIE).header("x-forwarded-authorization", BEARER);
        call.header("x-forwarded-access-token", BEARER).header("x-api-key", BEARER)
    }

    /// Sends a request, and records the response.
    async fn request(&mut self, name: &str, call: RequestBuilder) -> u16 {
        let answer = call.send().await.unwrap();
        let status = answer.status().as_u16();
        let head = format!("{:?}", answer.headers());
        let body = answer.text().await.unwrap();
        self.outputs.push((format!("the answer to {name}"), (head + &body).into_bytes()));
        status
    }

    async fn signed(&mut self, secret: &str, text: &str) -> u16 {
        let body = json!({ "text": text }).to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let proof = format!("sha256={}", HEXLOWER.encode(&mac.finalize().into_bytes()));
        let call = self.post("signed").header("x-hub-signature-256", proof);
        let call = call.header("authorization", format!("Bearer {BEARER}"));
        self.request("a signed webhook", call.header("content-type", "application/json").body(body))
            .await
    }

    fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/api/v1/{path}", self.relay.admin_url);
        self.http.request(method, url).bearer_auth(ADMIN)
    }

    /// Waits until each event was tried or has settled, and returns all.
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

    fn keep(&mut self, name: &str, output: &Output) {
        let printed = [output.stdout.as_slice(), &output.stderr].concat();
        self.outputs.push((format!("what `{name}` prints"), printed));
    }

    /// Collects the output of everything that could show a secret. Each new output needs a line
    /// here.
    async fn collect_outputs(&mut self) {
        for event in self.events().await {
            let id = event["id"].as_str().unwrap();
            self.command(&["events", "show", id]);
            self.command(&["events", "show", id, "--json"]);
            self.request("the API", self.api(Method::GET, &format!("events/{id}"))).await;
            self.request("the API", self.api(Method::GET, &format!("events/{id}/body"))).await;
        }
        let metrics = format!("{}/metrics", self.relay.admin_url);
        self.request("the metrics", self.http.get(metrics).bearer_auth(ADMIN)).await;
        for path in ["events", "sources", "destinations", "rejected", "stats", "openapi.json"] {
            let call = self.api(Method::GET, path);
            assert_eq!(self.request(path, call).await, 200, "{path}");
        }
        for command in ["events list", "events list --json", "check", "doctor", "doctor --json"] {
            self.command(&command.split(' ').collect::<Vec<_>>());
        }
        self.outputs.push(("the log".to_owned(), self.relay.log().into_bytes()));
        let traces = self.traces().await;
        assert!(!traces.is_empty());
        self.outputs.extend(traces.into_iter().map(|sent| ("the traces".to_owned(), sent)));
        for file in fs::read_dir(self.folder.path().join("store")).unwrap() {
            let path = file.unwrap().path();
            self.outputs.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }

    /// Waits until the collector has a span of each webhook in the log, and returns all that it
    /// received.
    async fn traces(&self) -> Vec<Vec<u8>> {
        until_async(async || {
            let spans = self.collector.spans().await;
            let received = spans.iter().filter(|span| span.kind == SpanKind::Server).count();
            received >= self.relay.logged(" webhook for ")
        })
        .await;
        self.collector.requests().await.into_iter().map(|request| request.body).collect()
    }

    fn leaks(&self) -> Vec<String> {
        let basic = BASE64.encode(format!("relay:{PASSWORD}").as_bytes());
        let mut leaks = Vec::new();
        for canary in CANARIES.into_iter().chain([basic.as_str()]) {
            let holds = |text: &[u8]| text.windows(canary.len()).any(|it| it == canary.as_bytes());
            let places = self.outputs.iter().filter(|(_, text)| holds(text));
            leaks.extend(places.map(|(place, _)| format!("{canary} in {place}")));
        }
        leaks
    }
}

/// Responds as a Savio that echoes the request's headers in a server error, a refusal or a 401.
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
    let mut scene = Scene::new().await;

    for (secret, text) in [(SIGNING, "It is slow"), (ROTATED, "please refuse it")] {
        assert_eq!(scene.signed(secret, text).await, 202);
    }
    let basic = scene.post("basic").basic_auth("relay", Some(PASSWORD));
    assert_eq!(scene.request("a password", basic.json(&json!({ "text": "Slow" }))).await, 202);
    let field = format!("Field1=Slow&HandshakeKey={IN_BODY}");
    let wufoo = scene.post("wufoo").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(scene.request("a key in the body", wufoo.body(field)).await, 202);
    // The next one pauses the destination, so the others have to be tried before.
    scene.events().await;
    let form = scene.post(&format!("form?token={IN_URL}")).json(&json!({ "text": "forbid it" }));
    assert_eq!(scene.request("a token in the URL", form).await, 202);

    scene.collect_outputs().await;
    assert_eq!(scene.leaks(), Vec::<String>::new());
}

#[tokio::test]
async fn refused_webhook_is_reported_without_secrets() {
    let mut scene = Scene::new().await;

    assert_eq!(scene.signed(MISTAKEN, "Slow").await, 401);
    assert_eq!(scene.signed(SIGNING, &"x".repeat(5000)).await, 413);
    let mistaken = format!("form?token={MISTAKEN}");
    let form = scene.post(&mistaken).json(&json!({ "text": BEARER }));
    assert_eq!(scene.request("a wrong token", form).await, 401);
    let basic = scene.post("basic").basic_auth("relay", Some(MISTAKEN));
    assert_eq!(scene.request("a wrong password", basic.body("{}")).await, 401);
    let broken = scene.post(&format!("form?token={IN_URL}")).body("{");
    assert_eq!(scene.request("what is no JSON", broken).await, 400);
    let admin = scene.api(Method::GET, "events?q=a&nothing=1").header("cookie", ADMIN);
    assert_eq!(scene.request("a wrong question", admin).await, 400);
    let stranger = scene.http.get(format!("{}/api/v1/events", scene.relay.admin_url));
    let stranger = stranger.bearer_auth(MISTAKEN);
    assert_eq!(scene.request("a wrong admin token", stranger).await, 401);

    scene.collect_outputs().await;
    assert_eq!(scene.leaks(), Vec::<String>::new());
}

#[tokio::test]
async fn literal_secret_in_a_file_is_not_echoed() {
    let mut scene = Scene::new().await;
    let mapping = format!("provider = \"form\"\nsecrets = [\"{WRITTEN}\"]\n{FEEDBACK}");
    fs::write(scene.folder.path().join("mappings/written.toml"), mapping).unwrap();
    scene.command(&["check"]);
    scene.command(&["doctor"]);
    let config = format!("[savio]\ntoken = \"{WRITTEN}\"\n[admin]\ntoken = \"{WRITTEN}\"\n");
    fs::write(scene.folder.path().join("relay.toml"), config).unwrap();

    for command in ["serve", "check", "doctor", "doctor --json", "healthcheck", "events list"] {
        scene.command(&command.split(' ').collect::<Vec<_>>());
    }

    assert_eq!(scene.leaks(), Vec::<String>::new());
}
