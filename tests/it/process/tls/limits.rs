//! Limits of connections with TLS: a handshake takes no more time, slots and memory than a request
//! without TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use rustls::pki_types::ServerName;
use savio_relay::listener::tls::Tls;
use savio_relay::listener::tls::pair::PairFiles;
use savio_relay::listener::{self, Pulse, Settings, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{HOST, Scene, address};
use crate::support::left_out::print;
use crate::support::relay::memory_kib;

const SHORT: Duration = Duration::from_millis(300);
/// Time in which a handshake succeeds, on a machine that is busy.
const ENOUGH: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_hours(1);
/// Longest wait for what happens at once, on a machine that is busy.
const SOON: Duration = Duration::from_secs(30);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: relay\r\n\r\n";

/// A listener with TLS and these limits.
struct Listening {
    scene: Scene,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Listening {
    async fn new(settings: Settings) -> Listening {
        let scene = Scene::new();
        let (certificate, key) =
            (scene.tls().join("fullchain.pem"), scene.tls().join("privkey.pem"));
        let tls = Some(Arc::new(Tls::start(PairFiles { certificate, key }).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "a".repeat(64 * 1024) }));
        let endpoint = listener::Listening { listener, tls, pulse: Pulse::default() };
        let (stop, stopped) = oneshot::channel();
        let ended = async { drop(stopped.await) };
        let served = tokio::spawn(serve(endpoint, router, settings, ended));
        Listening { scene, address, stop, served }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Returns the first message of a client's handshake.
    fn client_hello(&self) -> Vec<u8> {
        let client = self.scene.authority.client(rustls::ALL_VERSIONS);
        let host = ServerName::try_from(HOST).unwrap();
        let mut session = rustls::ClientConnection::new(Arc::new(client), host).unwrap();
        let mut hello = Vec::new();
        session.write_tls(&mut hello).unwrap();
        hello
    }

    /// Checks that another client gets a response, for which it needs the only slot.
    async fn check_another_is_served(&self) {
        let served = async {
            let mut other = self.scene.authority.connect(self.address).await;
            other.write_all(REQUEST).await.unwrap();
            let mut answer = [0; 12];
            other.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        };
        timeout(SOON, served).await.expect("the slot becomes free");
    }
}

/// Checks that the relay closes the connection.
async fn check_closed(stream: &mut (impl AsyncReadExt + Unpin)) {
    let closed = async { while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} };
    timeout(SOON, closed).await.expect("the connection is closed");
}

fn one_slot(header_timeout: Duration) -> Settings {
    Settings { header_timeout, answer_timeout: SHORT, connections_max: 1, ..Settings::default() }
}

#[tokio::test]
async fn handshake_has_to_end_within_the_time_for_headers() {
    let listening = Listening::new(one_slot(SHORT)).await;
    let hello = listening.client_hello();
    for sent in [&[][..], &hello[..hello.len() / 2], &hello] {
        let mut stream = listening.tcp().await;
        stream.write_all(sent).await.unwrap();
        check_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn slow_handshake_is_not_prolonged_by_its_bytes() {
    let listening = Listening::new(one_slot(SHORT)).await;
    let mut stream = listening.tcp().await;

    let dripping = async {
        // A record that announces more than will come.
        stream.write_all(&[0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0x3f, 0xfc]).await.unwrap();
        while stream.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };

    timeout(SOON, dripping).await.expect("the connection is closed");
}

#[tokio::test]
async fn connection_without_a_request_after_its_handshake_is_closed() {
    let listening = Listening::new(one_slot(ENOUGH)).await;
    for sent in [&b""[..], b"GET / HTTP/1.1\r\nhost: "] {
        let mut stream = listening.scene.authority.connect(listening.address).await;
        stream.write_all(sent).await.unwrap();
        stream.flush().await.unwrap();
        check_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn connection_may_stay_longer_than_the_time_for_its_first_headers() {
    let listening = Listening::new(one_slot(ENOUGH)).await;
    let mut stream = listening.scene.authority.connect(listening.address).await;
    let begun = Instant::now();

    // Each request comes soon after the response before.
    while begun.elapsed() < ENOUGH + SHORT {
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"aaaa") || answer.len() < 64 * 1024 {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the connection is closed");
        }
    }
}

#[tokio::test]
async fn unfinished_handshake_is_evicted_when_full() {
    let listening = Listening::new(one_slot(LONG)).await;
    let silent = listening.tcp().await;
    listening.check_another_is_served().await;
    drop(silent);

    let mut begun = listening.tcp().await;
    begun.write_all(&listening.client_hello()).await.unwrap();
    listening.check_another_is_served().await;
    let plain = listening.tcp().await;
    listening.check_another_is_served().await;
    drop((begun, plain));
}

#[tokio::test]
async fn connection_that_reads_no_responses_frees_its_slot() {
    let listening = Listening::new(one_slot(LONG)).await;
    let mut unread = listening.scene.authority.connect(listening.address).await;
    // More responses than the buffers of the sockets hold; the client reads none of them.
    let requests = REQUEST.repeat(1_000);
    let _ = timeout(SHORT, unread.write_all(&requests)).await;
    let (stream, _) = unread.get_mut();

    let closed = async {
        // Nothing is read until the relay has closed it, which shows as an error of writing.
        while stream.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, closed).await.expect("the connection is closed");
}

#[tokio::test]
async fn half_closed_client_gets_its_response() {
    let listening = Listening::new(one_slot(LONG)).await;
    let mut client = listening.scene.authority.connect(listening.address).await;
    client.write_all(REQUEST).await.unwrap();
    client.shutdown().await.unwrap();

    let mut answer = Vec::new();
    timeout(SOON, client.read_to_end(&mut answer)).await.unwrap().unwrap();

    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.len() > 64 * 1024);
}

#[tokio::test]
async fn stop_ends_handshakes_at_once() {
    let settings = Settings { header_timeout: LONG, drain_timeout: LONG, ..Settings::default() };
    let listening = Listening::new(settings).await;
    let mut silent = Vec::new();
    for sent in [&[][..], &listening.client_hello()[..20]] {
        let mut stream = listening.tcp().await;
        stream.write_all(sent).await.unwrap();
        silent.push(stream);
    }
    // All connections are accepted in their order.
    listening.check_another_is_served().await;

    listening.stop.send(()).unwrap();

    timeout(SOON, listening.served).await.expect("it stops").unwrap();
    for mut stream in silent {
        check_closed(&mut stream).await;
    }
}

/// Connections of the flood, more than the relay has slots for.
const FLOOD: usize = 1_100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshake_flood_blocks_no_webhook_and_memory_is_bounded() {
    let scene = Scene::new();
    let relay = scene.start_with(&[("SAVIO_RELAY_LOG__LEVEL", "warn")]);
    assert_eq!(scene.post(&relay, "first").await, 202);
    let before = memory_kib(&relay, "VmRSS:");

    // Each announces a message of 64 KiB and sends almost all of it.
    let mut held = Vec::new();
    let mut message = Vec::new();
    for record in 0..4_u8 {
        message.extend([0x16, 0x03, 0x01, 0x3f, 0xff]);
        let header: &[u8] = if record == 0 { &[0x01, 0x00, 0xff, 0xfc] } else { &[] };
        message.extend(header);
        message.extend(vec![0; 0x3fff - header.len()]);
    }
    message.truncate(message.len() - 64);
    for _ in 0..FLOOD {
        let socket = TcpSocket::new_v4().unwrap();
        let mut stream = socket.connect(address(&relay)).await.unwrap();
        let _ = timeout(SHORT, stream.write_all(&message)).await;
        held.push(stream);
    }
    let http = scene.authority.http_from(address(&relay), [127, 0, 0, 2].into());
    for number in 0..20 {
        assert_eq!(super::post(&http, &relay, &number.to_string()).await, 202);
    }

    let after = memory_kib(&relay, "VmRSS:");
    print(&format!("{FLOOD} handshakes: {before} KiB before, {after} KiB after"));
    // 512 of them with 64 KiB each, and what else a connection takes.
    assert!(after < before + 96 * 1024, "{before} KiB before, {after} KiB after");
    drop(held);
    let (status, log) = relay.stop_with_log();
    assert!(status.success() && log.lines().count() < 20, "{log}");
}
