//! How webhooks may be packed, how providers introduce themselves, and how often they may come.

use std::cell::Cell;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use savio_relay::clock;
use savio_relay::event::SourceName;
use savio_relay::intake::setup::PendingSetup;
use savio_relay::intake::source::{Source, SourceStatus, Sources};
use savio_relay::store::Store;
use serde_json::{Value, json};

use crate::intake::house::{Answer, House, Request, SECRET, hex_hmac, signed};

const OWN: &str = "secrets = [\"env:SECRET\"]\n";

fn of_provider(name: &str) -> String {
    format!("provider = \"{name}\"\n{OWN}")
}

async fn house(name: &str, rest: &str) -> House {
    House::of_files(&[(name, &format!("{}{rest}", of_provider(name)))]).await
}

#[track_caller]
fn check(answer: &Answer, status: u16, text: &str) {
    assert_eq!((answer.status, answer.text.as_str()), (status, text), "{}", answer.head);
}

async fn payload(house: &House, answer: &Answer, at: usize) -> Value {
    let id = answer.events()[at].parse().unwrap();
    let payload = house.store.event(id).await.unwrap().unwrap().event.payload;
    serde_json::from_str(&payload).unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_gzipped_body_is_verified_as_it_came_and_read_as_it_was() {
    let house = House::new().await;
    let gzipped = |body: &[u8]| signed("/hooks/github", body).header("content-encoding", "gzip");

    let taken = house.send(&gzipped(&gzip(b"{\"a\":1}"))).await;
    let broken = house.send(&gzipped(b"{}")).await;
    let bomb = house.send(&gzipped(&gzip(&vec![b' '; 50_000_000]))).await;
    let twice = signed("/hooks/github", b"").header("content-encoding", "gzip, gzip");

    assert_eq!(payload(&house, &taken, 0).await, json!({ "a": 1 }));
    assert_eq!((broken.status, broken.reason()), (400, "not gzip: unexpected end of file"));
    let reason = "the body is larger than 5242880 bytes once it is decompressed";
    assert_eq!((bomb.status, bomb.reason()), (413, reason));
    assert_eq!(house.send(&twice).await.status, 415);
}

#[tokio::test]
async fn a_multipart_form_is_its_fields() {
    let house = house("jotform", "").await;
    let part = |name: &str, text: &str| {
        format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n{text}\r\n")
    };
    let raw = part("rawRequest", r#"{"q3_idea":"Dark mode"}"#);
    let file = part("\"f\"; filename=\"a.png\"", "123");
    let body = part("submissionID", "7") + &raw + &file + "--b--\r\n";
    let webhook = Request::new("POST", &format!("/hooks/jotform?token={SECRET}"))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(body.as_bytes());

    let taken = house.send(&webhook).await;

    let file = json!({ "name": "a.png", "type": "text/plain", "size": 3 });
    let form = json!({ "submissionID": "7", "rawRequest": { "q3_idea": "Dark mode" }, "f": file });
    assert_eq!(payload(&house, &taken, 0).await, form);
    assert_eq!(house.send(&webhook).await.body["status"], "duplicate");
}

/// As Salesforce writes it, with each of these ids in a notification of its own.
fn outbound_message(object: &str, ids: &[&str]) -> Request {
    let one = |id: &&str| {
        let object = format!("<sObject xsi:type=\"sf:{object}\"><sf:Id>5{id}</sf:Id></sObject>");
        format!("<Notification><Id>{id}</Id>{object}</Notification>")
    };
    let notifications: String = ids.iter().map(one).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"s\" xmlns:xsi=\"x\">\
         <s:Body><notifications xmlns=\"n\">{notifications}</notifications></s:Body></s:Envelope>"
    );
    Request::new("POST", &format!("/hooks/salesforce?token={SECRET}"))
        .header("content-type", "text/xml; charset=utf-8")
        .body(body.as_bytes())
}

#[tokio::test]
async fn an_outbound_message_is_acknowledged_whatever_becomes_of_it() {
    let house = house("salesforce", "events = [\"Case\"]\n").await;

    let taken = house.send(&outbound_message("Case", &["1", "2"])).await;
    let again = house.send(&outbound_message("Case", &["1"])).await;
    let none = house.send(&outbound_message("Lead", &["3"])).await;

    for answer in [&taken, &again, &none] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("content-type: text/xml"), "{}", answer.head);
        assert!(answer.text.contains("<Ack>true</Ack>"), "{}", answer.text);
    }
    let kept: u64 = house.store.counts().await.unwrap().iter().map(|count| count.events).sum();
    assert_eq!(kept, 2);
}

