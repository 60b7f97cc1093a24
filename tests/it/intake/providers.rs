//! Every provider file over HTTP: requests that its provider signs are accepted, others refused.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use savio_relay::clock;
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::intake::Settings;
use savio_relay::intake::provider::Provider;
use savio_relay::intake::registry::{SourceStatus, Sources};
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::secret::Environment;
use savio_relay::store::Archive;

use crate::support::server::{Answer, Request, TestIntake};

use crate::support::signer::Draft;
use table::{Row, rows};

const PUBLIC_URL: &str = "https://relay.example.com";

/// The row of one provider, and a relay with its source.
struct ProviderFixture {
    row: Row,
    server: TestIntake,
}

impl ProviderFixture {
    async fn new(row: Row) -> ProviderFixture {
        let settings = Settings { public_url: Some(PUBLIC_URL.to_owned()), ..Settings::default() };
        let server = TestIntake::with_sources(settings, source(&row)).await;
        ProviderFixture { row, server }
    }

    /// Returns the provider's request, signed this many seconds from now with this secret.
    fn request(&self, seconds: i64, which: u8) -> Request {
        let Row { provider, content_type, headers, .. } = self.row;
        let draft = self.draft(seconds);
        let credential = (self.row.sign)(&draft, &(self.row.keyring)(which).bytes);
        let query = credential.query.map(|query| format!("?{query}")).unwrap_or_default();
        let body = credential.body.unwrap_or(draft.body);
        let request = Request::new("POST", &format!("/hooks/{provider}{query}"));
        let request = request.header("content-type", content_type).body(&body);
        let request = headers.iter().fold(request, |it, (name, value)| it.header(name, value));
        credential.headers.iter().fold(request, |it, (name, value)| it.header(name, value))
    }

    fn draft(&self, seconds: i64) -> Draft {
        Draft {
            url: format!("{PUBLIC_URL}/hooks/{}", self.row.provider),
            body: self.row.body.as_bytes().to_vec(),
            millisecond: clock::now().as_millisecond() + seconds * 1_000,
        }
    }

    async fn send(&self, request: &Request) -> Answer {
        let answer = self.server.send(request).await;
        assert!(![404, 410].contains(&answer.status), "{}: {answer:?}", self.row.provider);
        answer
    }

    /// Returns the number of events in the store.
    async fn event_count(&self) -> u64 {
        self.server.store.counts().await.unwrap().iter().map(|count| count.events).sum()
    }

    async fn check(&self, request: &Request, status: u16, reason: &str) {
        let answer = self.send(request).await;
        let found = (answer.status, answer.reason());
        assert_eq!(found, (status, reason), "{}: {answer:?}", self.row.provider);
    }
}

/// Returns the source of a minimal mapping file.
fn source(row: &Row) -> Sources {
    let text = format!(
        "provider = \"{}\"\nsecrets = \"env:SECRET\"\n[[feedback]]\nproblem = \"$\"\n",
        row.provider
    );
    let secret = (row.keyring)(1).configured;
    let environment = Environment::from([("SECRET".to_owned(), secret)]);
    let document = Document { name: format!("{}.toml", row.provider), text };
    let file = MappingFile::read(document, &environment);
    let source = file.source.unwrap_or_else(|| panic!("{}: {:?}", row.provider, file.mistakes));
    assert_eq!(source.keys.len(), 1, "{}", row.provider);
    BTreeMap::from([(source.name.clone(), SourceStatus::Live(Arc::clone(&source)))])
}

#[test]
fn every_provider_file_has_a_row() {
    let rows: BTreeSet<&str> = rows().map(|row| row.provider).collect();

    assert_eq!(rows, Provider::names().collect());
}

#[tokio::test]
async fn signed_sample_of_every_provider_is_accepted_once() {
    for row in rows() {
        let fixture = ProviderFixture::new(*row).await;
        let request = fixture.request(0, 1);

        let first = fixture.send(&request).await;
        let stored = fixture.event_count().await;
        let again = fixture.send(&request).await;

        assert!((200..300).contains(&first.status), "{}: {first:?}", row.provider);
        assert_eq!(
            fixture.event_count().await == stored,
            row.has_id,
            "{}: {again:?}",
            row.provider
        );
        // The response to Salesforce has no ids.
        let Some(id) = first.body["events"][0].as_str() else { continue };
        let id = id.parse().unwrap();
        let event = fixture.server.store.event(id).await.unwrap().unwrap().event;
        assert_eq!(event.event_type.as_deref(), row.kind, "{}", row.provider);
        assert!(event.payload.contains("probe"), "{}: {}", row.provider, event.payload);
    }
}

