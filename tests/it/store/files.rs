//! Files of a store that are damaged, removed or replaced while a relay runs on it.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use savio_relay::event::EventId;
use savio_relay::store::sqlite::{OpenError, Settings, Sqlite, is_served};
use savio_relay::store::{Archive, EventFilter, HoldDecision, ReplayId, ReplayRequest, StoreError};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, http, program};
use crate::support::store::{TestStore, at, claim, release, somebody, store_one, webhook};
use crate::support::wait::{until, until_async};

fn reason<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    path.with_file_name(format!("relay.db{suffix}"))
}

/// Counts the events that a start would find after a power loss now. Call it while nothing writes:
/// one file is copied after the other, and a copy of a database that is being written is damaged.
async fn events_after_a_crash(path: &Path, ids: &[EventId]) -> usize {
    let place = TestStore::new();
    for suffix in ["", "-wal"] {
        // The log may not exist.
        let _ = fs::copy(beside(path, suffix), beside(&place.settings().path, suffix));
    }
    let store = match Sqlite::open(&place.settings()) {
        // All of it was in the log that is gone.
        Err(OpenError::Incomplete { .. }) => return 0,
        opened => opened.unwrap(),
    };
    let mut found = 0;
    for id in ids {
        found += usize::from(store.event(*id).await.unwrap().is_some());
    }
    found
}

/// Checks that the store continues after the removal of these files, and that a crash loses no
/// event.
async fn check_nothing_is_lost(suffixes: &[&str]) {
    let place = TestStore::new();
    let (store, path) = (place.open(), place.settings().path);
    let mut ids = vec![store_one(&*store, webhook(at(0))).await];
    // A reader has the files open as well.
    store.event(ids[0]).await.unwrap().unwrap();

    for suffix in suffixes {
        fs::remove_file(beside(&path, suffix)).unwrap();
    }
    ids.push(store_one(&*store, webhook(at(0))).await);
    assert_eq!(events_after_a_crash(&path, &ids).await, 2, "after another was kept");

    for suffix in suffixes {
        fs::remove_file(beside(&path, suffix)).unwrap();
    }
    store.ready().await.unwrap();
    assert_eq!(
        events_after_a_crash(&path, &ids).await,
        2,
        "after it was asked whether it is ready"
    );

    ids.push(store_one(&*store, webhook(at(0))).await);
    assert_eq!(claim(&*store, at(0), 9).await.len(), 3);
    drop(store);
    assert_eq!(events_after_a_crash(&path, &ids).await, 3, "after the end");
}

#[tokio::test]
async fn removed_log_is_saved_before_a_new_one_begins() {
    check_nothing_is_lost(&["-wal"]).await;
}

#[tokio::test]
async fn removed_log_index_is_rebuilt() {
    check_nothing_is_lost(&["-shm"]).await;
    check_nothing_is_lost(&["-wal", "-shm"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_removed_from_an_idle_store_is_saved() {
    let place = TestStore::new();
    let (store, path) = (place.open(), place.settings().path);
    let id = store_one(&*store, webhook(at(0))).await;
    fs::remove_file(beside(&path, "-wal")).unwrap();

    // As delivery does while it has no work.
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.wait_for_work(1).await }
    });
    // A new log begins once the removed one is written back.
    until(|| beside(&path, "-wal").exists()).await;
    store.ready().await.unwrap();
    assert_eq!(events_after_a_crash(&path, &[id]).await, 1);
    waiting.abort();
}

#[tokio::test]
async fn foreign_log_stops_the_store_until_it_is_removed() {
    let place = TestStore::new();
    let (store, path) = (place.open(), place.settings().path);
    let id = store_one(&*store, webhook(at(0))).await;
    let log = beside(&path, "-wal");
    fs::remove_file(&log).unwrap();
    fs::write(&log, "of another program").unwrap();

    let expected = "another program has begun a log of its own";
    assert!(reason(store.store(webhook(at(0))).await).contains(expected));
    assert!(reason(store.ready().await).contains(expected));
    fs::remove_file(&log).unwrap();
    let other = store_one(&*store, webhook(at(0))).await;

    assert_eq!(events_after_a_crash(&path, &[id, other]).await, 2);
}

