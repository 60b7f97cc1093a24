//! The public listener over HTTP: each row of its status table.

use std::time::Duration;

use crate::support::server::{House, Request, SECRET, signed};
use savio_relay::event::{EventId, SourceName};
use savio_relay::intake::Settings;
use savio_relay::store::Archive;
use serde_json::json;

#[track_caller]
fn check(answer: &crate::support::server::Answer, status: u16, reason: &str) {
    assert_eq!((answer.status, answer.reason()), (status, reason), "{answer:?}");
}

#[tokio::test]
async fn a_signed_webhook_is_accepted_once_and_a_duplicate_after_that() {
    let house = House::new().await;
    let webhook = signed("/hooks/github", b"{\"a\":1}").header("x-github-delivery", "d1");

    let first = house.send(&webhook).await;
    let again = house.send(&webhook).await;
    let other = house.send(&webhook.clone().header("x-github-delivery", "d2")).await;

    assert_eq!((first.status, &first.body["status"]), (202, &json!("accepted")));
    assert_eq!((again.status, &again.body["status"]), (200, &json!("duplicate")));
    assert_eq!(first.events(), again.events());
    assert_eq!(other.status, 202);
}

#[tokio::test]
async fn an_accepted_webhook_is_in_the_store_as_received_and_without_secrets() {
    let house = House::new().await;
    let body = b"{ \"b\": 1.0, \"a\": 12345678901234567890123 }";
    let webhook = signed("/hooks/github/", body)
        .header("x-github-event", "issues")
        .header("authorization", "Bearer of-someone")
        .header("x-custom", &format!("key={SECRET}"))
        .header("x-twice", "1")
        .header("X-Twice", "2");

    let id: EventId = house.send(&webhook).await.events()[0].parse().unwrap();

    let event = house.store.event(id).await.unwrap().unwrap().event;
    assert_eq!(event.payload.as_bytes(), body);
    assert_eq!(event.event_type.as_deref(), Some("issues"));
    for secret in ["authorization", "x-hub-signature-256", "x-custom"] {
        assert_eq!(event.headers[secret], "*", "{secret}");
    }
    assert_eq!(event.headers["x-twice"], "1, 2");
}

