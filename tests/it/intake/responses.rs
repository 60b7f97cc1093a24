//! Responses of the public listener over HTTP: each row of its status table.

use std::time::Duration;

use crate::support::server::{Request, SECRET, TestIntake, signed};
use savio_relay::event::{EventId, SourceName};
use savio_relay::intake::Settings;
use savio_relay::store::{Archive, RejectionFilter};
use serde_json::json;

#[track_caller]
fn check(answer: &crate::support::server::Answer, status: u16, reason: &str) {
    assert_eq!((answer.status, answer.reason()), (status, reason), "{answer:?}");
}

#[tokio::test]
async fn repeated_delivery_id_is_a_duplicate() {
    let server = TestIntake::new().await;
    let webhook = signed("/hooks/github", b"{\"a\":1}").header("x-github-delivery", "d1");

    let first = server.send(&webhook).await;
    let again = server.send(&webhook).await;
    let other = server.send(&webhook.clone().header("x-github-delivery", "d2")).await;

    assert_eq!((first.status, &first.body["status"]), (202, &json!("accepted")));
    assert_eq!((again.status, &again.body["status"]), (200, &json!("duplicate")));
    assert_eq!(first.events(), again.events());
    assert_eq!(other.status, 202);
}

#[tokio::test]
async fn accepted_webhook_is_stored_unchanged_without_secrets() {
    let server = TestIntake::new().await;
    let body = b"{ \"b\": 1.0, \"a\": 12345678901234567890123 }";
    let webhook = signed("/hooks/github/", body)
        .header("x-github-event", "issues")
        .header("authorization", "Bearer of-someone")
        .header("x-custom", &format!("key={SECRET}"))
        .header("x-twice", "1")
        .header("X-Twice", "2");

    let id: EventId = server.send(&webhook).await.events()[0].parse().unwrap();

    let event = server.store.event(id).await.unwrap().unwrap().event;
    assert_eq!(event.payload.as_bytes(), body);
    assert_eq!(event.event_type.as_deref(), Some("issues"));
    for secret in ["authorization", "x-hub-signature-256", "x-custom"] {
        assert_eq!(event.headers[secret], "*", "{secret}");
    }
    assert_eq!(event.headers["x-twice"], "1, 2");
}