#[tokio::test]
async fn removed_lock_file_admits_no_second_server() {
    let place = TestStore::new();
    let settings = place.settings();
    let (store, lock) = (place.open(), beside(&settings.path, ".lock"));

    for _ in 0..2 {
        fs::remove_file(&lock).unwrap();
        let refused = Sqlite::open(&settings).unwrap_err();
        assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
        store_one(&*store, webhook(at(0))).await;
        assert!(is_served(&settings.path).unwrap(), "the lock file is there and locked again");
    }
    let foreign = lock.with_file_name("other");
    fs::write(&foreign, "").unwrap();
    fs::rename(&foreign, &lock).unwrap();
    store_one(&*store, webhook(at(0))).await;
    assert!(is_served(&settings.path).unwrap());

    drop(store);
    assert!(!is_served(&settings.path).unwrap());
    Sqlite::open(&settings).unwrap();
}

#[test]
fn check_for_a_running_server_does_not_block_a_start() {
    let place = TestStore::new();
    let settings = place.settings();
    drop(Sqlite::open(&settings).unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let looking = std::thread::spawn({
        let (path, is_over) = (settings.path.clone(), Arc::clone(&is_over));
        move || {
            while !is_over.load(Ordering::Relaxed) {
                is_served(&path).unwrap();
            }
        }
    });

    let started: Vec<Result<(), OpenError>> =
        (0..50).map(|_| Sqlite::open(&settings).map(drop)).collect();

    is_over.store(true, Ordering::Relaxed);
    looking.join().unwrap();
    let refused = started.iter().filter(|started| started.is_err()).count();
    assert_eq!(refused, 0, "{started:?}");
}

/// Overwrites the first page of a table or an index with invalid bytes.
fn damage(path: &Path, table: &str) {
    let file = Connection::open(path).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    let page: u64 = file.query_row(sql, [table], |row| row.get(0)).unwrap();
    drop(file);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0xFF; 64], (page - 1) * 4096).unwrap();
}

#[tokio::test]
async fn damaged_table_stops_the_store_and_is_logged() {
    let place = TestStore::new();
    let settings = place.settings();
    store_one(&*place.open(), webhook(at(0))).await;
    damage(&settings.path, "webhooks");
    let store = place.open();
    store.ready().await.expect("nothing has read the damaged page");

    let failure = reason(store.store(webhook(at(0))).await);
    assert!(failure.contains("the database file is damaged"), "{failure}");

    let expected = "the database is damaged (database disk image is malformed): stop the relay";
    until_async(async || store.ready().await.is_err()).await;
    assert!(reason(store.ready().await).starts_with(expected));
    assert!(reason(store.store(webhook(at(0))).await).starts_with(expected));
    let wanted = savio_relay::store::ClaimRequest {
        sources: vec!["form".parse().unwrap()],
        slots: 1,
        bytes_max: usize::MAX,
        now: at(0),
        lease: Duration::from_mins(1),
    };
    assert!(reason(store.claim(wanted).await).starts_with(expected));
}

