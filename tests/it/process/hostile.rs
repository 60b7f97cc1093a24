//! Ten thousand hostile requests, stalled connections and a flood of unsigned webhooks: signed
//! webhooks are accepted and delivered meanwhile, and memory stays within its limit.

mod attack;
mod memory_limit;

use crate::support::relay::memory_kib;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attack::Attack;
use http::StatusCode;
use memory_limit::{MemoryGroup, with_data_limit};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::relay::{Relay, SECRET, http_from, program, typeform_signature};
use crate::support::savio::{Arrived, start_savio};
use crate::support::wait::until;

const REQUESTS: usize = 10_000;
const ATTACKERS: usize = 32;

/// More connections than the listener accepts; more than 500 of them have a body that does not end.
const STALLED: usize = 1_100;

// The attackers are at 127.0.0.1, whose connections are evicted first.
const SENDER: [u8; 4] = [127, 0, 0, 2];
const MONITOR: [u8; 4] = [127, 0, 0, 3];

/// Limit of the flood, which bounds the time of the test.
const UNSIGNED_MAX: usize = 10_000;

/// Longest response time of a health check.
// It is less than a tenth of a second on an idle machine. Tests share theirs with each other and
// with other programs, so this only distinguishes slow from stuck.
const HEALTH_MAX: Duration = Duration::from_secs(2);
const HEALTH_PAUSE: Duration = Duration::from_millis(20);

/// Memory of a container, as docs/limits.md states it.
const MEMORY_BYTES_MAX: u64 = 512 * 1024 * 1024;

// A limit of data also counts reserved addresses: the allocator takes 1 GiB of them at the start,
// of which 4 MiB are in use then (1,065,500 KiB of data, 23,024 KiB resident).
const DATA_BYTES_MAX: u64 = 1024 * 1024 * 1024 + MEMORY_BYTES_MAX;

const MAPPINGS: [(&str, &str, &str); 4] = [
    ("github", "github", "$..text"),
    ("form", "form", "$..text"),
    ("salesforce", "salesforce", "$..text"),
    ("survey", "typeform", "$.form_response.token"),
];

