//! Handshakes of providers, and secrets that they bring.

use super::payload::{check, house};
use crate::support::server::{House, Request, SECRET, hex_hmac};
use savio_relay::clock;
use savio_relay::event::SourceName;
use savio_relay::intake::registry::{SourceStatus, Sources};
use savio_relay::intake::setup::PendingSetup;
use savio_relay::intake::source::Source;
use serde_json::json;
use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

/// Asana's mapping file with its secret at this path.
pub(super) fn asana(path: &std::path::Path) -> String {
    format!("provider = \"asana\"\nsecrets = [\"file:{}\"]\n", path.display())
}

/// The address that is shown for a source at the start.
pub(super) fn shown(house: &House, source: &str) -> String {
    let sources = house.door.sources.current();
    let standing = &sources[&source.parse::<SourceName>().unwrap()];
    let SourceStatus::AwaitingSecret(setup) = standing else { panic!("{standing:?}") };
    setup.address()
}

pub(super) fn greeting(path: &str) -> Request {
    Request::new("POST", path).header("x-hook-secret", SECRET)
}

pub(super) fn asana_event(path: &str) -> Request {
    let body = br#"{"events":[{"action":"added","resource":{"resource_type":"task"}}]}"#;
    Request::new("POST", path).header("x-hook-signature", &hex_hmac(body)).body(body)
}

/// The source that waits for its secret, and how it is with it.
pub(super) fn waiting_and_live(house: &House) -> (SourceName, Source, Source) {
    let name: SourceName = "asana".parse().unwrap();
    let SourceStatus::AwaitingSecret(setup) = house.door.sources.current()[&name].clone() else {
        panic!()
    };
    let waiting = Source::clone(&setup.source);
    let key = waiting.signature.key(&SECRET.into(), None, 0).unwrap();
    (name, waiting.clone(), Source { keys: vec![key], ..waiting })
}

#[tokio::test]
pub(super) async fn a_provider_that_brings_its_secret_makes_its_source_live() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let house = House::of_files(&[("asana", &asana(&path))]).await;
    let address = shown(&house, "asana");

    assert_eq!(house.send(&asana_event("/hooks/asana")).await.status, 503);
    let answer = house.send(&greeting(&address)).await;

    assert_eq!(answer.status, 200);
    assert!(answer.head.contains(&format!("x-hook-secret: {SECRET}")), "{}", answer.head);
    assert_eq!(house.send(&asana_event(&address)).await.status, 202);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), SECRET);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let restarted = House::of_files(&[("asana", &asana(&path))]).await;
    assert_eq!(restarted.send(&asana_event("/hooks/asana")).await.status, 202);
}

#[tokio::test]
pub(super) async fn secret_that_comes_while_the_sources_change_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let house = House::of_files(&[("asana", &asana(&path))]).await;
    let (name, _, live) = waiting_and_live(&house);

    let comes = Cell::new(true);
    let (before, after) = house.door.sources.update(|old| {
        if comes.replace(false) {
            house.door.sources.go_live(&live);
        }
        old.clone()
    });

    assert!(matches!(before[&name], SourceStatus::Live(_)), "{before:?}");
    assert!(matches!(after[&name], SourceStatus::Live(_)), "{after:?}");
    assert_eq!(house.send(&asana_event("/hooks/asana")).await.status, 202);
}

#[tokio::test]
pub(super) async fn source_that_goes_live_keeps_what_its_file_says_by_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let house = House::of_files(&[("asana", &asana(&path))]).await;
    let (name, waiting, live) = waiting_and_live(&house);
    let changed = Source { provider: Some("changed".to_owned()), ..waiting };
    let changed =
        SourceStatus::AwaitingSecret(Arc::new(PendingSetup::new(Arc::new(changed), path)));
    house.door.sources.update(|_| Sources::from([(name.clone(), changed.clone())]));

    house.door.sources.go_live(&live);

    let now = house.door.sources.current()[&name].clone();
    let SourceStatus::Live(source) = now else { panic!("{now:?}") };
    assert_eq!((source.provider.as_deref(), source.keys.len()), (Some("changed"), 1));
}

