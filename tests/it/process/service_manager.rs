//! What the relay tells a service manager, such as systemd, over `NOTIFY_SOCKET`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::StatusCode;
use rusqlite::Connection;
use rustix::time::{ClockId, clock_gettime};
use savio_relay::store::Sqlite;
use savio_relay::store::sqlite::Settings;
use tempfile::TempDir;

use super::kill::{MAPPING, send};
use crate::support::relay::{Relay, SECRET, http, program};
use crate::support::wait::until;

/// A service manager: its socket, and what was received.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn new(folder: &TempDir) -> Manager {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Manager::with(socket, path.display().to_string())
    }

    fn with(socket: UnixDatagram, name: String) -> Manager {
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Manager { socket, name }
    }

    /// Waits for the next message and returns its lines.
    fn next(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let bytes = self.socket.recv(&mut message).expect("a message arrives in time");
        let message = str::from_utf8(&message[..bytes]).unwrap();
        message.lines().map(str::to_owned).collect()
    }

    /// Waits for a message with a line that begins so, and returns its lines.
    fn next_with(&self, beginning: &str) -> Vec<String> {
        loop {
            let lines = self.next();
            if lines.iter().any(|line| line.starts_with(beginning)) {
                return lines;
            }
        }
    }

    /// Waits for a status with this text.
    fn next_status(&self, text: &str) {
        while !self.next_with("STATUS=").iter().any(|line| line.contains(text)) {}
    }

    /// Returns the lines of all messages that have arrived.
    fn arrived(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        let mut lines = Vec::new();
        while let Ok(bytes) = self.socket.recv(&mut message) {
            let message = str::from_utf8(&message[..bytes]).unwrap();
            lines.extend(message.lines().map(str::to_owned));
        }
        self.socket.set_nonblocking(false).unwrap();
        lines
    }

    fn start(&self, folder: &TempDir, variables: &[(&str, &str)]) -> Relay {
        let own = [("TYPEFORM_SECRET", SECRET), ("NOTIFY_SOCKET", self.name.as_str())];
        Relay::start(folder.path(), &[&own, variables].concat())
    }
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mappings")).unwrap();
    fs::write(folder.path().join("mappings/survey.toml"), MAPPING).unwrap();
    folder
}

/// A connection that holds the write lock until it is dropped.
fn locked(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

fn monotonic_usec() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[tokio::test]
async fn relay_is_ready_once_the_store_is_open() {
    let folder = folder();
    let manager = Manager::new(&folder);
    let database = folder.path().join("relay.db");
    drop(Sqlite::open(&Settings::new(&database)).unwrap());
    let lock = locked(&database);
    let mut serve = program(folder.path());
    serve.arg("serve").env("NOTIFY_SOCKET", &manager.name).env("TYPEFORM_SECRET", SECRET);
    serve.env("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0");
    serve.env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0");
    let mut relay = serve.stderr(Stdio::piped()).spawn().unwrap();
    let files = format!("/proc/{}/fd", relay.id());
    let has_opened = |name: &str| {
        let files = fs::read_dir(&files).unwrap().flatten();
        files.filter_map(|it| fs::read_link(it.path()).ok()).any(|path| path.ends_with(name))
    };
    until(|| has_opened("relay.db-wal")).await;

    let before = manager.arrived();
    assert_eq!(before.len(), 2, "{before:?}");
    assert_eq!(before[0], "EXTEND_TIMEOUT_USEC=30000000");
    assert!(before[1].starts_with("STATUS=starting"), "{before:?}");

    drop(lock);
    let ready = manager.next_with("READY=1");
    assert_eq!(ready[0], "READY=1");
    assert!(ready[1].starts_with("STATUS=1 source is live; no event waits"), "{ready:?}");
    let lines = BufReader::new(relay.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut urls = lines.filter_map(|it| Some(it.split_once("listening on ")?.1.to_owned()));
    let answer = http().get(format!("{}/healthz", urls.next().unwrap())).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    relay.kill().unwrap();
    relay.wait().unwrap();
}

#[test]
fn stop_is_reported_with_the_time_that_it_may_take() {
    let folder = folder();
    let manager = Manager::new(&folder);
    let relay = manager.start(&folder, &[("SAVIO_RELAY_SERVER__SHUTDOWN_TIMEOUT", "1m")]);

    assert!(relay.stop().success());

    let stopping = manager.next_with("STOPPING=1");
    let status = "STATUS=stopping; requests in progress have up to 60 s to finish";
    assert_eq!(stopping, ["STOPPING=1", "EXTEND_TIMEOUT_USEC=65000000", status]);
}

#[test]
fn reload_is_reported_from_its_start_to_its_end() {
    let folder = folder();
    let manager = Manager::new(&folder);
    let relay = manager.start(&folder, &[]);
    manager.next_with("READY=1");
    let mapping = folder.path().join("mappings/survey.toml");

    for text in [format!("{MAPPING}\n# changed\n"), "provider = 7".to_owned()] {
        fs::write(&mapping, text).unwrap();
        let before = monotonic_usec();
        relay.hang_up();

        let reloading = manager.next_with("RELOADING=1");
        let began: i64 = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before..=monotonic_usec()).contains(&began), "{reloading:?}");
        assert_eq!(manager.next_with("READY=1"), ["READY=1"]);
    }
    // `systemctl reload` has succeeded, although nothing of the file is applied.
    manager.next_status("changed mapping files have mistakes and are not applied");
}

