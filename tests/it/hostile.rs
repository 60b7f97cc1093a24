//! Ten thousand hostile requests: the program stays alive, answers, and does not grow.

mod attack;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attack::Attack;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::relay::{Relay, SECRET};

const REQUESTS: usize = 10_000;
const ATTACKERS: usize = 32;

/// More than the listener has room for.
const SILENT: usize = 700;

/// Less than a tenth of a second on an idle machine; tests share theirs with each other and with whatever
/// runs there, so that this only tells slow from stuck.
const HEALTH_MAX: Duration = Duration::from_secs(2);
const HEALTH_PAUSE: Duration = Duration::from_millis(20);

const GROWTH_KIB_MAX: u64 = 256 * 1024;

const MAPPINGS: [(&str, &str); 3] = [
    ("github", "provider = \"github\""),
    ("form", "provider = \"form\""),
    ("salesforce", "provider = \"salesforce\""),
];

fn write_mappings(folder: &Path) {
    let folder = folder.join("mappings");
    fs::create_dir(&folder).unwrap();
    for (name, provider) in MAPPINGS {
        let rest = "secrets = [\"env:SECRET\"]\n[[feedback]]\nproblem = \"$..text\"";
        fs::write(folder.join(format!("{name}.toml")), format!("{provider}\n{rest}")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_requests_leave_it_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    write_mappings(folder.path());
    let variables = [("SECRET", SECRET), ("SAVIO_RELAY_LOG__LEVEL", "error")];
    let relay = Relay::start(folder.path(), &variables);
    let address: SocketAddr = relay.url.trim_start_matches("http://").parse().unwrap();
    // What it needs for any work at all is there from here on.
    attack(address, 500).await;
    let before = resident_kib(&relay);

    let over = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&over);
    let health = std::thread::spawn(move || watch_health(address, &watched));
    let silent = silent(address).await;
    attack(address, REQUESTS).await;
    drop(silent);
    over.store(true, Ordering::Relaxed);
    let slowest = health.join().unwrap();

    let grown = resident_kib(&relay).saturating_sub(before);
    eprintln!("slowest health check {slowest:?}, grown by {grown} KiB from {before} KiB");
    assert!(slowest < HEALTH_MAX, "{slowest:?}");
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB");
    assert!(relay.stop().success());
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

/// Connections on which a request begins and goes no further.
async fn silent(address: SocketAddr) -> Vec<TcpStream> {
    let mut connections = Vec::new();
    for number in 0..SILENT {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begun: &[u8] = match number % 3 {
            0 => b"",
            1 => b"POST /hooks/github HTTP/1.1\r\nhost: x\r\n",
            _ => b"POST /hooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
        };
        let _ = stream.write_all(begun).await;
        connections.push(stream);
    }
    connections
}

/// The longest time that an answer of the health check took. On a thread of its own: whoever writes the
/// attacks keeps this test's other threads busy for longer than the relay needs to answer.
fn watch_health(address: SocketAddr, over: &AtomicBool) -> Duration {
    let mut slowest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = health(address).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        slowest = slowest.max(begun.elapsed());
        std::thread::sleep(HEALTH_PAUSE);
    }
    slowest
}

fn health(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(HEALTH_MAX))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn resident_kib(relay: &Relay) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", relay.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
