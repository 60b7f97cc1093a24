//! Many slow unsigned requests do not keep out signed webhooks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use savio_relay::intake::{Settings, router};
use savio_relay::listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::server::{Request, TestIntake, signed};

/// Returns a request with a wrong signature, which is seen only once the whole body has arrived.
fn forged(body: &[u8]) -> Request {
    Request::new("POST", "/hooks/github")
        .header("x-hub-signature-256", &format!("sha256={}", "0".repeat(64)))
        .header("content-type", "application/json")
        .body(body)
}

async fn ready(server: &TestIntake) -> (u16, bool) {
    let answer = server.send(&Request::new("GET", "/readyz")).await;
    (answer.status, answer.body["at_limit"].as_bool().unwrap())
}

async fn answer_of(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn unsigned_webhook_is_refused_before_its_body() {
    let server = TestIntake::new().await;

    let mut stream = server.begin(&Request::new("POST", "/hooks/github"), 1_000).await;

    let answer = answer_of(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("the signature is missing"), "{answer}");
}

#[tokio::test]
async fn unfinished_bodies_take_no_slot_of_a_webhook() {
    let server = TestIntake::with(Settings { requests_max: 1, ..Settings::default() }).await;
    let _unfinished = [
        server.begin(&forged(b"{"), 10).await,
        server.begin(&forged(b"{"), 10).await,
        server.begin(&forged(b"{"), 10).await,
    ];

    let answer = server.send(&signed("/hooks/github", b"{}")).await;

    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(ready(&server).await, (200, false));
}

#[tokio::test]
async fn unfinished_bodies_of_one_client_block_no_webhook() {
    let server = TestIntake::new().await;
    let mut unfinished = Vec::new();
    for _ in 0..500 {
        unfinished.push(server.begin(&forged(b"{"), 10).await);
    }

    let answer = server.send(&signed("/hooks/github", b"{}")).await;

    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(ready(&server).await, (200, true));
    assert!(answer_of(&mut unfinished[0]).await.starts_with("HTTP/1.1 503"));
    let metrics = server.metrics();
    assert!(metrics.contains(r#"reason="overloaded""#), "{metrics}");
}

#[tokio::test]
async fn large_unfinished_body_is_evicted_for_a_webhook() {
    let settings =
        Settings { body_bytes_max: 1_000, bodies_bytes_max: 1_500, ..Settings::default() };
    let server = TestIntake::with(settings).await;
    // From a proxy, since a single client would reach its own share first.
    let forwarded = |request: Request| request.header("x-forwarded-for", "192.0.2.1");
    let mut first = server.begin(&forwarded(forged(&[b' '; 900])), 1_000).await;
    server.send_until(&Request::new("GET", "/readyz"), 200).await;
    let webhook = forwarded(signed("/hooks/github", format!("{:900}", 1).as_bytes()));

    let answer = server.send(&webhook).await;

    assert_eq!(answer.status, 202, "{}", answer.text);
    assert!(answer_of(&mut first).await.starts_with("HTTP/1.1 503"));
    assert_eq!(ready(&server).await, (200, true));
}

#[tokio::test]
async fn unknown_proxy_has_no_client_limit() {
    let server = TestIntake::new().await;
    let request = forged(b"{").header("x-forwarded-for", "192.0.2.1");
    let mut unfinished = Vec::new();
    for _ in 0..100 {
        unfinished.push(server.begin(&request, 10).await);
    }

    let answer = server.send(&signed("/hooks/github", b"{}")).await;

    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(ready(&server).await, (200, false));
}

#[tokio::test]
async fn body_slower_than_1_kib_a_second_is_408() {
    let body_timeout = Duration::from_hours(1);
    let server = TestIntake::with(Settings { body_timeout, ..Settings::default() }).await;

    let mut stream = server.begin(&forged(b"{"), 10).await;

    let answer = timeout(Duration::from_mins(1), answer_of(&mut stream)).await;
    let answer = answer.expect("long before the hour is over");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn webhook_beyond_the_limit_is_503() {
    let server = TestIntake::with(Settings { requests_max: 0, ..Settings::default() }).await;

    let answer = server.send(&signed("/hooks/github", b"{}")).await;

    assert_eq!((answer.status, answer.reason()), (503, "the relay is overloaded"));
    assert!(answer.head.contains("\r\nretry-after: 30"), "{}", answer.head);
    assert_eq!(ready(&server).await, (200, true));
    assert_eq!(server.send(&Request::new("GET", "/healthz")).await.status, 200);
}

/// Starts the relay's own listener in front of the server, with few connections.
async fn with_listener(server: &TestIntake, connections_max: usize) -> SocketAddr {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let settings = listener::Settings { connections_max, ..listener::Settings::default() };
    let routes = router(Arc::clone(&server.intake));
    tokio::spawn(listener::serve(listener.into(), routes, settings, std::future::pending()));
    ([127, 0, 0, 1], port).into()
}

async fn connect_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn connections_of_one_client_evict_no_other_client() {
    let server = TestIntake::new().await;
    let address = with_listener(&server, 8).await;
    let request = signed("/hooks/github", b"{}").bytes();
    let (begun, rest) = request.split_at(request.len() - 1);
    let mut slow = connect_from([127, 0, 0, 9], address).await;
    slow.write_all(begun).await.unwrap();

    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(connect_from([127, 0, 0, 1], address).await);
    }
    // The last of them is served, so all before it have been accepted.
    let mut last = flood.pop().unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(answer_of(&mut last).await.starts_with("HTTP/1.1 200"));

    slow.write_all(rest).await.unwrap();
    assert!(answer_of(&mut slow).await.starts_with("HTTP/1.1 202"));
}