#[tokio::test]
async fn xml_is_refused_where_nobody_asked_for_it() {
    let house = house("form", "").await;
    let webhook = Request::new("POST", &format!("/hooks/form?token={SECRET}"))
        .header("content-type", "text/xml")
        .body(b"<a/>");

    assert_eq!(house.send(&webhook).await.status, 415);
}

#[tokio::test]
async fn a_list_may_be_empty_or_be_one_event() {
    let house = house("github", "[event]\neach = \"$[*]\"\n").await;
    let heartbeat = house.send(&signed("/hooks/github", b"[]")).await;
    let one = house.send(&signed("/hooks/github", b"{\"a\":1}")).await;
    let two = house.send(&signed("/hooks/github", b"[{},{\"a\":2}]")).await;

    assert_eq!((heartbeat.status, &heartbeat.body["status"]), (200, &json!("ignored")));
    assert_eq!(payload(&house, &one, 0).await, json!({ "a": 1 }));
    assert_eq!(payload(&house, &two, 1).await, json!({ "a": 2 }));
}

/// As Slack signs.
fn slack(body: &str) -> Request {
    let now = clock::now().as_second().to_string();
    let mac = hex_hmac(format!("v0:{now}:{body}").as_bytes());
    Request::new("POST", "/hooks/slack")
        .header("x-slack-signature", &format!("v0={mac}"))
        .header("x-slack-request-timestamp", &now)
        .body(body.as_bytes())
}

