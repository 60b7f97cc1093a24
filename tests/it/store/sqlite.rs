//! Promises of the SQLite store beyond the contract: its file, its lock, its disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use savio_relay::event::{EventId, State};
use savio_relay::store::sqlite::{OpenError, Settings, Sqlite};
use savio_relay::store::{
    ClaimedEvent, EventRecord, Inbox, NewEvent, Queue, Recounted, StoreError, StoredEvents,
};
use savio_relay::telemetry::metrics::{Counters, Gauges, Metrics, TextFormat};
use tokio::time::timeout;

use crate::support::store::{TestStore, at, claim, settle, step, store_one, webhook};

fn open_error(settings: &Settings) -> String {
    Sqlite::open(settings).expect_err("it cannot be opened").to_string()
}

fn reason(answer: Result<(), StoreError>) -> String {
    match answer {
        Err(StoreError::Unavailable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn restart_releases_claims_of_the_earlier_process() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, webhook(at(0))).await;
    let before = claim(&*store, at(0), 1).await.remove(0);
    drop(store);

    let store = place.open();
    let late = store.advance(before.claim, step(settle(State::Dead))).await;
    let after = claim(&*store, at(1), 1).await.remove(0);

    assert_eq!(late, Err(StoreError::ClaimLost));
    assert_eq!(after.event, before.event);
    assert_ne!(after.claim, before.claim);
}

#[test]
fn second_server_on_one_file_is_refused() {
    let place = TestStore::new();
    let settings = place.settings();
    let first = Sqlite::open(&settings).unwrap();
    let link = settings.path.with_file_name("other.db");
    std::os::unix::fs::symlink(&settings.path, &link).unwrap();

    for path in [settings.path.clone(), link] {
        let refused = Sqlite::open(&Settings::new(path)).unwrap_err();
        let OpenError::InUse { lock, .. } = refused else { panic!("{refused}") };
        assert_eq!(lock.file_name().unwrap(), "relay.db.lock");
    }
    drop(first);
    Sqlite::open(&settings).unwrap();
}

#[tokio::test]
async fn closed_store_has_written_all_and_released_the_file() {
    let place = TestStore::new();
    let store = Sqlite::open(&place.settings()).unwrap();
    let id = store_one(&store, webhook(at(0))).await;

    store.close().await;

    assert_eq!(reason(store.ready().await), "the store is closed");
    assert!(!place.settings().path.with_file_name("relay.db-wal").exists());
    assert!(place.open().event(id).await.unwrap().is_some());
}

#[test]
fn store_files_are_readable_by_the_owner_only() {
    let place = TestStore::new();
    let _store = Sqlite::open(&place.settings()).unwrap();

    for file in fs::read_dir(place.settings().path.parent().unwrap()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn database_uses_incremental_auto_vacuum() {
    let place = TestStore::new();
    drop(Sqlite::open(&place.settings()).unwrap());

    let file = Connection::open(&place.settings().path).unwrap();
    let pragma = |name| file.pragma_query_value(None, name, |row| row.get::<_, String>(0));
    let auto_vacuum: i64 = file.pragma_query_value(None, "auto_vacuum", |row| row.get(0)).unwrap();

    assert_eq!(pragma("journal_mode").unwrap(), "wal");
    assert_eq!(auto_vacuum, 2, "incremental");
}

#[test]
fn database_of_another_program_is_not_changed() {
    let place = TestStore::new();
    let file = Connection::open(&place.settings().path).unwrap();
    file.execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let before = fs::read(&place.settings().path).unwrap();

    let error = open_error(&place.settings());

    assert!(error.contains("relay.db is a database of another program: "), "{error}");
    assert_eq!(fs::read(&place.settings().path).unwrap(), before);
}

#[test]
fn file_that_is_no_database_is_refused_by_name() {
    let place = TestStore::new();
    fs::write(&place.settings().path, "a letter to my aunt ".repeat(100)).unwrap();
    assert!(open_error(&place.settings()).contains("relay.db"));

    let nowhere = Settings::new(place.settings().path.with_file_name("no/such/folder.db"));
    assert!(open_error(&nowhere).contains("no/such/folder.db"));
}

#[tokio::test]
async fn low_disk_refuses_webhooks_and_settles_accepted_events() {
    let place = TestStore::new();
    store_one(&*place.open(), webhook(at(0))).await;
    let full = Settings { reserve_bytes: Some(u64::MAX), ..place.settings() };
    let store = Sqlite::open(&full).unwrap();

    let refused = store.store(webhook(at(0))).await.map(|_| ());
    let claimed = claim(&store, at(0), 9).await;

    assert!(reason(refused).starts_with("disk full: "));
    assert!(reason(store.ready().await).starts_with("disk full: "));
    assert_eq!(claimed.len(), 1);
    store.advance(claimed[0].claim, step(settle(State::Dead))).await.unwrap();
}

#[tokio::test]
async fn store_is_ready_only_while_the_largest_webhook_fits() {
    let place = TestStore::new();
    let settings = Settings { webhook_bytes_max: usize::MAX / 4, ..place.settings() };
    let store = Sqlite::open(&settings).unwrap();

    store_one(&store, webhook(at(0))).await;

    assert!(reason(store.ready().await).starts_with("disk full: "));
}

#[tokio::test]
async fn webhook_body_is_stored_once() {
    let place = TestStore::new();
    let store = place.open();
    let mut many = webhook(at(0));
    many.body = vec![b' '; 1_000_000];
    many.events = (0..100).map(|_| NewEvent { ..webhook(at(0)).events.remove(0) }).collect();

    store.store(many).await.unwrap();
    drop(store);

    let size = |place: &TestStore| fs::metadata(&place.settings().path).unwrap().len();
    // Beside an empty store, which has a page for each table and index.
    let empty = TestStore::new();
    drop(empty.open());
    let bytes = size(&place) - size(&empty);
    assert!((1_000_000..1_100_000).contains(&bytes), "{bytes}");
}

/// Polls the future once: the store has the webhook, and cannot commit it while another program
/// holds the write lock.
async fn poll_once(storing: &mut (impl Future<Output = Result<StoredEvents, StoreError>> + Unpin)) {
    tokio::select! {
        biased;
        kept = storing => panic!("the database is locked: {kept:?}"),
        () = std::future::ready(()) => {}
    }
}

#[tokio::test]
async fn webhook_of_a_disconnected_sender_is_stored_whole_or_not() {
    let place = TestStore::new();
    let store = place.open();
    let other = Connection::open(&place.settings().path).unwrap();
    let mut sent = webhook(at(0));
    sent.events = (0..3).map(|_| webhook(at(0)).events.remove(0)).collect();
    let ids: Vec<EventId> = sent.events.iter().map(|event| event.id).collect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut storing = Box::pin(store.store(sent));
    poll_once(&mut storing).await;

    drop(storing);
    other.execute_batch("COMMIT").unwrap();
    let kept = store_one(&*store, webhook(at(0))).await;

    let claimed = claim(&*store, at(0), 9).await;
    let claimed = |id: &EventId| claimed.iter().any(|one| one.claim.event == *id);
    assert!(claimed(&kept));
    assert!([0, 3].contains(&ids.iter().filter(|id| claimed(id)).count()));
}

#[tokio::test]
async fn missing_file_stops_intake_until_it_is_back() {
    let place = TestStore::new();
    let store = place.open();
    let path = place.settings().path;
    let moved = path.with_file_name("away.db");

    fs::rename(&path, &moved).unwrap();
    let refused = store.store(webhook(at(0))).await.map(|_| ());
    fs::rename(&moved, &path).unwrap();

    let reason = reason(refused);
    assert!(
        reason.contains("relay.db of the store") && reason.contains("No such file"),
        "{reason}"
    );
    let id = store_one(&*store, webhook(at(0))).await;
    assert!(store.event(id).await.unwrap().is_some());
}

#[tokio::test]
async fn writes_of_other_processes_are_noticed_without_a_commit() {
    let place = TestStore::new();
    let store = Sqlite::open(&place.settings()).unwrap();
    let seen = store.wait_for_work(0).await;
    let other = Connection::open(&place.settings().path).unwrap();
    let third = Connection::open(&place.settings().path).unwrap();
    other.execute_batch("INSERT INTO gates VALUES ('sources', '{}')").unwrap();
    third.execute_batch("BEGIN IMMEDIATE").unwrap();

    let noticed = timeout(Duration::from_mins(1), store.wait_for_work(seen)).await;

    assert!(noticed.is_ok(), "it waits for the write lock");
    let text = metrics(&store);
    assert!(text.contains("\nsavio_relay_commit_seconds_count 0\n"), "{text}");
}

fn metrics(store: &Sqlite) -> String {
    let counters = Counters { commits: store.commits.clone(), ..Counters::default() };
    Metrics::new(&counters).text(&Gauges::default(), TextFormat::Prometheus)
}

/// Returns the time of all commits so far.
fn commit_time(store: &Sqlite) -> Duration {
    let text = metrics(store);
    let sum = text.lines().find_map(|line| line.strip_prefix("savio_relay_commit_seconds_sum "));
    Duration::from_secs_f64(sum.unwrap().parse().unwrap())
}

/// Stores a webhook while another program holds the write lock for this time, and returns whether
/// the commit began before the lock was released.
async fn store_behind_a_lock(store: &Sqlite, other: &Connection, lock_time: Duration) -> bool {
    let before = commit_time(store);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut storing = Box::pin(store.store(webhook(at(0))));
    poll_once(&mut storing).await;
    tokio::time::sleep(lock_time).await;
    let released_at = Instant::now();
    other.execute_batch("COMMIT").unwrap();

    assert_eq!(storing.await.unwrap().new_events(), 1);

    let ended = Instant::now();
    let took = commit_time(store).saturating_sub(before);
    ended.checked_sub(took).is_some_and(|begun| begun < released_at)
}

#[tokio::test]
async fn locked_database_is_waited_for() {
    let place = TestStore::new();
    let store = Sqlite::open(&place.settings()).unwrap();
    let other = Connection::open(&place.settings().path).unwrap();

    // The system decides when the writer begins, so the lock is held longer each time until it did.
    let mut lock_time = Duration::from_millis(1);
    while !store_behind_a_lock(&store, &other, lock_time).await {
        lock_time *= 2;
        assert!(
            lock_time < Duration::from_secs(5),
            "no commit began while the database was locked"
        );
    }
}

#[tokio::test]
async fn lasting_lock_is_reported_and_ends() {
    let place = TestStore::new();
    let store = place.open();
    let other = Connection::open(&place.settings().path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let refused = store.store(webhook(at(0))).await.map(|_| ());
    other.execute_batch("COMMIT").unwrap();

    assert!(reason(refused).starts_with("the database is locked by another program"));
    assert_eq!(store.store(webhook(at(0))).await.unwrap().new_events(), 1);
}

#[tokio::test]
async fn unreadable_event_is_dead_and_affects_no_other() {
    let place = TestStore::new();
    let store = place.open();
    let unreadable = store_one(&*store, webhook(at(0))).await;
    let good = store_one(&*store, webhook(at(1))).await;
    let file = Connection::open(&place.settings().path).unwrap();
    file.execute("UPDATE webhooks SET headers = 'no JSON' WHERE number = 1", []).unwrap();

    let claimed = claim(&*store, at(2), 9).await;
    let again = claim(&*store, at(600), 9).await;

    let ids = |claimed: &[ClaimedEvent]| claimed.iter().map(|it| it.event.id).collect::<Vec<_>>();
    assert_eq!((ids(&claimed), ids(&again)), (vec![good], vec![good]));
    let sql = "SELECT state, reason, lease_until FROM events WHERE id = ?1";
    let (state, reason, lease): (String, String, Option<i64>) = file
        .query_row(sql, [unreadable.as_bytes().as_slice()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!((state.as_str(), lease), ("dead", None));
    assert!(reason.starts_with("it cannot be read from the store: "), "{reason}");
    assert_eq!(store.recount().await, Ok(Recounted::default()));
}

/// Returns the event as it is shown after this change of its rows, once it is dead.
async fn damaged_event(change: &str) -> EventRecord {
    let place = TestStore::new();
    let store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    let claimed = claim(&*store, at(0), 1).await.remove(0);
    let file = Connection::open(&place.settings().path).unwrap();
    file.execute_batch(change).unwrap();
    assert_eq!(store.load(claimed.claim).await, Ok(None), "{change}");

    let record = store.event(id).await.unwrap().unwrap();

    assert_eq!((record.event.id, record.state), (id, State::Dead), "{change}");
    assert_eq!(record.event.source, webhook(at(0)).source, "{change}");
    let reason = record.reason.clone().unwrap_or_default();
    assert!(reason.starts_with("it cannot be read from the store: "), "{reason}");
    record
}

#[tokio::test]
async fn unreadable_event_is_shown_without_its_unreadable_parts() {
    let damages = [
        ("the headers", "UPDATE webhooks SET headers = 'no JSON'"),
        ("the payload", "UPDATE webhooks SET body = x'ff'; UPDATE events SET payload_end = 1"),
        ("the type", "UPDATE events SET type = CAST(x'ff' AS TEXT)"),
    ];
    for (unreadable, change) in damages {
        let record = damaged_event(change).await;
        for (part, _) in damages {
            let note = format!("{part} cannot be read from the store: ");
            let is_noted = record.notes.iter().any(|it| it.starts_with(&note));
            assert_eq!(is_noted, part == unreadable, "{change}: {:?}", record.notes);
        }
    }
}

#[tokio::test]
async fn claimed_event_that_became_unreadable_is_dead() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, webhook(at(0))).await;
    let claimed = claim(&*store, at(0), 1).await.remove(0);
    let file = Connection::open(&place.settings().path).unwrap();
    file.execute("UPDATE events SET notes = 'no JSON', payload_end = 1", []).unwrap();
    file.execute("UPDATE webhooks SET body = x'ff'", []).unwrap();

    assert_eq!(store.load(claimed.claim).await, Ok(None));

    let counts = store.counts().await.unwrap();
    assert_eq!(
        counts.iter().map(|it| (it.state, it.events)).collect::<Vec<_>>(),
        [(State::Dead, 1)]
    );
}

#[tokio::test]
async fn store_beside_the_server_keeps_its_claims_and_file() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, webhook(at(0))).await;
    let lock_time = claim(&*store, at(0), 1).await.remove(0);

    let beside = Sqlite::open_shared(&place.settings()).unwrap();
    beside.close().await;

    store.advance(lock_time.claim, step(settle(State::Dead))).await.unwrap();
    let nowhere = Settings::new(place.settings().path.with_file_name("none.db"));
    let error = Sqlite::open_shared(&nowhere).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }) && !nowhere.path.exists());
}

#[tokio::test]
async fn file_that_replaced_the_database_is_not_changed() {
    let place = TestStore::new();
    let store = place.open();
    let path = place.settings().path;
    let other = path.with_file_name("other.db");
    fs::write(&other, "").unwrap();

    fs::rename(&other, &path).unwrap();
    let refused = store.store(webhook(at(0))).await.map(|_| ());

    assert!(reason(refused).contains("another file was put in the place of"));
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}
