//! A public listener on a port of its own, with a real store behind it, and a bare HTTP client.

use std::net::SocketAddr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use savio_relay::clock;
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::diagnostics::table::{self, Diagnostics, TomlTable};
use savio_relay::event::SourceName;
use savio_relay::intake::provider::Provider;
use savio_relay::intake::registry::{SourceStatus, Sources};
use savio_relay::intake::source::{Source, ValueLookup};
use savio_relay::intake::{Intake, Settings, router};
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::store::sqlite::Sqlite;
use savio_relay::store::{Store, sqlite};
use savio_relay::telemetry::metrics::{Counters, Gauges, Metrics, TextFormat};
use serde_json::Value;
use sha2::Sha256;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub(crate) const SECRET: &str = "a-secret-of-the-tests";

pub(crate) struct TestIntake {
    pub(crate) address: SocketAddr,
    pub(crate) intake: Arc<Intake>,
    pub(crate) store: Arc<Sqlite>,
    pub(crate) closing: CancellationToken,
    _folder: TempDir,
}

impl TestIntake {
    pub(crate) async fn new() -> TestIntake {
        TestIntake::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> TestIntake {
        TestIntake::with_sources(settings, sources()).await
    }

    /// Starts it with the sources of these mapping files, whose secret is `env:SECRET`.
    pub(crate) async fn with_files(files: &[(&str, &str)]) -> TestIntake {
        let settings = Settings {
            public_url: Some("https://relay.test".to_owned()),
            trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
            ..Settings::default()
        };
        TestIntake::with_sources(
            settings,
            files.iter().map(|(name, text)| source_status(name, text)).collect(),
        )
        .await
    }

    pub(crate) async fn with_sources(settings: Settings, sources: Sources) -> TestIntake {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("relay.db");
        let store = Arc::new(Sqlite::open(&sqlite::Settings::new(path)).unwrap());
        let closing = CancellationToken::new();
        let shared_store: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let door = Arc::new(Intake::new(settings, sources, shared_store, closing.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = router(Arc::clone(&door));
        let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        TestIntake { address, intake: door, store, closing, _folder: folder }
    }

    pub(crate) async fn send(&self, request: &Request) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&request.bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Answer::read(&answer)
    }

    /// Opens a connection and sends the request without the rest of its body.
    pub(crate) async fn begin(&self, request: &Request, body_length: usize) -> TcpStream {
        let length = body_length.to_string();
        let request = request.clone().header("content-length", &length);
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&request.bytes()).await.unwrap();
        stream
    }

    pub(crate) fn metrics(&self) -> String {
        let (webhooks, commits) = (self.intake.webhooks.clone(), self.store.commits.clone());
        let counters = Counters { webhooks, commits, ..Counters::default() };
        Metrics::new(&counters).text(&Gauges::default(), TextFormat::Prometheus)
    }

    /// Repeats the request until the response has this status.
    pub(crate) async fn send_until(&self, request: &Request, status: u16) -> Answer {
        for _ in 0..10_000 {
            let answer = self.send(request).await;
            if answer.status == status {
                return answer;
            }
        }
        panic!("no answer had the status {status}");
    }
}

#[derive(Clone)]
pub(crate) struct Request {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Request {
        let line = format!("{method} {path} HTTP/1.1");
        Request { line, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Request {
        body.clone_into(&mut self.body);
        self
    }

    /// Replaces a text in its body.
    pub(crate) fn with(mut self, from: &str, to: &str) -> Request {
        self.body = std::str::from_utf8(&self.body).unwrap().replace(from, to).into_bytes();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let framed = ["content-length", "transfer-encoding"];
        let length = self.body.len().to_string();
        let mut headers = self.headers.clone();
        if !headers.iter().any(|(name, _)| framed.contains(&name.as_str())) {
            headers.push((framed[0].to_owned(), length));
        }
        let mut lines = vec![self.line.clone(), "host: relay".into(), "connection: close".into()];
        lines.extend(headers.into_iter().map(|(name, value)| format!("{name}: {value}")));
        let text = lines.join("\r\n") + "\r\n\r\n";
        [text.as_bytes(), &self.body].concat()
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Answer {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        let (body, text) = (serde_json::from_str(body).unwrap_or(Value::Null), body.to_owned());
        Answer { status, head: head.to_ascii_lowercase(), body, text }
    }

    pub(crate) fn reason(&self) -> &str {
        self.body["reason"].as_str().unwrap_or_default()
    }

    pub(crate) fn events(&self) -> Vec<String> {
        let events = self.body["events"].as_array().unwrap();
        events.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }
}

/// Returns a request that is signed as GitHub does.
pub(crate) fn signed(path: &str, body: &[u8]) -> Request {
    Request::new("POST", path)
        .header("x-hub-signature-256", &format!("sha256={}", hex_hmac(body)))
        .header("content-type", "application/json")
        .body(body)
}

/// Returns the source of a mapping file, to which a block is added.
fn source_status(name: &str, text: &str) -> (SourceName, SourceStatus) {
    let text = format!("{text}\n[[feedback]]\nproblem = \"$.x\"");
    let environment = [("SECRET".to_owned(), SECRET.to_owned())].into();
    let file = MappingFile::read(Document { name: format!("{name}.toml"), text }, &environment);
    assert_eq!(file.mistakes, [], "{name}");
    (file.name.clone().unwrap(), file.status(clock::now()))
}

/// Returns an HMAC-SHA256 that is computed without the code under test.
pub(crate) fn hex_hmac(message: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(message);
    data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// The sources of the tests: `github` and `form` as built in, `many` with lists, `bad` off, `unset`
/// without keys, and others with one speciality each.
fn sources() -> Sources {
    let github = source("github", "github", "");
    let form = source("form", "form", "");
    let mut many = source("many", "github", "[event]\nid = \"$.id\"\neach = \"$.events[*]\"");
    many.delivery_id = Some(Arc::new(|event, _| event["id"].as_str().map(str::to_owned)));
    let picky = Source {
        events: Some(vec!["issues.*".parse().unwrap()]),
        event_type: Some(Arc::new(|event, _| event["type"].as_str().map(str::to_owned))),
        ..source("picky", "github", "")
    };
    let timed = source("timed", "github", TIMED);
    let trello = source("signs_url", "github", "[signature]\nsigned = \"{url}{body}\"");
    let greeted = source("greeted", "github", "[[handshake]]\nmethod = \"HEAD\"");
    let soap = source("soap", "github", "[answer]\ncontent_type = \"text/xml\"\nbody = \"<Ack/>\"");
    let unset = Source { keys: Vec::new(), ..source("unset", "github", "") };
    let live = [github, form, many, picky, timed, trello, greeted, soap, unset];
    let mut sources: Sources = live
        .into_iter()
        .map(|source| (source.name.clone(), SourceStatus::Live(Arc::new(source))))
        .collect();
    let reason = "its mapping file has mistakes".to_owned();
    sources.insert("bad".parse().unwrap(), SourceStatus::Off { reason });
    sources
}

const TIMED: &str = r#"
[signature]
scheme = "hmac"
header = "X-Sig"
signed = "{timestamp}.{body}"
timestamp = { from = "header:X-Time", window = "5m" }
"#;

fn source(name: &str, provider: &str, own: &str) -> Source {
    let rules = read(&format!("provider = \"{provider}\"\n{own}"));
    let signature = rules.signature.unwrap();
    let key = signature.key(&SECRET.into(), None, 0).unwrap();
    let id = rules.id.as_ref().and_then(|id| id.text.strip_prefix("header:"));
    Source {
        name: name.parse::<SourceName>().unwrap(),
        provider: Some(provider.to_owned()),
        signature,
        keys: vec![key],
        secret_locations: Vec::new(),
        delivery_id: id.map(header),
        event_type: Some(header("X-GitHub-Event")),
        body_config: rules.body_config,
        batch_path: rules.batch_path,
        pings: rules.pings,
        events: None,
        handshakes: rules.handshakes,
        projection: None,
        rate: None,
        response: rules.response,
    }
}

fn header(name: &str) -> ValueLookup {
    let name = name.to_ascii_lowercase();
    Arc::new(move |_, headers| headers.get(&name).cloned())
}

fn read(text: &str) -> Provider {
    let document = Document { name: "provider.toml".to_owned(), text: text.to_owned() };
    let mut mistakes = Diagnostics::new();
    let mut root = table::parse(&document, &mut mistakes);
    Provider::inherit(root.get_mut());
    let provider = Provider::read(&mut TomlTable::root(&document, &root), &mut mistakes);
    assert_eq!(mistakes, []);
    provider
}