#[tokio::test]
async fn a_signed_challenge_is_answered_only_if_its_signature_is_right() {
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
async fn a_keyed_challenge_is_answered_with_the_secret() {
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
async fn an_unsigned_handshake_is_answered_at_most_once_a_second() {
    let house = house("front", "").await;
    let asked = Request::new("POST", "/hooks/front").header("x-front-challenge", "c");

    check(&house.send(&asked).await, 200, "c");
    let refused = house.send_until(&asked, 429).await;

    assert!(refused.head.contains("\r\nretry-after: 1"), "{}", refused.head);
    assert_eq!(house.send(&Request::new("POST", "/hooks/front")).await.status, 401);
}

#[tokio::test]
async fn an_address_that_signs_its_url_is_tested_by_head() {
    let house = house("trello", "").await;

    check(&house.send(&Request::new("HEAD", "/hooks/trello")).await, 200, "");
    assert_eq!(house.send(&Request::new("GET", "/hooks/trello")).await.status, 405);
}

#[tokio::test]
async fn a_challenge_in_the_address_is_repeated() {
    let handshake = "[[handshake]]\nmethod = \"GET\"\nbody = \"{query:challenge}\"\n";
    let house = house("github", handshake).await;

    let asked = Request::new("GET", "/hooks/github?challenge=%3Cb%3E");
    let answer = house.send(&asked).await;

    check(&answer, 200, "<b>");
    assert!(answer.head.contains("content-type: text/plain"), "{}", answer.head);
    assert!(answer.head.contains("x-content-type-options: nosniff"), "{}", answer.head);
    assert_eq!(house.send(&Request::new("GET", "/hooks/github")).await.status, 405);
}

/// Asana's mapping file with its secret at this path.
fn asana(path: &std::path::Path) -> String {
    format!("provider = \"asana\"\nsecrets = [\"file:{}\"]\n", path.display())
}

/// The address that is shown for a source at the start.
fn shown(house: &House, source: &str) -> String {
    let sources = house.door.sources.current();
    let standing = &sources[&source.parse::<SourceName>().unwrap()];
    let SourceStatus::AwaitingSecret(setup) = standing else { panic!("{standing:?}") };
    setup.address()
}

fn greeting(path: &str) -> Request {
    Request::new("POST", path).header("x-hook-secret", SECRET)
}

fn asana_event(path: &str) -> Request {
    let body = br#"{"events":[{"action":"added","resource":{"resource_type":"task"}}]}"#;
    Request::new("POST", path).header("x-hook-signature", &hex_hmac(body)).body(body)
}

#[tokio::test]
async fn a_provider_that_brings_its_secret_makes_its_source_live() {
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

/// The source that waits for its secret, and how it is with it.
fn waiting_and_live(house: &House) -> (SourceName, Source, Source) {
    let name: SourceName = "asana".parse().unwrap();
    let SourceStatus::AwaitingSecret(setup) = house.door.sources.current()[&name].clone() else {
        panic!()
    };
    let waiting = Source::clone(&setup.source);
    let key = waiting.signature.key(&SECRET.into(), None, 0).unwrap();
    (name, waiting.clone(), Source { keys: vec![key], ..waiting })
}

#[tokio::test]
async fn secret_that_comes_while_the_sources_change_is_kept() {
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
async fn source_that_goes_live_keeps_what_its_file_says_by_then() {
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
async fn a_secret_is_taken_from_nobody_without_the_code() {
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
async fn a_secret_that_is_there_is_not_replaced() {
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

#[tokio::test]
async fn only_signed_webhooks_count_against_the_rate() {
    let house = house("github", "rate = \"2/h\"\n").await;
    let webhook = signed("/hooks/github", b"{}");

    for _ in 0..5 {
        assert_eq!(house.send(&Request::new("POST", "/hooks/github")).await.status, 401);
    }
    assert_eq!(house.send(&webhook).await.status, 202);
    assert_eq!(house.send(&webhook).await.status, 202);
    let refused = house.send(&webhook).await;

    assert_eq!((refused.status, &refused.body["error"]), (429, &json!("over the rate")));
    assert!(refused.head.contains("\r\nretry-after: 1"), "{}", refused.head);
}

#[tokio::test]
async fn what_is_wrong_with_a_signature_is_told_to_us_alone() {
    let house = house("github", "").await;
    let source: SourceName = "github".parse().unwrap();
    let bare = Request::new("POST", "/hooks/github")
        .header("x-hub-signature-256", &hex_hmac(b"{}"))
        .header("x-forwarded-for", "6.6.6.6, 203.0.113.9")
        .body(b"{}");

    let answer = house.send(&bare).await;

    let refusal = &house.door.rejected.last(&source)[0];
    let hint = "right, but without the prefix `sha256=`";
    assert_eq!(refusal.hint.as_deref(), Some(hint));
    assert_eq!(refusal.client, Some("203.0.113.9".parse().unwrap()));
    check(&answer, 401, r#"{"error":"signature wrong","reason":"the signature is wrong"}"#);
}

#[tokio::test]
async fn a_flood_of_wrong_signatures_is_not_looked_into() {
    let house = house("github", "").await;
    let source: SourceName = "github".parse().unwrap();
    let bare = Request::new("POST", "/hooks/github")
        .header("x-hub-signature-256", &hex_hmac(b"{}"))
        .body(b"{}");

    for _ in 0..50 {
        house.send(&bare).await;
    }

    let last = house.door.rejected.last(&source);
    let hints: u64 = last.iter().filter(|it| it.hint.is_some()).map(|it| it.count).sum();
    assert_eq!(last.iter().map(|it| it.count).sum::<u64>(), 50);
    assert!((2..50).contains(&hints), "{hints}");
}

#[tokio::test]
async fn test_of_the_address_of_a_source_that_waits_for_its_secret_is_503() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::of_files(&[("asana", &asana(&folder.path().join("asana")))]).await;

    for (method, status) in [("GET", 503), ("HEAD", 503), ("PUT", 405)] {
        let answer = house.send(&Request::new(method, "/hooks/asana")).await;
        assert_eq!(answer.status, status, "{method}");
    }
}