#[tokio::test]
async fn damaged_store_begins_no_change() {
    let place = TestStore::new();
    let (store, path) = (place.open(), place.settings().path);
    let event = store_one(&*store, webhook(at(0))).await;
    let id = ReplayId::new(at(0));
    let (filter, interval) = (EventFilter::default(), Duration::ZERO);
    let replay = ReplayRequest { id, filter, interval, begun_at: at(0) };
    store.start_replay(replay.clone(), somebody()).await.unwrap();
    drop(store);
    Connection::open(&path).unwrap().execute("UPDATE counts SET events = 7", []).unwrap();
    damage(&path, "webhooks");
    let store = place.open();
    reason(store.store(webhook(at(0))).await);

    let again = ReplayRequest { id: ReplayId::new(at(1)), ..replay };
    let answers = [
        ("start_replay", store.start_replay(again, somebody()).await),
        ("step_replay", store.step_replay(id).await.map(drop)),
        ("cancel_replay", store.cancel_replay(id, at(1), somebody()).await),
        ("release", store.release(release(event, HoldDecision::SendAgain, at(1))).await.map(drop)),
        ("recount", store.recount().await.map(drop)),
        ("purge", store.purge(at(1)).await.map(drop)),
        ("rewind", store.rewind(Vec::new(), at(1)).await),
        ("end_waits_behind", store.end_waits_behind(at(1)).await),
        ("end_retry_waits", store.end_retry_waits(Vec::new(), at(1)).await),
    ];

    let accepted = answers.into_iter().filter(|(_, answer)| answer.is_ok());
    assert_eq!(accepted.map(|(name, _)| name).collect::<Vec<_>>(), [""; 0]);
    let file = Connection::open(&path).unwrap();
    let sql = "SELECT events, (SELECT canceled_at FROM replays) FROM counts";
    let changed = file.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(changed, (7, None::<i64>));
}

#[tokio::test]
async fn damage_found_by_a_reader_is_logged() {
    let place = TestStore::new();
    let settings = Settings::new(place.settings().path);
    let id = store_one(&*place.open(), webhook(at(0))).await;
    damage(&settings.path, "webhooks");
    let store = place.open();

    reason(store.event(id).await);

    until_async(async || store.ready().await.is_err()).await;
}

/// A folder with a source, and a Savio that accepts everything.
pub(super) async fn deployment() -> (TempDir, MockServer) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mappings")).unwrap();
    let mapping = "provider = \"form\"\nsecrets = [\"env:FORM_SECRET\"]\n[[feedback]]\nproblem = \"$.text\"\n";
    fs::write(folder.path().join("mappings/form.toml"), mapping).unwrap();
    let savio = MockServer::start().await;
    let created = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
    Mock::given(method("POST")).respond_with(created).mount(&savio).await;
    let found = ResponseTemplate::new(200).set_body_json(json!({ "results": [] }));
    Mock::given(method("GET")).respond_with(found).mount(&savio).await;
    (folder, savio)
}

pub(super) fn variables(savio: &MockServer) -> Vec<(&'static str, String)> {
    vec![
        ("FORM_SECRET", "secret".to_owned()),
        ("SAVIO_API_TOKEN", "token".to_owned()),
        ("ADMIN_TOKEN", "a token of the test".to_owned()),
        ("SAVIO_RELAY_SAVIO__BASE_URL", format!("{}/app/api/", savio.uri())),
    ]
}