#[tokio::test]
pub(super) async fn a_secret_is_taken_from_nobody_without_the_code() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let house = House::of_files(&[("asana", &asana(&path))]).await;
    let unfit = Request::new("POST", &shown(&house, "asana")).header("x-hook-secret", " ");

    for asked in [greeting("/hooks/asana"), greeting("/hooks/asana?setup=x"), unfit] {
        let answer = house.send(&asked).await;
        assert_eq!((answer.status, answer.reason()), (503, "the source is off"));
    }
    assert!(!path.exists());
}

#[tokio::test]
pub(super) async fn a_secret_that_is_there_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asana");
    let house = House::of_files(&[("asana", &asana(&path))]).await;
    let address = shown(&house, "asana");
    house.send(&greeting(&address)).await;

    let other = Request::new("POST", &address).header("x-hook-secret", "another");

    assert_eq!(house.send(&other).await.status, 401);
    assert_eq!(house.send_until(&greeting(&address), 200).await.status, 200);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), SECRET);
}

/// As Slack signs.
pub(super) fn slack(body: &str) -> Request {
    let now = clock::now().as_second().to_string();
    let mac = hex_hmac(format!("v0:{now}:{body}").as_bytes());
    Request::new("POST", "/hooks/slack")
        .header("x-slack-signature", &format!("v0={mac}"))
        .header("x-slack-request-timestamp", &now)
        .body(body.as_bytes())
}

#[tokio::test]
pub(super) async fn a_signed_challenge_is_answered_only_if_its_signature_is_right() {
    let house = house("slack", "").await;
    let challenge = r#"{"type":"url_verification","challenge":"c"}"#;
    let unsigned = Request::new("POST", "/hooks/slack").body(challenge.as_bytes());

    assert_eq!(house.send(&unsigned).await.status, 401);
    for _ in 0..3 {
        check(&house.send(&slack(challenge)).await, 200, r#"{"challenge":"c"}"#);
    }
    assert_eq!(house.send(&slack(r#"{"type":"event_callback"}"#)).await.status, 202);
}

#[tokio::test]
pub(super) async fn a_keyed_challenge_is_answered_with_the_secret() {
    let house = house("zoom", "").await;
    let body = r#"{"event":"endpoint.url_validation","payload":{"plainToken":"p"}}"#;
    let now = clock::now().as_second().to_string();
    let mac = hex_hmac(format!("v0:{now}:{body}").as_bytes());
    let asked = Request::new("POST", "/hooks/zoom")
        .header("x-zm-signature", &format!("v0={mac}"))
        .header("x-zm-request-timestamp", &now)
        .body(body.as_bytes());

    let answer = house.send(&asked).await;

    assert_eq!(answer.body, json!({ "plainToken": "p", "encryptedToken": hex_hmac(b"p") }));
}

#[tokio::test]
pub(super) async fn a_challenge_in_the_address_is_repeated() {
    let handshake = "[[handshake]]\nmethod = \"GET\"\nbody = \"{query:challenge}\"\n";
    let house = house("github", handshake).await;

    let asked = Request::new("GET", "/hooks/github?challenge=%3Cb%3E");
    let answer = house.send(&asked).await;

    check(&answer, 200, "<b>");
    assert!(answer.head.contains("content-type: text/plain"), "{}", answer.head);
    assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
    assert_eq!(house.send(&Request::new("GET", "/hooks/github")).await.status, 405);
}

#[tokio::test]
pub(super) async fn an_unsigned_handshake_is_answered_at_most_once_a_second() {
    let house = house("front", "").await;
    let asked = Request::new("POST", "/hooks/front").header("x-front-challenge", "c");

    check(&house.send(&asked).await, 200, "c");
    let refused = house.send_until(&asked, 429).await;

    assert!(refused.head.contains("\r\nretry-after: 1"), "{}", refused.head);
    assert_eq!(house.send(&Request::new("POST", "/hooks/front")).await.status, 401);
}