#[tokio::test]
async fn form_is_read_in_its_charset_and_bad_bytes_are_noted() {
    let server = TestIntake::new().await;
    let form = |charset: &str| {
        let content_type = format!("application/x-www-form-urlencoded{charset}");
        Request::new("POST", "/hooks/form")
            .header("x-relay-token", SECRET)
            .header("content-type", &content_type)
            .body(b"problem=Gr%F6%DFe")
    };
    let note = "the field `problem` is not UTF-8 and declares no known character set: what cannot be read is �";
    for (charset, payload, notes) in [
        ("; charset=ISO-8859-1", "{\"problem\":\"Größe\"}", vec![]),
        ("", "{\"problem\":\"Gr��e\"}", vec![note]),
    ] {
        let id: EventId = server.send(&form(charset)).await.events()[0].parse().unwrap();
        let record = server.store.event(id).await.unwrap().unwrap();
        assert_eq!((record.event.payload.as_str(), record.notes), (payload, texts(&notes)));
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn unwanted_event_is_ignored_with_its_reason() {
    let server = TestIntake::new().await;
    let ping = signed("/hooks/github", b"{}").header("x-github-event", "ping");
    let cases = [
        (ping, "`ping` is no event"),
        (signed("/hooks/picky", b"{\"type\":\"push\"}"), "`push` is not among the source's events"),
        (signed("/hooks/picky", b"{}"), "it has no type, and the source names its events"),
        (signed("/hooks/many", b"{\"events\":[]}"), "it carries no events"),
    ];
    for (webhook, reason) in cases {
        let answer = server.send(&webhook).await;
        check(&answer, 200, reason);
        assert_eq!(answer.body["status"], "ignored");
    }
    let wanted = server.send(&signed("/hooks/picky", b"{\"type\":\"issues.opened\"}")).await;
    assert_eq!(wanted.status, 202);
}

#[tokio::test]
async fn unsigned_body_is_not_parsed() {
    let server = TestIntake::new().await;
    let broken = |signature: &str| {
        Request::new("POST", "/hooks/github").header("x-hub-signature-256", signature).body(b"{\"a")
    };

    let unsigned = server.send(&Request::new("POST", "/hooks/github").body(b"{\"a")).await;
    let wrong = server.send(&broken("sha256=00")).await;
    let signed = server.send(&signed("/hooks/github", b"{\"a")).await;

    check(&unsigned, 401, "the signature is missing");
    check(&wrong, 401, "the signature is wrong");
    check(&signed, 400, "not JSON: EOF while parsing a string at line 1 column 3");
}

#[tokio::test]
async fn signature_outside_its_window_is_401() {
    let server = TestIntake::new().await;
    let signature = data_encoding::HEXLOWER.encode(&{
        use hmac::{KeyInit, Mac};
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(b"1000000000.{}");
        mac.finalize().into_bytes()
    });
    let webhook = Request::new("POST", "/hooks/timed")
        .header("x-time", "1000000000")
        .header("x-sig", &signature)
        .body(b"{}");

    let answer = server.send(&webhook).await;

    check(&answer, 401, "the signature is outside its time window");
}

#[tokio::test]
async fn token_in_the_query_or_a_header_is_accepted() {
    let server = TestIntake::new().await;
    let form = |path: &str| {
        Request::new("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(b"problem=too+slow&tags[]=a&tags[]=b")
    };
    let query = server.send(&form(&format!("/hooks/form?token={SECRET}"))).await;
    let header = server.send(&form("/hooks/form").header("x-relay-token", SECRET)).await;

    check(&server.send(&form("/hooks/form?token=x")).await, 401, "the signature is wrong");
    check(&server.send(&form("/hooks/form")).await, 401, "the signature is missing");
    assert_eq!((query.status, header.status), (202, 202));
    let id = query.events()[0].parse().unwrap();
    let event = server.store.event(id).await.unwrap().unwrap().event;
    assert_eq!(event.payload, r#"{"problem":"too slow","tags":["a","b"]}"#);
}

#[tokio::test]
async fn events_of_a_list_are_deduplicated() {
    let server = TestIntake::new().await;
    let two = br#"{"events":[{"id":"1"}, {"id":"2"}]}"#;
    let three = br#"{"events":[{"id":"3"},{"id":"1"},{"id":"2"}]}"#;

    let first = server.send(&signed("/hooks/many", two)).await;
    let second = server.send(&signed("/hooks/many", three)).await;
    let third = server.send(&signed("/hooks/many", three)).await;

    assert_eq!((first.status, second.status, third.status), (202, 202, 200));
    assert_eq!(second.events()[1..], first.events());
    assert_eq!(third.events(), second.events());
    let id = first.events()[1].parse().unwrap();
    assert_eq!(server.store.event(id).await.unwrap().unwrap().event.payload, "{\"id\":\"2\"}");
}

#[tokio::test]
async fn body_beyond_a_limit_is_refused() {
    let server = TestIntake::with(Settings { body_bytes_max: 9_000, ..Settings::default() }).await;
    let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
    let key = format!("{{\"{}\":1}}", "k".repeat(1_025));
    let many = format!("{{\"events\":[{}]}}", vec!["1"; 1_001].join(","));
    let large = vec![b' '; 9_001];
    let cases = [
        (deep.as_bytes(), 400, "nested deeper than 64 levels at line 1 column 65"),
        (key.as_bytes(), 400, "a key is longer than 1024 bytes at line 1 column 2"),
        (many.as_bytes(), 413, "1001 events in one request, at most 1000"),
        (&large, 413, "the body is larger than 9000 bytes"),
    ];
    for (body, status, reason) in cases {
        check(&server.send(&signed("/hooks/many", body)).await, status, reason);
    }
}

/// Returns a request with a wrong signature, which is seen only once the whole body has arrived.
fn forged() -> Request {
    Request::new("POST", "/hooks/github").header("x-hub-signature-256", "sha256=00")
}

#[tokio::test]
async fn chunked_body_is_bounded() {
    let server = TestIntake::with(Settings { body_bytes_max: 9, ..Settings::default() }).await;
    let chunked = forged().header("transfer-encoding", "chunked");

    let large = server.send(&chunked.clone().body(b"a\r\n0123456789\r\n0\r\n\r\n")).await;
    let small = server.send(&chunked.body(b"9\r\n012345678\r\n0\r\n\r\n")).await;

    check(&large, 413, "the body is larger than 9 bytes");
    check(&small, 401, "the signature is wrong");
}

#[tokio::test]
async fn declared_size_beyond_the_limit_is_413_before_the_body() {
    let server = TestIntake::new().await;
    let declared = forged().header("content-length", "5242881");

    check(&server.send(&declared).await, 413, "the body is larger than 5242880 bytes");
}

#[tokio::test]
async fn unfinished_body_is_408() {
    let settings = Settings { body_timeout: Duration::from_millis(50), ..Settings::default() };
    let server = TestIntake::with(settings).await;
    let slow = forged().header("content-length", "10").body(b"12345");

    check(&server.send(&slow).await, 408, "the body did not arrive in time");
}

#[tokio::test]
async fn unknown_content_type_or_encoding_is_415() {
    let server = TestIntake::new().await;
    let form = |name: &str, value: &str| {
        let path = format!("/hooks/form?token={SECRET}");
        Request::new("POST", &path).header(name, value).body(b"{}")
    };

    let text = server.send(&form("content-type", "text/plain")).await;
    let packed = server.send(&form("content-encoding", "br")).await;

    check(&text, 415, "the content type is text/plain; send JSON or a form");
    check(&packed, 415, "the content encoding is br; send the body as it is, or gzip");
}

#[tokio::test]
async fn source_is_found_by_an_escaped_path() {
    let server = TestIntake::new().await;
    for path in ["/hooks/github/", "/hooks/github?a=b", "/hooks/%67ithub", "/hooks/git%68ub/"] {
        assert_eq!(server.send(&signed(path, b"{}")).await.status, 202, "{path}");
    }
}

#[tokio::test]
async fn unknown_path_or_source_is_404() {
    let server = TestIntake::new().await;
    check(&server.send(&signed("/hooks/nobody", b"{}")).await, 404, "no such source");
    check(&server.send(&signed("/hooks/%ff", b"{}")).await, 404, "no such source");
    let nothing = "no such route";
    for path in ["/", "/hooks", "/hooks/", "/hooks/github/x", "/metrics"] {
        check(&server.send(&Request::new("GET", path)).await, 404, nothing);
    }
}

#[tokio::test]
async fn other_methods_at_a_known_source_are_405() {
    let server = TestIntake::new().await;
    let other = ["PUT", "DELETE", "OPTIONS", "NONSENSE"];
    let of_live = [&other[..], &["GET"]].concat();
    for (path, methods) in
        [("/hooks/github", &of_live[..]), ("/hooks/unset", &other), ("/hooks/bad", &other)]
    {
        for method in methods {
            let answer = server.send(&Request::new(method, path)).await;
            check(&answer, 405, "method not allowed: use POST");
            assert!(answer.head.contains("\r\nallow: post"), "{}", answer.head);
        }
    }
    assert_eq!(server.send(&Request::new("HEAD", "/hooks/github")).await.status, 405);
    assert_eq!(server.send(&Request::new("HEAD", "/hooks/greeted")).await.status, 200);
}

#[tokio::test]
async fn get_at_a_source_that_is_off_is_503() {
    let server = TestIntake::new().await;
    for path in ["/hooks/unset", "/hooks/bad", "/hooks/signs_url"] {
        for method in ["GET", "HEAD"] {
            let answer = server.send(&Request::new(method, path)).await;
            assert_eq!(answer.status, 503, "{method} {path}");
            assert!(answer.head.contains("\r\nretry-after: 30"), "{}", answer.head);
        }
    }
}

#[tokio::test]
async fn post_to_a_get_route_is_405() {
    let server = TestIntake::new().await;
    for path in ["/healthz", "/readyz"] {
        let answer = server.send(&Request::new("POST", path)).await;
        check(&answer, 405, "method not allowed: use GET");
        assert!(answer.head.contains("\r\nallow: get, head"), "{}", answer.head);
    }
}

#[tokio::test]
async fn webhook_to_a_source_that_is_off_is_503() {
    let server = TestIntake::new().await;
    let cases = [
        ("unset", "the source is off: no secret is set"),
        ("bad", "the source is off: its mapping file has mistakes"),
        ("signs_url", "the source is off: its provider signs the URL, set public_url"),
    ];
    for (name, reason) in cases {
        let answer = server.send(&signed(&format!("/hooks/{name}"), b"{}")).await;
        // The sender may be anybody: the reason is for the operator.
        check(&answer, 503, "the source is off");
        assert!(answer.head.contains("\r\nretry-after: 30"), "{}", answer.head);
        let source: SourceName = name.parse().unwrap();
        assert_eq!(
            server.intake.rejected.latest(&RejectionFilter::of(source.clone()))[0].reason,
            reason
        );
    }
}

#[tokio::test]
async fn configured_response_is_sent() {
    let server = TestIntake::new().await;

    let answer = server.send(&signed("/hooks/soap", b"{}")).await;

    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("\r\ncontent-type: text/xml"), "{}", answer.head);
}

#[tokio::test]
async fn webhooks_during_shutdown_are_503() {
    let server = TestIntake::new().await;
    server.closing.cancel();

    let answer = server.send(&signed("/hooks/github", b"{}")).await;
    let ready = server.send(&Request::new("GET", "/readyz")).await;

    check(&answer, 503, "the relay is shutting down");
    assert_eq!(ready.body["reasons"], json!(["the relay is shutting down"]));
    assert_eq!((ready.status, alive(&server).await), (503, 200));
}

async fn alive(server: &TestIntake) -> u16 {
    server.send(&Request::new("GET", "/healthz")).await.status
}

#[tokio::test]
async fn webhook_that_cannot_be_stored_is_503() {
    let server = TestIntake::new().await;
    assert_eq!(server.send(&Request::new("GET", "/readyz")).await.status, 200);
    server.store.close().await;

    let answer = server.send(&signed("/hooks/github", b"{}")).await;

    check(&answer, 503, "the webhook could not be stored");
    assert!(answer.head.contains("\r\nretry-after: 30"), "{}", answer.head);
    assert_eq!(alive(&server).await, 200);
}

#[tokio::test]
async fn rejected_webhooks_are_counted_and_listed() {
    let server = TestIntake::new().await;
    let source: SourceName = "github".parse().unwrap();
    server.send(&Request::new("POST", "/hooks/github")).await;
    server.send(&Request::new("POST", "/hooks/nobody")).await;

    let last = server.intake.rejected.latest(&RejectionFilter::of(source.clone()));

    assert_eq!((last[0].status, last[0].reason.as_str()), (401, "the signature is missing"));
    let text = server.metrics();
    let refused = r#"savio_relay_rejected_total{source="github",reason="signature missing"} 1"#;
    assert!(text.contains(refused), "{text}");
    assert!(!text.contains("nobody"), "a made-up name is no time series");
}
