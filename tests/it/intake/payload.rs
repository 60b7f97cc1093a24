//! Formats of bodies: compression, multipart, XML and lists; and tests of addresses.

use super::handshake::asana;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use savio_relay::store::Archive;
use serde_json::{Value, json};

use crate::support::server::{Answer, Request, SECRET, TestIntake, signed};

const OWN: &str = "secrets = [\"env:SECRET\"]\n";

fn of_provider(name: &str) -> String {
    format!("provider = \"{name}\"\n{OWN}")
}

pub(super) async fn server_of(name: &str, rest: &str) -> TestIntake {
    TestIntake::with_files(&[(name, &format!("{}{rest}", of_provider(name)))]).await
}

#[track_caller]
pub(super) fn check(answer: &Answer, status: u16, text: &str) {
    assert_eq!((answer.status, answer.text.as_str()), (status, text), "{}", answer.head);
}

pub(super) async fn payload(server: &TestIntake, answer: &Answer, at: usize) -> Value {
    let id = answer.events()[at].parse().unwrap();
    let payload = server.store.event(id).await.unwrap().unwrap().event.payload;
    serde_json::from_str(&payload).unwrap()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn gzip_body_is_verified_compressed_and_then_decoded() {
    let server = TestIntake::new().await;
    let gzipped = |body: &[u8]| signed("/hooks/github", body).header("content-encoding", "gzip");

    let taken = server.send(&gzipped(&gzip(b"{\"a\":1}"))).await;
    let broken = server.send(&gzipped(b"{}")).await;
    let bomb = server.send(&gzipped(&gzip(&vec![b' '; 50_000_000]))).await;
    let twice = signed("/hooks/github", b"").header("content-encoding", "gzip, gzip");

    assert_eq!(payload(&server, &taken, 0).await, json!({ "a": 1 }));
    assert_eq!((broken.status, broken.reason()), (400, "not gzip: unexpected end of file"));
    let reason = "the body is larger than 5242880 bytes once it is decompressed";
    assert_eq!((bomb.status, bomb.reason()), (413, reason));
    assert_eq!(server.send(&twice).await.status, 415);
}

#[tokio::test]
async fn multipart_form_is_decoded_to_its_fields() {
    let server = server_of("jotform", "").await;
    let part = |name: &str, text: &str| {
        format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n{text}\r\n")
    };
    let raw = part("rawRequest", r#"{"q3_idea":"Dark mode"}"#);
    let file = part("\"f\"; filename=\"a.png\"", "123");
    let body = part("submissionID", "7") + &raw + &file + "--b--\r\n";
    let webhook = Request::new("POST", &format!("/hooks/jotform?token={SECRET}"))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(body.as_bytes());

    let taken = server.send(&webhook).await;

    let file = json!({ "name": "a.png", "type": "text/plain", "size": 3 });
    let form = json!({ "submissionID": "7", "rawRequest": { "q3_idea": "Dark mode" }, "f": file });
    assert_eq!(payload(&server, &taken, 0).await, form);
    assert_eq!(server.send(&webhook).await.body["status"], "duplicate");
}

/// Returns a Salesforce message with a notification for each of these ids.
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
async fn salesforce_message_is_always_acknowledged_in_xml() {
    let server = server_of("salesforce", "events = [\"Case\"]\n").await;

    let taken = server.send(&outbound_message("Case", &["1", "2"])).await;
    let again = server.send(&outbound_message("Case", &["1"])).await;
    let none = server.send(&outbound_message("Lead", &["3"])).await;

    for answer in [&taken, &again, &none] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("content-type: text/xml"), "{}", answer.head);
        assert!(answer.text.contains("<Ack>true</Ack>"), "{}", answer.text);
    }
    let stored: u64 = server.store.counts().await.unwrap().iter().map(|count| count.events).sum();
    assert_eq!(stored, 2);
}

#[tokio::test]
async fn xml_that_is_not_configured_is_415() {
    let server = server_of("form", "").await;
    let webhook = Request::new("POST", &format!("/hooks/form?token={SECRET}"))
        .header("content-type", "text/xml")
        .body(b"<a/>");

    assert_eq!(server.send(&webhook).await.status, 415);
}

#[tokio::test]
async fn empty_list_is_ignored_and_one_object_is_one_event() {
    let server = server_of("github", "[event]\neach = \"$[*]\"\n").await;
    let heartbeat = server.send(&signed("/hooks/github", b"[]")).await;
    let one = server.send(&signed("/hooks/github", b"{\"a\":1}")).await;
    let two = server.send(&signed("/hooks/github", b"[{},{\"a\":2}]")).await;

    assert_eq!((heartbeat.status, &heartbeat.body["status"]), (200, &json!("ignored")));
    assert_eq!(payload(&server, &one, 0).await, json!({ "a": 1 }));
    assert_eq!(payload(&server, &two, 1).await, json!({ "a": 2 }));
}

#[tokio::test]
async fn head_at_a_source_with_a_head_handshake_is_200() {
    let server = server_of("trello", "").await;

    check(&server.send(&Request::new("HEAD", "/hooks/trello")).await, 200, "");
    assert_eq!(server.send(&Request::new("GET", "/hooks/trello")).await.status, 405);
}

#[tokio::test]
async fn get_at_a_source_that_waits_for_its_secret_is_503() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestIntake::with_files(&[("asana", &asana(&folder.path().join("asana")))]).await;

    for (method, status) in [("GET", 503), ("HEAD", 503), ("PUT", 405)] {
        let answer = server.send(&Request::new(method, "/hooks/asana")).await;
        assert_eq!(answer.status, status, "{method}");
    }
}
