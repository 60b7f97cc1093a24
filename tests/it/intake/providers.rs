//! Every provider file over HTTP: what its provider signs is taken, and nothing else.

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

use crate::support::server::{Answer, House, Request};

use crate::support::signer::Draft;
use table::{Row, rows};

const PUBLIC_URL: &str = "https://relay.example.com";

/// One provider's row, and a relay that has its source.
struct Desk {
    row: Row,
    house: House,
}

impl Desk {
    async fn new(row: Row) -> Desk {
        let settings = Settings { public_url: Some(PUBLIC_URL.to_owned()), ..Settings::default() };
        let house = House::of(settings, source(&row)).await;
        Desk { row, house }
    }

    /// What the provider sends: this many seconds from now, with the first secret or another.
    fn request(&self, seconds: i64, which: u8) -> Request {
        let Row { provider, content_type, headers, .. } = self.row;
        let draft = self.draft(seconds);
        let proof = (self.row.sign)(&draft, &(self.row.keyring)(which).bytes);
        let query = proof.query.map(|query| format!("?{query}")).unwrap_or_default();
        let body = proof.body.unwrap_or(draft.body);
        let request = Request::new("POST", &format!("/hooks/{provider}{query}"));
        let request = request.header("content-type", content_type).body(&body);
        let request = headers.iter().fold(request, |it, (name, value)| it.header(name, value));
        proof.headers.iter().fold(request, |it, (name, value)| it.header(name, value))
    }

    fn draft(&self, seconds: i64) -> Draft {
        Draft {
            url: format!("{PUBLIC_URL}/hooks/{}", self.row.provider),
            body: self.row.body.as_bytes().to_vec(),
            millisecond: clock::now().as_millisecond() + seconds * 1_000,
        }
    }

    async fn send(&self, request: &Request) -> Answer {
        let answer = self.house.send(request).await;
        assert!(![404, 410].contains(&answer.status), "{}: {answer:?}", self.row.provider);
        answer
    }

    /// How many events are in the store.
    async fn kept(&self) -> u64 {
        self.house.store.counts().await.unwrap().iter().map(|count| count.events).sum()
    }

    async fn check(&self, request: &Request, status: u16, reason: &str) {
        let answer = self.send(request).await;
        let found = (answer.status, answer.reason());
        assert_eq!(found, (status, reason), "{}: {answer:?}", self.row.provider);
    }
}

/// The source of a mapping file that says no more than it has to.
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
async fn what_a_provider_signs_is_accepted_and_its_repeat_is_known() {
    for row in rows() {
        let desk = Desk::new(*row).await;
        let request = desk.request(0, 1);

        let first = desk.send(&request).await;
        let kept = desk.kept().await;
        let again = desk.send(&request).await;

        assert!((200..300).contains(&first.status), "{}: {first:?}", row.provider);
        assert_eq!(desk.kept().await == kept, row.has_id, "{}: {again:?}", row.provider);
        // Salesforce reads no ids.
        let Some(id) = first.body["events"][0].as_str() else { continue };
        let id = id.parse().unwrap();
        let event = desk.house.store.event(id).await.unwrap().unwrap().event;
        assert_eq!(event.event_type.as_deref(), row.kind, "{}", row.provider);
        assert!(event.payload.contains("probe"), "{}: {}", row.provider, event.payload);
    }
}

#[tokio::test]
async fn what_a_provider_did_not_sign_is_refused() {
    for row in rows() {
        let covers_body = row.covers_body;
        let desk = Desk::new(*row).await;

        desk.check(&desk.request(0, 2), 401, "the signature is wrong").await;
        desk.check(&unsigned(&desk), 401, "the signature is missing").await;
        if covers_body {
            desk.check(&desk.request(0, 1).with("probe", "prove"), 401, "the signature is wrong")
                .await;
        }
    }
}

/// Which provider asks with what, and what it wants to hear.
const GREETINGS: [(&str, &str, u16, &str); 4] = [
    ("slack", r#"{"type":"url_verification","challenge":"c"}"#, 200, r#"{"challenge":"c"}"#),
    ("discord", r#"{"type":0}"#, 204, ""),
    ("monday", r#"{"challenge":"c"}"#, 200, r#"{"challenge":"c"}"#),
    ("zoom", r#"{"event":"endpoint.url_validation","payload":{"plainToken":"p"}}"#, 200, ""),
];

#[tokio::test]
async fn a_handshake_is_answered_and_not_kept() {
    for (provider, body, status, text) in GREETINGS {
        let row = rows().find(|row| row.provider == provider).unwrap();
        let desk = Desk::new(Row { body, ..*row }).await;

        let answer = desk.send(&desk.request(0, 1)).await;

        assert_eq!(answer.status, status, "{provider}: {answer:?}");
        assert!(text.is_empty() || answer.text == text, "{provider}: {answer:?}");
        assert_eq!(desk.kept().await, 0, "{provider}");
        let forged = if provider == "monday" { 200 } else { 401 };
        assert_eq!(desk.send(&desk.request(0, 2)).await.status, forged, "{provider}");
    }
}

fn unsigned(desk: &Desk) -> Request {
    let path = format!("/hooks/{}", desk.row.provider);
    let request = Request::new("POST", &path).header("content-type", desk.row.content_type);
    request.body(desk.row.body.as_bytes())
}

#[tokio::test]
async fn a_signed_time_counts_within_its_window_and_not_beyond() {
    for row in rows() {
        let Some(window) = row.window else { continue };
        let desk = Desk::new(*row).await;
        let reason = "the signature is outside its time window";

        for inside in [20 - window, window - 20] {
            let answer = desk.send(&desk.request(inside, 1)).await;
            assert!(answer.status < 300, "{}: {answer:?}", desk.row.provider);
        }
        for outside in [-window - 20, window + 20] {
            desk.check(&desk.request(outside, 1), 401, reason).await;
        }
    }
}

#[tokio::test]
async fn no_request_makes_a_provider_give_up() {
    for row in rows() {
        let desk = Desk::new(*row).await;
        let path = format!("/hooks/{}", desk.row.provider);
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST"] {
            desk.send(&Request::new(method, &path)).await;
        }
        let garbled = desk.request(0, 1).header("content-type", "text/plain").body(b"\xff\0{");
        desk.send(&garbled).await;
    }
}

#[tokio::test]
async fn a_proof_in_the_body_is_not_in_what_is_stored() {
    let row = rows().find(|row| row.provider == "wufoo").unwrap();
    let secret = (row.keyring)(1).configured;
    let desk = Desk::new(*row).await;

    let id = desk.send(&desk.request(0, 1)).await.events()[0].parse().unwrap();

    let event = desk.house.store.event(id).await.unwrap().unwrap().event;
    let hidden = format!(r#""HandshakeKey":"{}""#, "*".repeat(secret.len()));
    assert!(event.payload.contains(&hidden), "{}", event.payload);
}

#[tokio::test]
async fn which_secret_matched_is_counted() {
    let row = rows().find(|row| row.provider == "github").unwrap();
    let desk = Desk::new(*row).await;

    for which in [1, 2, 1] {
        desk.send(&desk.request(0, which)).await;
    }

    assert_eq!(desk.house.door.webhooks.matches("github", 0), 2);
    assert_eq!(desk.house.door.webhooks.matches("github", 1), 0);
}

#[test]
fn providers_with_a_weak_proof_are_known() {
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

    // Of monday also that a token without `exp` never expires.
    let known = [("canny", 1), ("crisp", 1), ("monday", 2), ("segment", 1), ("sentry", 1)];
    assert_eq!(weak, known);
}
