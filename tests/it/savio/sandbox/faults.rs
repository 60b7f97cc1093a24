//! Injected faults, as a client sees them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use savio_relay::sandbox::{Faults, Share};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{get, http, post, start_with};

fn all() -> Share {
    "1".parse().unwrap()
}

async fn send(savio: &str) -> (u16, Value) {
    post(format!("{savio}/app/api/create-feedback/"), &json!({ "problem": "It is slow" })).await
}

async fn stored(savio: &str) -> usize {
    get(format!("{savio}/sandbox/feedback")).await.as_array().unwrap().len()
}

#[tokio::test]
async fn requests_fail_with_the_configured_statuses() {
    let fail = vec!["500:0.5".parse().unwrap(), "429:0.5".parse().unwrap()];
    let savio = start_with(Faults { fail, seed: 1, ..Faults::default() }).await;

    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(send(&savio).await.0);
    }

    assert!(statuses.contains(&500) && statuses.contains(&429), "{statuses:?}");
    assert!(statuses.iter().all(|status| [500, 429].contains(status)), "{statuses:?}");
    assert_eq!(stored(&savio).await, 0);
}

#[tokio::test]
async fn latency_delays_the_response() {
    let latency = Duration::from_millis(50);
    let savio = start_with(Faults { latency, ..Faults::default() }).await;

    let begun = Instant::now();
    let (status, _) = send(&savio).await;

    assert_eq!(status, 201);
    assert!(begun.elapsed() >= latency);
}

#[tokio::test]
async fn hanging_request_has_no_effect() {
    let savio = start_with(Faults { hang: all(), ..Faults::default() }).await;

    let call = http().post(format!("{savio}/app/api/create-feedback/"));
    let call = call.header("authorization", "Token T").json(&json!({ "problem": "It is slow" }));
    let error = call.timeout(Duration::from_millis(100)).send().await.unwrap_err();

    assert!(error.is_timeout(), "{error}");
    assert_eq!(stored(&savio).await, 0);
}

/// Sends feedback over a connection of its own, and reads until its end.
async fn send_raw(savio: &str) -> (Vec<u8>, std::io::Result<usize>) {
    let body = r#"{"problem":"It is slow"}"#;
    let head = "POST /app/api/create-feedback/ HTTP/1.1\r\nhost: savio\r\nauthorization: Token T";
    let length = body.len();
    let request = format!(
        "{head}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(savio.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    (answer, read)
}

#[tokio::test]
async fn reset_happens_before_or_after_the_request_takes_effect() {
    const SENT: usize = 40;
    let savio = start_with(Faults { reset: all(), seed: 3, ..Faults::default() }).await;

    for _ in 0..SENT {
        let (answer, read) = send_raw(&savio).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(answer.is_empty());
    }

    let stored = stored(&savio).await;
    assert!((5..SENT - 5).contains(&stored), "{stored} of {SENT} took effect");
}

#[tokio::test]
async fn request_beyond_the_rate_is_429_with_retry_after() {
    let rate = "2/h".parse().ok();
    let savio = start_with(Faults { rate, ..Faults::default() }).await;
    send(&savio).await;
    send(&savio).await;

    let call = http().post(format!("{savio}/app/api/create-feedback/"));
    let answer = call.header("authorization", "Token T").json(&json!({})).send().await.unwrap();

    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1_700..=1_800).contains(&wait), "{wait}");
    assert_eq!(stored(&savio).await, 2);
}
