//! Handshakes of providers, and secrets that they send.

use super::payload::{check, server_of};
use crate::support::server::{Request, SECRET, TestIntake, hex_hmac};
use savio_relay::clock;
use savio_relay::event::SourceName;
use savio_relay::intake::registry::{SourceStatus, Sources};
use savio_relay::intake::setup::PendingSetup;
use savio_relay::intake::source::Source;
use serde_json::json;
use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

/// Returns a mapping file for Asana with its secret at this path.
pub(super) fn asana(path: &std::path::Path) -> String {
    format!("provider = \"asana\"\nsecrets = [\"file:{}\"]\n", path.display())
}

/// Returns the setup address that is shown for a source at the start.
pub(super) fn setup_address(server: &TestIntake, source: &str) -> String {
    let sources = server.intake.sources.current();
    let status = &sources[&source.parse::<SourceName>().unwrap()];
    let SourceStatus::AwaitingSecret(setup) = status else { panic!("{status:?}") };
    setup.address()
}

pub(super) fn first_request(path: &str) -> Request {
    Request::new("POST", path).header("x-hook-secret", SECRET)
}

pub(super) fn asana_event(path: &str) -> Request {
    let body = br#"{"events":[{"action":"added","resource":{"resource_type":"task"}}]}"#;
    Request::new("POST", path).header("x-hook-signature", &hex_hmac(body)).body(body)
}

/// Returns the source that waits for its secret, and the same with its key.
pub(super) fn waiting_and_live(server: &TestIntake) -> (SourceName, Source, Source) {
    let name: SourceName = "asana".parse().unwrap();
    let SourceStatus::AwaitingSecret(setup) = server.intake.sources.current()[&name].clone() else {
        panic!()
    };
    let waiting = Source::clone(&setup.source);
    let key = waiting.signature.key(&SECRET.into(), None, 0).unwrap();
    (name, waiting.clone(), Source { keys: vec![key], ..waiting })
}

#[tokio::test]
pub(super) async fn first_request_with_the_secret_makes_the_source_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let server = TestIntake::with_files(&[("asana", &asana(&path))]).await;
    let address = setup_address(&server, "asana");

    assert_eq!(server.send(&asana_event("/hooks/asana")).await.status, 503);
    let answer = server.send(&first_request(&address)).await;

    assert_eq!(answer.status, 200);
    assert!(answer.head.contains(&format!("x-hook-secret: {SECRET}")), "{}", answer.head);
    assert_eq!(server.send(&asana_event(&address)).await.status, 202);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), SECRET);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let restarted = TestIntake::with_files(&[("asana", &asana(&path))]).await;
    assert_eq!(restarted.send(&asana_event("/hooks/asana")).await.status, 202);
}

#[tokio::test]
pub(super) async fn secret_that_arrives_during_a_reload_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let server = TestIntake::with_files(&[("asana", &asana(&path))]).await;
    let (name, _, live) = waiting_and_live(&server);

    let is_first = Cell::new(true);
    let (before, after) = server.intake.sources.update(|old| {
        if is_first.replace(false) {
            server.intake.sources.go_live(&live);
        }
        old.clone()
    });

    assert!(matches!(before[&name], SourceStatus::Live(_)), "{before:?}");
    assert!(matches!(after[&name], SourceStatus::Live(_)), "{after:?}");
    assert_eq!(server.send(&asana_event("/hooks/asana")).await.status, 202);
}

#[tokio::test]
pub(super) async fn source_that_goes_live_keeps_its_changed_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let server = TestIntake::with_files(&[("asana", &asana(&path))]).await;
    let (name, waiting, live) = waiting_and_live(&server);
    let changed = Source { provider: Some("changed".to_owned()), ..waiting };
    let changed =
        SourceStatus::AwaitingSecret(Arc::new(PendingSetup::new(Arc::new(changed), path)));
    server.intake.sources.update(|_| Sources::from([(name.clone(), changed.clone())]));

    server.intake.sources.go_live(&live);

    let now = server.intake.sources.current()[&name].clone();
    let SourceStatus::Live(source) = now else { panic!("{now:?}") };
    assert_eq!((source.provider.as_deref(), source.keys.len()), (Some("changed"), 1));
}

#[tokio::test]
pub(super) async fn secret_without_the_setup_code_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let server = TestIntake::with_files(&[("asana", &asana(&path))]).await;
    let unfit = Request::new("POST", &setup_address(&server, "asana")).header("x-hook-secret", " ");

    for request in [first_request("/hooks/asana"), first_request("/hooks/asana?setup=x"), unfit] {
        let answer = server.send(&request).await;
        assert_eq!((answer.status, answer.reason()), (503, "the source is off"));
    }
    assert!(!path.exists());
}

