//! A stop while another program keeps the store locked ends in time, and logs what was not written.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use rusqlite::Connection;
use savio_relay::event::{EventId, State as EventState};
use savio_relay::store::sqlite::Settings;
use savio_relay::store::{Archive, Sqlite};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{MAPPING, send};
use crate::support::relay::{Relay, SECRET, http, program};
use crate::support::wait::until;

/// Longest time of a stop.
// Generous. One wait of SQLite for the lock takes five seconds, and a stop had two to four of them.
const STOP_MAX: Duration = Duration::from_secs(8);

// `demo` has the default `server.shutdown_timeout` of 8 s. A stop that waits for SQLite's own wait
// takes 14 s.
const DEMO_STOP_MAX: Duration = Duration::from_secs(12);

/// Action of the stand-in for Savio before it responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeforeAnswer {
    Locks,
    LeavesUnlocked,
}

/// A stand-in for Savio that responds with this status, and may lock the store before.
#[derive(Debug, Clone)]
struct LockingSavio {
    database: Arc<Path>,
    status: StatusCode,
    first: BeforeAnswer,
    lock: Arc<Mutex<Option<Connection>>>,
    requests: Arc<Mutex<usize>>,
}

impl LockingSavio {
    async fn start(
        folder: &Path,
        status: StatusCode,
        first: BeforeAnswer,
    ) -> (LockingSavio, String) {
        async fn create(State(savio): State<LockingSavio>) -> (StatusCode, Json<Value>) {
            *savio.requests.lock().unwrap() += 1;
            if savio.first == BeforeAnswer::Locks {
                *savio.lock.lock().unwrap() = Some(locked(&savio.database));
            }
            (savio.status, Json(json!({"id": 1})))
        }
        let database: Arc<Path> = folder.join("relay.db").into();
        let savio = LockingSavio {
            database,
            status,
            first,
            lock: Arc::default(),
            requests: Arc::default(),
        };
        let router = Router::new()
            .route("/app/api/create-feedback/", post(create))
            .with_state(savio.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (savio, format!("http://{address}/app/api/"))
    }

    fn requests(&self) -> usize {
        *self.requests.lock().unwrap()
    }

    fn has_locked(&self) -> bool {
        self.lock.lock().unwrap().is_some()
    }

    fn unlock(&self) {
        self.lock.lock().unwrap().take();
    }
}

/// A connection that holds the write lock until it is dropped.
fn locked(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_mins(1)).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/survey.toml"), MAPPING).unwrap();
    folder
}

fn start(folder: &Path, savio: &str, shutdown_timeout: &str) -> Relay {
    let variables = [
        ("TYPEFORM_SECRET", SECRET),
        ("SAVIO_API_TOKEN", "token"),
        ("SAVIO_RELAY_SAVIO__BASE_URL", savio),
        ("SAVIO_RELAY_RETRY__WAIT_MIN", "1s"),
        ("SAVIO_RELAY_SERVER__SHUTDOWN_TIMEOUT", shutdown_timeout),
    ];
    Relay::start(folder, &variables)
}

async fn accepted(relay: &Relay) -> EventId {
    let answer = send(&http(), &relay.url, "one").await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let answer: Value = answer.json().await.unwrap();
    answer["events"][0].as_str().unwrap().parse().unwrap()
}

/// Stops the relay, checks that it ends in time, and returns its exit status and log.
fn stopped(relay: Relay) -> (ExitStatus, String) {
    let start = Instant::now();
    let ended = relay.stop_with_log();
    let took = start.elapsed();
    assert!(took < STOP_MAX, "the stop took {took:?}");
    ended
}