fn write_mappings(folder: &Path) {
    let folder = folder.join("mappings");
    fs::create_dir(&folder).unwrap();
    for (name, provider, problem) in MAPPINGS {
        let text = format!(
            "provider = \"{provider}\"\nsecrets = [\"env:SECRET\"]\n\
             [[feedback]]\nproblem = \"{problem}\""
        );
        fs::write(folder.join(format!("{name}.toml")), text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_traffic_blocks_no_webhook_and_memory_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    write_mappings(folder.path());
    let arrived = Arrived::default();
    let savio = start_savio(arrived.clone()).await;
    let variables = [
        ("SECRET", SECRET),
        ("SAVIO_API_TOKEN", "token"),
        ("SAVIO_RELAY_SAVIO__BASE_URL", savio.as_str()),
        ("SAVIO_RELAY_LOG__LEVEL", "error"),
    ];
    let (mut serve, _group) = limited(folder.path());
    let relay = Relay::start_by(&mut serve, &variables);
    let address: SocketAddr = relay.url.trim_start_matches("http://").parse().unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let health_stop = Arc::clone(&stop);
    let health = std::thread::spawn(move || watch_health(address, &health_stop));
    let posting = tokio::spawn(post_signed(relay.url.clone(), Arc::clone(&stop)));
    let flood = tokio::spawn(flood_unsigned(address, Arc::clone(&stop)));
    let stalled = stalled(address).await;
    attack(address, REQUESTS).await;
    drop(stalled);
    stop.store(true, Ordering::Relaxed);
    let slowest = health.join().unwrap();
    let (accepted, slowest_accepted) = posting.await.unwrap();
    let unsigned = flood.await.unwrap();
    until(|| accepted.iter().all(|text| arrived.lock().unwrap().contains_key(text))).await;

    let (resident, peak) = (memory_kib(&relay, "VmRSS:"), memory_kib(&relay, "VmHWM:"));
    let data = memory_kib(&relay, "VmData:");
    eprintln!(
        "{} signed webhooks accepted, the slowest in {slowest_accepted:?}, beside {unsigned} unsigned; \
         slowest health check {slowest:?}; {resident} KiB resident, {peak} KiB at the peak, \
         {data} KiB of data",
        accepted.len(),
    );
    assert!(slowest < HEALTH_MAX, "{slowest:?}");
    assert!(peak * 1024 < MEMORY_BYTES_MAX, "{peak} KiB");
    assert!(relay.stop().success());
}

/// Returns `serve` limited to the memory of a container, and the control group that enforces it.
// If control groups are not available, a limit of data is the next best. It also counts reserved
// addresses, and is therefore wider.
fn limited(folder: &Path) -> (Command, Option<MemoryGroup>) {
    let mut serve = program(folder);
    serve.arg("serve");
    let group = MemoryGroup::new(MEMORY_BYTES_MAX);
    let limited = if let Some(group) = &group {
        Some(group.enclose(&serve))
    } else {
        eprintln!("!!! no memory control group can be made here: a limit of data takes its place");
        with_data_limit(&serve, DATA_BYTES_MAX)
    };
    let Some(mut limited) = limited else {
        eprintln!("!!! nor can that be limited: only the peak of the memory is looked at");
        return (serve, None);
    };
    limited.current_dir(folder).env_clear();
    (limited, group)
}

/// Posts signed webhooks one after another and checks that each is accepted. Returns them, and the
/// longest response time.
async fn post_signed(url: String, stop: Arc<AtomicBool>) -> (Vec<String>, Duration) {
    let (client, url) = (http_from(SENDER.into()), format!("{url}/hooks/survey"));
    let (mut accepted, mut slowest) = (Vec::new(), Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let text = format!("signed {}", accepted.len());
        let body = json!({
            "event_id": text,
            "event_type": "form_response",
            "form_response": { "token": text },
        });
        let body = body.to_string();
        let signature = typeform_signature(body.as_bytes());
        let request = client.post(&url).header("typeform-signature", signature);
        let begun = Instant::now();
        let answer = request.header("content-type", "application/json").body(body).send().await;
        let status = answer.expect("it answers").status();
        slowest = slowest.max(begun.elapsed());
        assert_eq!(status, StatusCode::ACCEPTED, "{text}");
        accepted.push(text);
        tokio::time::sleep(HEALTH_PAUSE).await;
    }
    (accepted, slowest)
}

/// Sends unsigned webhooks on one connection after the other, and returns how many.
async fn flood_unsigned(address: SocketAddr, stop: Arc<AtomicBool>) -> usize {
    let request = b"POST /hooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let mut sent = 0;
    while sent < UNSIGNED_MAX && !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address).await else { continue };
        let mut answers = vec![0; 64 * 1024];
        for _ in 0..100 {
            if stream.write_all(request).await.is_err() || stream.read(&mut answers).await.is_err()
            {
                break;
            }
            sent += 1;
        }
    }
    sent
}

async fn attack(address: SocketAddr, requests: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut attackers = JoinSet::new();
    for _ in 0..ATTACKERS {
        let next = Arc::clone(&next);
        attackers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return;
                }
                Attack::new(number).run(address).await;
            }
        });
    }
    attackers.join_all().await;
}

/// Opens connections on which a request begins and does not continue.
async fn stalled(address: SocketAddr) -> Vec<TcpStream> {
    let signature = "x-hub-signature-256: sha256=00\r\n";
    let body = format!(
        "POST /hooks/github HTTP/1.1\r\nhost: x\r\n{signature}content-length: 9999\r\n\r\n{{"
    );
    let mut connections = Vec::new();
    for number in 0..STALLED {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begun: &[u8] = match number % 4 {
            0 => b"",
            1 => b"POST /hooks/github HTTP/1.1\r\nhost: x\r\n",
            _ => body.as_bytes(),
        };
        let _ = stream.write_all(begun).await;
        connections.push(stream);
    }
    connections
}

/// Returns the longest response time of the health check.
// On a thread of its own: writing the attacks keeps this test's other threads busy for longer than
// the relay needs to respond.
fn watch_health(address: SocketAddr, stop: &AtomicBool) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut slowest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = runtime.block_on(async { timeout(HEALTH_MAX, health(address)).await });
        let answer = answer.expect("it answers in time").expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        slowest = slowest.max(begun.elapsed());
        std::thread::sleep(HEALTH_PAUSE);
    }
    slowest
}

async fn health(address: SocketAddr) -> std::io::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((MONITOR, 0).into())?;
    let mut stream = socket.connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