#[tokio::test]
pub(super) async fn existing_secret_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let server = TestIntake::with_files(&[("asana", &asana(&path))]).await;
    let address = setup_address(&server, "asana");
    server.send(&first_request(&address)).await;

    let other = Request::new("POST", &address).header("x-hook-secret", "another");

    assert_eq!(server.send(&other).await.status, 401);
    assert_eq!(server.send_until(&first_request(&address), 200).await.status, 200);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), SECRET);
}

#[tokio::test]
pub(super) async fn simultaneous_first_requests_with_one_secret_are_both_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let server = TestIntake::with_files(&[("asana", &asana(&path))]).await;
    let address = setup_address(&server, "asana");
    // As the first of them leaves it, between the file and the change of the source.
    std::fs::write(&path, SECRET).unwrap();

    let other = Request::new("POST", &address).header("x-hook-secret", "another");
    let other = other.header("x-forwarded-for", "198.51.100.7");
    let refused = server.send(&other).await;
    let answer = server.send(&first_request(&address)).await;

    assert_eq!(answer.status, 200);
    assert_eq!((refused.status, refused.reason()), (503, "the secret could not be saved"));
    assert!(answer.head.contains(&format!("x-hook-secret: {SECRET}")), "{}", answer.head);
    assert_eq!(server.send(&asana_event("/hooks/asana")).await.status, 202);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), SECRET);
}

/// Signs a body as Slack does.
pub(super) fn slack(body: &str) -> Request {
    let now = clock::now().as_second().to_string();
    let mac = hex_hmac(format!("v0:{now}:{body}").as_bytes());
    Request::new("POST", "/hooks/slack")
        .header("x-slack-signature", &format!("v0={mac}"))
        .header("x-slack-request-timestamp", &now)
        .body(body.as_bytes())
}

#[tokio::test]
pub(super) async fn signed_challenge_is_answered_and_an_unsigned_one_is_401() {
    let server = server_of("slack", "").await;
    let challenge = r#"{"type":"url_verification","challenge":"c"}"#;
    let unsigned = Request::new("POST", "/hooks/slack").body(challenge.as_bytes());

    assert_eq!(server.send(&unsigned).await.status, 401);
    for _ in 0..3 {
        check(&server.send(&slack(challenge)).await, 200, r#"{"challenge":"c"}"#);
    }
    assert_eq!(server.send(&slack(r#"{"type":"event_callback"}"#)).await.status, 202);
}

#[tokio::test]
pub(super) async fn challenge_is_answered_with_its_hmac() {
    let server = server_of("zoom", "").await;
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"p"}}"#;
    let now = clock::now().as_second().to_string();
    let mac = hex_hmac(format!("v0:{now}:{body}").as_bytes());
    let request = Request::new("POST", "/hooks/zoom")
        .header("x-zm-signature", &format!("v0={mac}"))
        .header("x-zm-request-timestamp", &now)
        .body(body.as_bytes());

    let answer = server.send(&request).await;

    assert_eq!(answer.body, json!({ "plainToken": "p", "encryptedToken": hex_hmac(b"p") }));
}

#[tokio::test]
pub(super) async fn challenge_in_the_query_is_repeated_as_plain_text() {
    let handshake = "[[handshake]]\nmethod = \"GET\"\nbody = \"{query:challenge}\"\n";
    let server = server_of("github", handshake).await;

    let request = Request::new("GET", "/hooks/github?challenge=%3Cb%3E");
    let answer = server.send(&request).await;

    check(&answer, 200, "<b>");
    assert!(answer.head.contains("content-type: text/plain"), "{}", answer.head);
    assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
    assert_eq!(server.send(&Request::new("GET", "/hooks/github")).await.status, 405);
}

#[tokio::test]
pub(super) async fn second_unsigned_handshake_within_a_second_is_429() {
    let server = server_of("front", "").await;
    let request = Request::new("POST", "/hooks/front").header("x-front-challenge", "c");

    check(&server.send(&request).await, 200, "c");
    let refused = server.send_until(&request, 429).await;

    assert!(refused.head.contains("\r\nretry-after: 1"), "{}", refused.head);
    assert_eq!(server.send(&Request::new("POST", "/hooks/front")).await.status, 401);
}