pub(super) fn start(folder: &Path, variables: &[(&'static str, String)]) -> Relay {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Relay::start(folder, &variables)
}

pub(super) async fn post(relay: &Relay) -> u16 {
    let call = http().post(format!("{}/hooks/form", relay.url)).header("x-relay-token", "secret");
    call.json(&json!({ "text": "Slow" })).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn damaged_database_is_not_ready_and_reported_by_doctor() {
    let (folder, savio) = deployment().await;
    let variables = variables(&savio);
    let relay = start(folder.path(), &variables);
    assert_eq!(post(&relay).await, 202);
    assert!(relay.stop().success());
    let doctor = |others: &[&str], address: &str| {
        let mut doctor = program(folder.path());
        doctor.args(["doctor", "--json"]).args(others).envs(variables.clone());
        doctor.env("SAVIO_RELAY_SERVER__LISTEN", address);
        let output =
            doctor.env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0").output().unwrap();
        let report = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), report, String::from_utf8(output.stderr).unwrap())
    };
    let (code, output, errors) = doctor(&["--deep"], "127.0.0.1:0");
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("relay.db is intact"), "{output}");
    assert!(errors.contains("checking relay.db, 1 MiB: this takes about 1 s"), "{errors}");

    damage(&folder.path().join("relay.db"), "webhooks");
    let relay = start(folder.path(), &variables);
    assert_eq!(post(&relay).await, 503);
    let ready = || async { http().get(format!("{}/readyz", relay.url)).send().await.unwrap() };
    until_async(async || ready().await.status() == 503).await;
    assert!(ready().await.text().await.unwrap().contains("the database is damaged"));
    assert_eq!(post(&relay).await, 503);
    let api = |path: &str| {
        let call = http().get(format!("{}{path}", relay.admin_url));
        call.bearer_auth("a token of the test").send()
    };
    let stats: Value = api("/api/v1/stats").await.unwrap().json().await.unwrap();
    assert!(stats["store_problem"].as_str().unwrap().contains("damaged"), "{stats}");
    let metrics = api("/metrics").await.unwrap().text().await.unwrap();
    assert!(metrics.contains("savio_relay_store_ready 0"), "{metrics}");
    // The damage may be found before the relay listens.
    let output = relay.startup_output.clone() + &relay.log();
    assert_eq!(output.matches("`savio-relay doctor --deep`, then").count(), 1, "{output}");

    let address = relay.url.trim_start_matches("http://");
    for (others, address) in [(&[][..], address), (&["--deep"], address), (&[], "127.0.0.1:0")] {
        let (code, output, _) = doctor(others, address);
        assert_eq!(code, Some(1), "{output}");
        assert!(output.contains("relay.db is damaged: "), "{output}");
        assert_eq!(output.contains("is not ready: "), address != "127.0.0.1:0", "{output}");
    }
}

#[tokio::test]
async fn second_serve_is_refused_after_the_lock_file_was_removed() {
    let (folder, savio) = deployment().await;
    let variables = variables(&savio);
    let relay = start(folder.path(), &variables);
    fs::remove_file(folder.path().join("relay.db.lock")).unwrap();

    let mut second = program(folder.path());
    second.arg("serve").envs(variables.clone()).stderr(Stdio::piped());
    second.env("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0");
    let mut second = second.env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0").spawn().unwrap();
    // Its standard error ends with the process. One that was not refused would keep it open.
    let lines = BufReader::new(second.stderr.take().unwrap()).lines().map_while(Result::ok);
    let refused = lines.take_while(|line| !line.contains("listening on")).collect::<Vec<_>>();
    let refused = refused.iter().any(|line| line.contains("another savio-relay runs on"));
    // A refused one ends by itself, shortly after its standard error.
    if !refused {
        second.kill().unwrap();
    }
    let status = second.wait().unwrap();
    assert!(refused, "{status}");
    assert_eq!(status.code(), Some(3));
    let path = folder.path().join("relay.db");
    until_async(async || is_served(&path).unwrap()).await;
    // It is locked before that is logged, and the log is read by another thread.
    let logged = || relay.logged("relay.db.lock was removed or replaced");
    until_async(async || logged() > 0).await;
    assert_eq!(logged(), 1);
    assert_eq!(post(&relay).await, 202);
}

#[tokio::test]
async fn kill_after_the_log_was_removed_loses_no_event() {
    let (folder, savio) = deployment().await;
    let variables = variables(&savio);
    let relay = start(folder.path(), &variables);
    for _ in 0..5 {
        assert_eq!(post(&relay).await, 202);
    }
    fs::remove_file(folder.path().join("relay.db-wal")).unwrap();
    for _ in 0..5 {
        assert_eq!(post(&relay).await, 202);
    }
    until_async(async || relay.logged("relay.db-wal or") > 0).await;
    assert_eq!(relay.logged("relay.db-wal or"), 1, "{}", relay.log());
    relay.kill();

    let store = Sqlite::open(&Settings::new(folder.path().join("relay.db"))).unwrap();
    let events: u64 = store.counts().await.unwrap().iter().map(|it| it.events).sum();
    assert_eq!(events, 10);
}