#[tokio::test]
async fn status_says_what_is_live_and_what_waits() {
    let folder = folder();
    let manager = Manager::new(&folder);
    let relay = manager.start(&folder, &[]);
    let paused = "delivery is paused: the environment variable SAVIO_API_TOKEN is not set";
    manager.next_status(&format!("1 source is live; no event waits; {paused}"));

    assert_eq!(send(&http(), &relay.url, "one").await.unwrap().status(), StatusCode::ACCEPTED);

    manager.next_status(&format!("1 source is live; 1 event waits; {paused}"));
}

#[tokio::test]
async fn watchdog_is_fed_while_the_store_is_locked() {
    let folder = folder();
    let manager = Manager::new(&folder);
    let relay = manager.start(&folder, &[("WATCHDOG_USEC", "2000000")]);
    manager.next_with("WATCHDOG=1");
    let _lock = locked(&folder.path().join("relay.db"));
    manager.arrived();
    let (client, url) = (http(), relay.url.clone());
    let webhook = tokio::spawn(async move { send(&client, &url, "one").await });

    until(|| relay.logged("the store cannot write") == 1).await;

    // SQLite's wait for the lock takes five seconds, in which the writer answers nobody.
    let pings = manager.arrived().iter().filter(|line| *line == "WATCHDOG=1").count();
    assert!(pings >= 3, "{pings}");
    manager.next_with("WATCHDOG=1");
    drop(webhook.await);
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_socket_is_reached() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let folder = folder();
    let name = format!("savio-relay-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::with(UnixDatagram::bind_addr(&address).unwrap(), format!("@{name}"));

    let relay = manager.start(&folder, &[]);

    manager.next_with("READY=1");
    assert!(!relay.startup_output.contains("NOTIFY_SOCKET"), "{}", relay.startup_output);
}

#[tokio::test]
async fn unreachable_service_manager_is_logged_once() {
    let folder = folder();
    let missing = folder.path().join("nowhere/notify");
    let (missing, own) = (missing.to_str().unwrap(), [("TYPEFORM_SECRET", SECRET)]);
    let relay = Relay::start(folder.path(), &[&own[..], &[("NOTIFY_SOCKET", missing)]].concat());
    let text = "the state of the relay cannot be reported to the service manager";
    assert_eq!(relay.startup_output.matches(text).count(), 1, "{}", relay.startup_output);

    relay.hang_up();
    until(|| relay.logged("applied mapping files") == 1).await;
    assert_eq!(send(&http(), &relay.url, "one").await.unwrap().status(), StatusCode::ACCEPTED);

    let (status, log) = relay.stop_with_log();
    assert!(status.success() && !log.contains(text), "{log}");
}
