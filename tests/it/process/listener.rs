//! Connections that hold a slot of the listener without sending or without reading.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use savio_relay::listener::{Listening, Pulse, Settings, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: relay\r\n\r\n";
const SHORT: Duration = Duration::from_millis(200);

async fn listening() -> SocketAddr {
    let large = get(|| async { "a".repeat(64 * 1024) });
    serving(Router::new().route("/", large.post(StatusCode::SERVICE_UNAVAILABLE))).await
}

async fn serving(router: Router) -> SocketAddr {
    serving_with(router, Pulse::default()).await
}

async fn serving_with(router: Router, pulse: Pulse) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = Settings {
        header_timeout: SHORT,
        answer_timeout: SHORT,
        connections_max: 1,
        ..Settings::default()
    };
    let listening = Listening { listener, tls: None, pulse };
    tokio::spawn(serve(listening, router, settings, std::future::pending()));
    address
}

/// Checks that another client gets a response, for which it needs the only slot.
async fn check_another_is_served(address: SocketAddr) {
    let mut other = TcpStream::connect(address).await.unwrap();
    other.write_all(REQUEST).await.unwrap();
    let mut answer = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(20), other.read_exact(&mut answer));

    read.await.expect("the place becomes free").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn idle_connection_is_evicted_when_full() {
    let address = listening().await;
    let _silent = TcpStream::connect(address).await.unwrap();

    check_another_is_served(address).await;
}

#[tokio::test]
async fn connection_with_endless_headers_frees_its_slot() {
    let address = listening().await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();

    check_another_is_served(address).await;
}

#[tokio::test]
async fn connection_that_reads_no_responses_frees_its_slot() {
    let address = listening().await;
    let mut unread = TcpStream::connect(address).await.unwrap();
    // More responses than the buffers of the sockets hold.
    unread.write_all(&REQUEST.repeat(1_000)).await.unwrap();

    check_another_is_served(address).await;
}

#[tokio::test]
async fn half_closed_client_gets_its_response() {
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, finished) = (Arc::clone(&begun), Arc::clone(&finish));
    let working = || async move {
        begins.notify_one();
        finished.notified().await;
    };
    let address = serving(Router::new().route("/", get(working))).await;
    let mut client = TcpStream::connect(address).await.unwrap();

    client.write_all(REQUEST).await.unwrap();
    client.shutdown().await.unwrap();
    begun.notified().await;
    finish.notify_one();

    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn refused_body_can_still_be_sent_to_its_end() {
    let address = listening().await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: relay\r\ncontent-length: 1000000\r\n\r\n";
    client.write_all(head).await.unwrap();
    let mut refused = [0; 12];
    client.read_exact(&mut refused).await.unwrap();

    client.write_all(&vec![b'a'; 1_000_000]).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    client.shutdown().await.unwrap();

    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(&refused, b"HTTP/1.1 503");
    assert!(String::from_utf8_lossy(&rest).contains("HTTP/1.1 200"));
}

#[tokio::test]
async fn full_listener_is_busy_and_not_stuck() {
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let working = || async move {
        begins.notify_one();
        std::future::pending::<()>().await;
    };
    let pulse = Pulse::default();
    let address = serving_with(Router::new().route("/", get(working)), pulse.clone()).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(REQUEST).await.unwrap();
    begun.notified().await;
    // It is accepted, and waits for the only slot.
    let _next = TcpStream::connect(address).await.unwrap();

    for _ in 0..3 {
        pulse.beat().await;
    }
}

/// A response that never ends: it sends what fits, and goes on.
async fn endless() -> Body {
    let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
    Body::from_stream(stream::repeat_with(move || Ok::<_, Infallible>(chunk.clone())))
}

#[tokio::test]
async fn stream_that_is_not_read_does_not_delay_a_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hour = Duration::from_hours(1);
    let settings = Settings { drain_timeout: hour, answer_timeout: hour, ..Settings::default() };
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let router = Router::new().route("/", get(endless));
    let serving = serve(listener.into(), router, settings, async move {
        stopped.notified().await;
    });
    let serving = tokio::spawn(serving);
    let mut unread = TcpStream::connect(address).await.unwrap();
    unread.write_all(REQUEST).await.unwrap();
    let mut begun = [0; 12];
    unread.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");

    stop.notify_one();

    let ended = tokio::time::timeout(Duration::from_mins(1), serving).await;
    ended.expect("it does not wait for the client").unwrap();
}

#[tokio::test]
async fn silent_stream_keeps_its_connection_when_full() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let more = Arc::new(Notify::new());
    let wanted = Arc::clone(&more);
    let silent = || async move {
        let later = async move {
            wanted.notified().await;
            Ok::<_, Infallible>("more")
        };
        Body::from_stream(stream::iter([Ok("begun")]).chain(stream::once(later)))
    };
    let router = Router::new().route("/", get(StatusCode::OK)).route("/silent", get(silent));
    let settings = Settings { connections_max: 2, ..Settings::default() };
    tokio::spawn(serve(listener.into(), router, settings, std::future::pending()));
    let mut streaming = TcpStream::connect(address).await.unwrap();
    streaming.write_all(b"GET /silent HTTP/1.1\r\nhost: relay\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"begun\r\n") {
        read.push(streaming.read_u8().await.unwrap());
    }
    let mut idle = TcpStream::connect(address).await.unwrap();

    check_another_is_served(address).await;

    assert_eq!(
        idle.read(&mut [0]).await.unwrap(),
        0,
        "the younger one, which is idle, has made room"
    );
    more.notify_one();
    while !read.ends_with(b"more\r\n") {
        read.push(streaming.read_u8().await.unwrap());
    }
}