fn assert_nothing_claimed((status, log): &(ExitStatus, String)) {
    assert!(status.success(), "{log}");
    assert!(log.contains("could not be written during the stop; no event was claimed"), "{log}");
    assert!(!log.contains("events in hand"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_stop_with_a_locked_store_ends_in_time() {
    let folder = folder();
    let (_savio, url) =
        LockingSavio::start(folder.path(), StatusCode::CREATED, BeforeAnswer::LeavesUnlocked).await;
    let relay = start(folder.path(), &url, "500ms");
    let _lock = locked(&folder.path().join("relay.db"));

    assert_nothing_claimed(&stopped(relay));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_with_a_due_event_and_a_locked_store_ends_in_time() {
    let folder = folder();
    let (_savio, url) = LockingSavio::start(
        folder.path(),
        StatusCode::SERVICE_UNAVAILABLE,
        BeforeAnswer::LeavesUnlocked,
    )
    .await;
    let relay = start(folder.path(), &url, "500ms");
    accepted(&relay).await;
    let file = Connection::open(folder.path().join("relay.db")).unwrap();
    let count = |sql| file.query_row(sql, [], |row| row.get::<_, usize>(0)).unwrap();
    let waits = "SELECT count(*) FROM events WHERE lease_until IS NULL
                     AND number IN (SELECT event FROM attempts)";
    until(|| count(waits) == 1).await;
    let _lock = locked(&folder.path().join("relay.db"));
    let due = "SELECT count(*) FROM events WHERE due_at <= 1000000 * unixepoch('subsec')";
    until(|| count(due) == 1).await;

    assert_nothing_claimed(&stopped(relay));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_with_an_unrecorded_response_ends_in_time_and_logs_it() {
    let folder = folder();
    let (savio, url) =
        LockingSavio::start(folder.path(), StatusCode::CREATED, BeforeAnswer::Locks).await;
    let relay = start(folder.path(), &url, "500ms");
    let id = accepted(&relay).await;
    until(|| savio.has_locked()).await;

    let (status, log) = stopped(relay);

    assert_eq!(status.code(), Some(3), "{log}");
    assert!(log.contains("claimed events could not be returned"), "{log}");
    assert!(!log.contains("no event is claimed"), "{log}");
    assert!(log.contains("the next start treats this stop as a crash"), "{log}");
    let expected =
        format!("work on event {id} was interrupted before the answer to its request was recorded");
    assert!(log.contains(&expected), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_is_recorded_if_the_store_unlocks_during_the_stop() {
    let folder = folder();
    let (savio, url) =
        LockingSavio::start(folder.path(), StatusCode::CREATED, BeforeAnswer::Locks).await;
    let relay = start(folder.path(), &url, "1m");
    let id = accepted(&relay).await;
    until(|| relay.logged("cannot record progress of event") == 1).await;

    relay.send_sigterm();
    until(|| relay.logged("shutting down") == 1).await;
    savio.unlock();
    let (status, log) = relay.stop_with_log();

    assert!(status.success(), "{log}");
    assert!(!log.contains("cut off"), "{log}");
    let store = Sqlite::open(&Settings::new(folder.path().join("relay.db"))).unwrap();
    let record = store.event(id).await.unwrap().unwrap();
    assert_eq!(record.state, EventState::Delivered);
    assert!(record.attempts.iter().all(|attempt| !attempt.may_repeat));
    assert_eq!(savio.requests(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_is_clean_if_the_store_unlocks_before_its_end() {
    let folder = folder();
    let (_savio, url) =
        LockingSavio::start(folder.path(), StatusCode::CREATED, BeforeAnswer::LeavesUnlocked).await;
    let relay = start(folder.path(), &url, "1m");
    let lock = locked(&folder.path().join("relay.db"));

    relay.send_sigterm();
    until(|| relay.logged("the store cannot be written yet; no event is claimed") == 1).await;
    drop(lock);
    let (status, log) = relay.stop_with_log();

    assert!(status.success(), "{log}");
    assert!(!folder.path().join("relay.db-wal").exists(), "the log is written back");
}

#[test]
fn demo_with_a_locked_store_stops_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = program(folder.path());
    demo.arg("demo").env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = demo.spawn().unwrap();
    let mut shown = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(shown.any(|line| line.starts_with("Ctrl-C ends the demo")));
    let own = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    let _lock = locked(&own.path().join("demo.db"));

    let start = Instant::now();
    Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().unwrap();
    drop(shown.last());
    demo.wait().unwrap();

    let took = start.elapsed();
    assert!(took < DEMO_STOP_MAX, "the stop took {took:?}");
}