#[tokio::test]
async fn unsigned_or_changed_sample_of_every_provider_is_401() {
    for row in rows() {
        let covers_body = row.covers_body;
        let fixture = ProviderFixture::new(*row).await;

        fixture.check(&fixture.request(0, 2), 401, "the signature is wrong").await;
        fixture.check(&unsigned(&fixture), 401, "the signature is missing").await;
        if covers_body {
            fixture
                .check(&fixture.request(0, 1).with("probe", "prove"), 401, "the signature is wrong")
                .await;
        }
    }
}

/// Handshakes of providers, with status and body of the response.
const HANDSHAKES: [(&str, &str, u16, &str); 4] = [
    ("slack", r#"{"type":"url_verification","challenge":"c"}"#, 200, r#"{"challenge":"c"}"#),
    ("discord", r#"{"type":0}"#, 204, ""),
    ("monday", r#"{"challenge":"c"}"#, 200, r#"{"challenge":"c"}"#),
    ("zoom", r#"{"event":"endpoint.url_validation","payload":{"plainToken":"p"}}"#, 200, ""),
];

#[tokio::test]
async fn handshake_is_answered_and_not_stored() {
    for (provider, body, status, text) in HANDSHAKES {
        let row = rows().find(|row| row.provider == provider).unwrap();
        let fixture = ProviderFixture::new(Row { body, ..*row }).await;

        let answer = fixture.send(&fixture.request(0, 1)).await;

        assert_eq!(answer.status, status, "{provider}: {answer:?}");
        assert!(text.is_empty() || answer.text == text, "{provider}: {answer:?}");
        assert_eq!(fixture.event_count().await, 0, "{provider}");
        let forged = if provider == "monday" { 200 } else { 401 };
        assert_eq!(fixture.send(&fixture.request(0, 2)).await.status, forged, "{provider}");
    }
}

fn unsigned(fixture: &ProviderFixture) -> Request {
    let path = format!("/hooks/{}", fixture.row.provider);
    let request = Request::new("POST", &path).header("content-type", fixture.row.content_type);
    request.body(fixture.row.body.as_bytes())
}

#[tokio::test]
async fn signed_time_outside_its_window_is_401() {
    for row in rows() {
        let Some(window) = row.window else { continue };
        let fixture = ProviderFixture::new(*row).await;
        let reason = "the signature is outside its time window";

        for seconds in [20 - window, window - 20] {
            let answer = fixture.send(&fixture.request(seconds, 1)).await;
            assert!(answer.status < 300, "{}: {answer:?}", fixture.row.provider);
        }
        for seconds in [-window - 20, window + 20] {
            fixture.check(&fixture.request(seconds, 1), 401, reason).await;
        }
    }
}

#[tokio::test]
async fn no_request_is_answered_with_404_or_410() {
    for row in rows() {
        let fixture = ProviderFixture::new(*row).await;
        let path = format!("/hooks/{}", fixture.row.provider);
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST"] {
            fixture.send(&Request::new(method, &path)).await;
        }
        let garbled = fixture.request(0, 1).header("content-type", "text/plain").body(b"\xff\0{");
        fixture.send(&garbled).await;
    }
}

#[tokio::test]
async fn token_in_the_body_is_redacted_in_the_store() {
    let row = rows().find(|row| row.provider == "wufoo").unwrap();
    let secret = (row.keyring)(1).configured;
    let fixture = ProviderFixture::new(*row).await;

    let id = fixture.send(&fixture.request(0, 1)).await.events()[0].parse().unwrap();

    let event = fixture.server.store.event(id).await.unwrap().unwrap().event;
    let hidden = format!(r#""HandshakeKey":"{}""#, "*".repeat(secret.len()));
    assert!(event.payload.contains(&hidden), "{}", event.payload);
}

#[tokio::test]
async fn matches_are_counted_for_each_secret() {
    let row = rows().find(|row| row.provider == "github").unwrap();
    let fixture = ProviderFixture::new(*row).await;

    for which in [1, 2, 1] {
        fixture.send(&fixture.request(0, which)).await;
    }

    assert_eq!(fixture.server.intake.webhooks.matches("github", 0), 2);
    assert_eq!(fixture.server.intake.webhooks.matches("github", 1), 0);
}

#[test]
fn weak_providers_are_reported() {
    let weaknesses = |provider: &str| {
        let text = format!(
            "provider = \"{provider}\"\nsecrets = [\"env:NONE\"]\n[[feedback]]\nproblem = \"$.x\""
        );
        let document = Document { name: "x.toml".to_owned(), text };
        MappingFile::read(document, &[].into()).weaknesses().len()
    };
    let weak =
        Provider::names().map(|name| (name, weaknesses(name))).filter(|(_, count)| *count > 0);
    let weak: Vec<_> = weak.collect();

    // monday's second one: a token without `exp` never expires.
    let known = [("canny", 1), ("crisp", 1), ("monday", 2), ("segment", 1), ("sentry", 1)];
    assert_eq!(weak, known);
}