#[tokio::test]
async fn form_in_another_charset_is_read_and_what_does_not_fit_is_noted() {
    let house = House::new().await;
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
        let id: EventId = house.send(&form(charset)).await.events()[0].parse().unwrap();
        let record = house.store.event(id).await.unwrap().unwrap();
        assert_eq!((record.event.payload.as_str(), record.notes), (payload, texts(&notes)));
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_is_no_wanted_event_is_ignored() {
    let house = House::new().await;
    let ping = signed("/hooks/github", b"{}").header("x-github-event", "ping");
    let cases = [
        (ping, "`ping` is no event"),
        (signed("/hooks/picky", b"{\"type\":\"push\"}"), "`push` is not among the source's events"),
        (signed("/hooks/picky", b"{}"), "it has no type, and the source names its events"),
        (signed("/hooks/many", b"{\"events\":[]}"), "it carries no events"),
    ];
    for (webhook, reason) in cases {
        let answer = house.send(&webhook).await;
        check(&answer, 200, reason);
        assert_eq!(answer.body["status"], "ignored");
    }
    let wanted = house.send(&signed("/hooks/picky", b"{\"type\":\"issues.opened\"}")).await;
    assert_eq!(wanted.status, 202);
}

#[tokio::test]
async fn an_unsigned_body_is_never_parsed() {
    let house = House::new().await;
    let broken = |signature: &str| {
        Request::new("POST", "/hooks/github").header("x-hub-signature-256", signature).body(b"{\"a")
    };

    let unsigned = house.send(&Request::new("POST", "/hooks/github").body(b"{\"a")).await;
    let wrong = house.send(&broken("sha256=00")).await;
    let signed = house.send(&signed("/hooks/github", b"{\"a")).await;

    check(&unsigned, 401, "the signature is missing");
    check(&wrong, 401, "the signature is wrong");
    check(&signed, 400, "not JSON: EOF while parsing a string at line 1 column 3");
}

#[tokio::test]
async fn a_signature_of_another_time_is_refused() {
    let house = House::new().await;
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

    let answer = house.send(&webhook).await;

    check(&answer, 401, "the signature is outside its time window");
}

#[tokio::test]
async fn a_token_stands_in_the_address_or_in_a_header() {
    let house = House::new().await;
    let form = |path: &str| {
        Request::new("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(b"problem=too+slow&tags[]=a&tags[]=b")
    };
    let query = house.send(&form(&format!("/hooks/form?token={SECRET}"))).await;
    let header = house.send(&form("/hooks/form").header("x-relay-token", SECRET)).await;

    check(&house.send(&form("/hooks/form?token=x")).await, 401, "the signature is wrong");
    check(&house.send(&form("/hooks/form")).await, 401, "the signature is missing");
    assert_eq!((query.status, header.status), (202, 202));
    let id = query.events()[0].parse().unwrap();
    let event = house.store.event(id).await.unwrap().unwrap().event;
    assert_eq!(event.payload, r#"{"problem":"too slow","tags":["a","b"]}"#);
}

#[tokio::test]
async fn a_list_is_many_events_and_those_seen_before_are_skipped() {
    let house = House::new().await;
    let two = br#"{"events":[{"id":"1"}, {"id":"2"}]}"#;
    let three = br#"{"events":[{"id":"3"},{"id":"1"},{"id":"2"}]}"#;

    let first = house.send(&signed("/hooks/many", two)).await;
    let second = house.send(&signed("/hooks/many", three)).await;
    let third = house.send(&signed("/hooks/many", three)).await;

    assert_eq!((first.status, second.status, third.status), (202, 202, 200));
    assert_eq!(second.events()[1..], first.events());
    assert_eq!(third.events(), second.events());
    let id = first.events()[1].parse().unwrap();
    assert_eq!(house.store.event(id).await.unwrap().unwrap().event.payload, "{\"id\":\"2\"}");
}

#[tokio::test]
async fn a_body_beyond_the_limits_is_refused() {
    let house = House::with(Settings { body_bytes_max: 9_000, ..Settings::default() }).await;
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
        check(&house.send(&signed("/hooks/many", body)).await, status, reason);
    }
}

/// With a proof that is wrong, which only the whole body shows.
fn forged() -> Request {
    Request::new("POST", "/hooks/github").header("x-hub-signature-256", "sha256=00")
}

#[tokio::test]
async fn a_body_of_no_declared_size_is_bounded_too() {
    let house = House::with(Settings { body_bytes_max: 9, ..Settings::default() }).await;
    let chunked = forged().header("transfer-encoding", "chunked");

    let large = house.send(&chunked.clone().body(b"a\r\n0123456789\r\n0\r\n\r\n")).await;
    let small = house.send(&chunked.body(b"9\r\n012345678\r\n0\r\n\r\n")).await;

    check(&large, 413, "the body is larger than 9 bytes");
    check(&small, 401, "the signature is wrong");
}

#[tokio::test]
async fn a_size_that_is_only_declared_is_refused_before_the_body_comes() {
    let house = House::new().await;
    let declared = forged().header("content-length", "5242881");

    check(&house.send(&declared).await, 413, "the body is larger than 5242880 bytes");
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
    let settings = Settings { body_timeout: Duration::from_millis(50), ..Settings::default() };
    let house = House::with(settings).await;
    let slow = forged().header("content-length", "10").body(b"12345");

    check(&house.send(&slow).await, 408, "the body did not arrive in time");
}

#[tokio::test]
async fn other_content_types_and_encodings_are_refused() {
    let house = House::new().await;
    let form = |name: &str, value: &str| {
        let path = format!("/hooks/form?token={SECRET}");
        Request::new("POST", &path).header(name, value).body(b"{}")
    };

    let text = house.send(&form("content-type", "text/plain")).await;
    let packed = house.send(&form("content-encoding", "br")).await;

    check(&text, 415, "the content type is text/plain; send JSON or a form");
    check(&packed, 415, "the content encoding is br; send the body as it is, or gzip");
}

#[tokio::test]
async fn a_source_is_found_however_its_address_is_written() {
    let house = House::new().await;
    for path in ["/hooks/github/", "/hooks/github?a=b", "/hooks/%67ithub", "/hooks/git%68ub/"] {
        assert_eq!(house.send(&signed(path, b"{}")).await.status, 202, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let house = House::new().await;
    check(&house.send(&signed("/hooks/nobody", b"{}")).await, 404, "no such source");
    check(&house.send(&signed("/hooks/%ff", b"{}")).await, 404, "no such source");
    let nothing = "no such route";
    for path in ["/", "/hooks", "/hooks/", "/hooks/github/x", "/metrics"] {
        check(&house.send(&Request::new("GET", path)).await, 404, nothing);
    }
}

#[tokio::test]
async fn a_known_source_takes_posts_and_handshakes_only() {
    let house = House::new().await;
    let other = ["PUT", "DELETE", "OPTIONS", "NONSENSE"];
    let of_live = [&other[..], &["GET"]].concat();
    for (path, methods) in
        [("/hooks/github", &of_live[..]), ("/hooks/unset", &other), ("/hooks/bad", &other)]
    {
        for method in methods {
            let answer = house.send(&Request::new(method, path)).await;
            check(&answer, 405, "method not allowed: use POST");
            assert!(answer.head.contains("\r\nallow: post"), "{}", answer.head);
        }
    }
    assert_eq!(house.send(&Request::new("HEAD", "/hooks/github")).await.status, 405);
    assert_eq!(house.send(&Request::new("HEAD", "/hooks/greeted")).await.status, 200);
}

#[tokio::test]
async fn test_of_the_address_of_a_source_that_is_off_is_503() {
    let house = House::new().await;
    for path in ["/hooks/unset", "/hooks/bad", "/hooks/signs_url"] {
        for method in ["GET", "HEAD"] {
            let answer = house.send(&Request::new(method, path)).await;
            assert_eq!(answer.status, 503, "{method} {path}");
            assert!(answer.head.contains("\r\nretry-after: 30"), "{}", answer.head);
        }
    }
}

#[tokio::test]
async fn what_is_only_read_says_so_to_a_post() {
    let house = House::new().await;
    for path in ["/healthz", "/readyz"] {
        let answer = house.send(&Request::new("POST", path)).await;
        check(&answer, 405, "method not allowed: use GET");
        assert!(answer.head.contains("\r\nallow: get, head"), "{}", answer.head);
    }
}

#[tokio::test]
async fn a_source_that_is_off_asks_to_come_back_later() {
    let house = House::new().await;
    let cases = [
        ("unset", "the source is off: no secret is set"),
        ("bad", "the source is off: its mapping file has mistakes"),
        ("signs_url", "the source is off: its provider signs the URL, set public_url"),
    ];
    for (name, reason) in cases {
        let answer = house.send(&signed(&format!("/hooks/{name}"), b"{}")).await;
        // Senders are strangers: the reason is for those who run the relay.
        check(&answer, 503, "the source is off");
        assert!(answer.head.contains("\r\nretry-after: 30"), "{}", answer.head);
        let source: SourceName = name.parse().unwrap();
        assert_eq!(house.door.rejected.last(&source)[0].reason, reason);
    }
}

#[tokio::test]
async fn a_provider_may_be_answered_in_its_own_form() {
    let house = House::new().await;

    let answer = house.send(&signed("/hooks/soap", b"{}")).await;

    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("\r\ncontent-type: text/xml"), "{}", answer.head);
}

#[tokio::test]
async fn new_webhooks_are_refused_while_the_relay_shuts_down() {
    let house = House::new().await;
    house.closing.send(true).unwrap();

    let answer = house.send(&signed("/hooks/github", b"{}")).await;
    let ready = house.send(&Request::new("GET", "/readyz")).await;

    check(&answer, 503, "the relay is shutting down");
    assert_eq!(ready.body["reasons"], json!(["the relay is shutting down"]));
    assert_eq!((ready.status, alive(&house).await), (503, 200));
}

async fn alive(house: &House) -> u16 {
    house.send(&Request::new("GET", "/healthz")).await.status
}

#[tokio::test]
async fn a_webhook_that_cannot_be_kept_is_not_accepted() {
    let house = House::new().await;
    assert_eq!(house.send(&Request::new("GET", "/readyz")).await.status, 200);
    house.store.close().await;

    let answer = house.send(&signed("/hooks/github", b"{}")).await;

    check(&answer, 503, "the webhook could not be stored");
    assert!(answer.head.contains("\r\nretry-after: 30"), "{}", answer.head);
    assert_eq!(alive(&house).await, 200);
}

#[tokio::test]
async fn refused_webhooks_are_counted_and_listed() {
    let house = House::new().await;
    let source: SourceName = "github".parse().unwrap();
    house.send(&Request::new("POST", "/hooks/github")).await;
    house.send(&Request::new("POST", "/hooks/nobody")).await;

    let last = house.door.rejected.last(&source);

    assert_eq!((last[0].status, last[0].reason.as_str()), (401, "the signature is missing"));
    let text = house.metrics();
    let refused = r#"savio_relay_rejected_total{source="github",reason="signature missing"} 1"#;
    assert!(text.contains(refused), "{text}");
    assert!(!text.contains("nobody"), "a name that a stranger chose is no series");
}
