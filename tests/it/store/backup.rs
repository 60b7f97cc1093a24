//! Backups: complete or absent, made while the store is used, and marked when they are restored.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use savio_relay::event::{EventId, State};
use savio_relay::store::sqlite::backup::{self, Backup};
use savio_relay::store::sqlite::engine::check::{CheckLimits, check};
use savio_relay::store::sqlite::engine::copy::{BackupControl, BackupError, BackupProgress};
use savio_relay::store::sqlite::{OpenError, RestoredEvents, Settings, Sqlite};
use savio_relay::store::{
    Archive, HoldDecision, Inbox, Maintenance, Queue, Recounted, ReleaseOutcome, RequestState,
    Store, Webhook,
};
use tokio::runtime::Handle;

use crate::support::store::{
    TestStore, at, claim, claim_one, plan_and_send, record, release, send, set_version, settle,
    step, store_one, webhook,
};

async fn make(place: &TestStore, target: &Path) -> Result<Backup, BackupError> {
    make_with(place.settings(), target, |_, _| {}).await
}

async fn make_with(
    settings: Settings,
    target: &Path,
    mut report: impl FnMut(BackupProgress, &BackupControl) + Send + 'static,
) -> Result<Backup, BackupError> {
    let control = Arc::new(BackupControl::default());
    let stops = Arc::clone(&control);
    let report = move |progress| report(progress, &stops);
    backup::make(settings, target.to_owned(), (at(5), control), report).await
}

fn beside(place: &TestStore, name: &str) -> PathBuf {
    place.settings().path.with_file_name(name)
}

fn names(place: &TestStore) -> Vec<String> {
    let folder = place.settings().path.parent().unwrap().to_owned();
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn large_webhook(bytes: usize) -> Webhook {
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes)).into_bytes();
    let mut webhook = webhook(at(0));
    webhook.events[0].payload = 0..body.len();
    webhook.body = body;
    webhook
}

/// Puts the backup in the place of the store of another folder.
fn restore(backup: &Path) -> TestStore {
    let place = TestStore::new();
    fs::copy(backup, place.settings().path).unwrap();
    place
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_of_a_store_under_load_has_every_event_stored_before_it() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..8 {
        store_one(&*store, large_webhook(1024 * 1024)).await;
    }
    let mut stored: Vec<EventId> = Vec::new();
    for _ in 0..50 {
        stored.push(store_one(&*store, webhook(at(0))).await);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let (writing, over) = (Arc::clone(&store), Arc::clone(&is_over));
    let load = tokio::spawn(async move {
        let mut later = 0;
        while !over.load(Ordering::Relaxed) {
            store_one(&*writing, webhook(at(1))).await;
            later += 1;
        }
        later
    });
    let target = beside(&place, "backup.db");

    let made = make(&place, &target).await.unwrap();
    is_over.store(true, Ordering::Relaxed);

    assert!(load.await.unwrap() > 0, "it was written to meanwhile");
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o600);
    assert!(fs::metadata(&target).unwrap().len() >= made.bytes);
    assert!(
        !names(&place).iter().any(|name| name.contains("backup.db-") || name.ends_with(".partial"))
    );
    let file = Connection::open(&target).unwrap();
    let whole: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    drop(file);
    let copy = restore(&target);
    let copy = copy.open();
    for id in &stored {
        assert_eq!(record(&*copy, *id).await.state, State::Queued);
    }
    let counted: u64 = made.counts.iter().map(|it| it.events).sum();
    assert!(counted >= 58, "{counted}");
}

/// Returns the store as a crash leaves it: what was written last is in the log only.
fn crashed_copy(place: &TestStore) -> TestStore {
    let crashed = TestStore::new();
    for suffix in ["", "-wal"] {
        let path = |place: &TestStore| beside(place, &format!("relay.db{suffix}"));
        fs::copy(path(place), path(&crashed)).unwrap();
    }
    crashed
}

#[tokio::test]
async fn backup_of_a_stopped_or_crashed_store_is_complete() {
    let place = TestStore::new();
    let store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    let crashed = crashed_copy(&place);
    drop(store);

    for place in [&place, &crashed] {
        let target = beside(place, "backup.db");
        make(place, &target).await.unwrap();
        assert_eq!(record(&*restore(&target).open(), id).await.state, State::Queued);
    }
}

#[tokio::test]
async fn interrupted_backup_leaves_nothing() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, large_webhook(4 * 1024 * 1024)).await;
    let (before, target) = (names(&place), beside(&place, "backup.db"));

    for stop_at in [true, false] {
        let (partial, whole) = (beside(&place, "backup.db.partial"), target.clone());
        let made = make_with(place.settings(), &target, move |progress, control| {
            if matches!(progress, BackupProgress::Copying { .. }) == stop_at {
                assert!(partial.exists() && !whole.exists());
                control.stop();
            }
        });
        let made = made.await;
        assert!(matches!(made, Err(BackupError::Interrupted)), "{made:?}");
        assert_eq!(names(&place), before);
    }
}

#[tokio::test]
async fn what_a_killed_backup_left_is_replaced() {
    let place = TestStore::new();
    let _store = place.open();
    let (partial, target) = (beside(&place, "backup.db.partial"), beside(&place, "backup.db"));
    fs::write(&partial, "half of a backup").unwrap();

    let running = fs::File::open(&partial).unwrap();
    running.try_lock().unwrap();
    assert!(matches!(make(&place, &target).await, Err(BackupError::Running(_))));
    drop(running);
    make(&place, &target).await.unwrap();

    assert!(target.exists() && !partial.exists());
}

#[tokio::test]
async fn backup_overwrites_nothing() {
    let place = TestStore::new();
    let _store = place.open();
    let (taken, link) = (beside(&place, "taken"), beside(&place, "link"));
    fs::write(&taken, "precious").unwrap();
    symlink("gone", &link).unwrap();

    for target in [&taken, &link, &place.settings().path] {
        let made = make(&place, target).await;
        assert!(matches!(made, Err(BackupError::Exists(_))), "{made:?}");
    }
    for name in ["relay.db-journal", "sub/../relay.db-journal"] {
        fs::create_dir_all(beside(&place, "sub")).unwrap();
        let made = make(&place, &beside(&place, name)).await;
        assert!(matches!(made, Err(BackupError::OwnName(_))), "{made:?}");
    }
    // Another program takes the name at the last moment.
    let target = beside(&place, "backup.db");
    let other = target.clone();
    let made =
        make_with(place.settings(), &target, move |_, _| fs::write(&other, "precious").unwrap());
    let made = made.await;
    assert!(matches!(made, Err(BackupError::Exists(_))), "{made:?}");
    for path in [&taken, &target] {
        assert_eq!(fs::read_to_string(path).unwrap(), "precious");
    }
}

#[tokio::test]
async fn backup_without_room_for_it_is_refused() {
    let place = TestStore::new();
    let _store = place.open();
    let before = names(&place);
    let settings = Settings { reserve_bytes: Some(u64::MAX / 2), ..place.settings() };

    let refused = make_with(settings, &beside(&place, "backup.db"), |_, _| {}).await.unwrap_err();

    assert!(matches!(refused, BackupError::NoRoom { .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains(" MiB are free on ") && text.contains("in reserve"), "{text}");
    assert_eq!(names(&place), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_is_given_up_when_the_log_grows_too_long() {
    let place = TestStore::new();
    let settings = Settings { reserve_bytes: Some(0), ..place.settings() };
    let store = Arc::new(Sqlite::open(&settings).unwrap());
    for _ in 0..40 {
        store_one(&*store, large_webhook(1024 * 1024)).await;
    }
    let target = beside(&place, "backup.db");

    let (writing, runtime) = (Arc::clone(&store), Handle::current());
    let made = make_with(settings, &target, move |_, _| {
        runtime.block_on(store_one(&*writing, large_webhook(1024 * 1024)));
    });
    let made = made.await;

    assert!(matches!(made, Err(BackupError::LogGrew(_))), "{made:?}");
    assert!(!target.exists() && !beside(&place, "backup.db.partial").exists());
    store.ready().await.unwrap();
}

/// A store with an event in each state that matters, and a backup of it.
struct Original {
    backup: PathBuf,
    unmapped: EventId,
    sending: EventId,
    held: EventId,
    delivered: EventId,
    _place: TestStore,
}

impl Original {
    async fn new() -> Original {
        let place = TestStore::new();
        let store = place.open();
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(store_one(&*store, webhook(at(0))).await);
        }
        let [delivered, held, sending, unmapped] = ids[..] else { panic!() };
        let claimed = claim(&*store, at(0), 3).await;
        let of = |id| claimed.iter().find(|it| it.claim.event == id).unwrap().claim;
        store.advance(of(delivered), plan_and_send(&["a"])).await.unwrap();
        store.advance(of(delivered), step(settle(State::Delivered))).await.unwrap();
        store.advance(of(held), plan_and_send(&["b", "c"])).await.unwrap();
        store.advance(of(held), step(settle(State::Held))).await.unwrap();
        store.advance(of(sending), plan_and_send(&["d"])).await.unwrap();
        let backup = beside(&place, "backup.db");
        make(&place, &backup).await.unwrap();
        Original { backup, unmapped, sending, held, delivered, _place: place }
    }
}

async fn may_repeat(store: &dyn Store, id: EventId) -> Vec<bool> {
    record(store, id).await.requests.iter().map(|it| it.may_repeat).collect()
}

#[tokio::test]
async fn undelivered_events_of_a_restored_backup_are_possible_duplicates() {
    let original = Original::new().await;
    let place = restore(&original.backup);

    let store = Sqlite::open(&place.settings()).unwrap();

    let restored = store.restored.unwrap();
    assert_eq!((restored.made_at, restored.queued, restored.held), (at(5), 2, 1));
    assert_eq!(may_repeat(&store, original.sending).await, [true]);
    assert_eq!(may_repeat(&store, original.held).await, [true, true]);
    assert_eq!(may_repeat(&store, original.delivered).await, [false]);
    let reason = record(&store, original.unmapped).await.reason.unwrap();
    assert!(reason.contains("restored from a backup"), "{reason}");
    let claimed = claim(&store, at(9), 9).await;
    let of = |id| claimed.iter().find(|it| it.claim.event == id).unwrap();
    assert!(of(original.unmapped).may_repeat && of(original.unmapped).suspect.is_none());
    let claim = of(original.unmapped).claim;
    store.advance(claim, plan_and_send(&["e", "f"])).await.unwrap();
    assert_eq!(may_repeat(&store, original.unmapped).await, [true, true]);
    let requests = of(original.sending).requests.as_ref().unwrap();
    assert_eq!(requests[0].state, RequestState::Sending);

    // Once it is delivered, a later replay is no more doubtful than any other.
    store.advance(claim, step(settle(State::Delivered))).await.unwrap();
    assert_eq!(store.recount().await.unwrap(), Recounted::default());
    drop(store);
    assert_eq!(Sqlite::open(&place.settings()).unwrap().restored, None, "only once");
}

#[tokio::test]
async fn new_events_of_a_restored_backup_are_no_duplicates() {
    let original = Original::new().await;
    let place = restore(&original.backup);
    let store = place.open();
    let new = store_one(&*store, webhook(at(7))).await;

    let claimed = claim(&*store, at(9), 9).await;
    let claimed = claimed.iter().find(|it| it.claim.event == new).unwrap();
    store.advance(claimed.claim, plan_and_send(&["new"])).await.unwrap();

    assert!(!claimed.may_repeat);
    assert_eq!(may_repeat(&*store, new).await, [false]);
}

#[tokio::test]
async fn undelivered_events_of_a_restored_backup_are_held_if_asked() {
    let original = Original::new().await;
    let place = restore(&original.backup);
    let settings = Settings { restored_events: RestoredEvents::Hold, ..place.settings() };

    let store = Sqlite::open(&settings).unwrap();

    assert!(claim(&store, at(9), 9).await.is_empty());
    assert_eq!(store.recount().await.unwrap(), Recounted::default());
    for id in [original.unmapped, original.sending, original.held] {
        assert_eq!(record(&store, id).await.state, State::Held);
    }
    let release = |id, decision| store.release(release(id, decision, at(9)));
    let arrived = release(original.sending, HoldDecision::AlreadyArrived).await.unwrap();
    assert_eq!(arrived, ReleaseOutcome::Delivered);
    let again = release(original.unmapped, HoldDecision::SendAgain).await.unwrap();
    assert_eq!(again, ReleaseOutcome::Queued);
    let claimed = claim_one(&store, at(9)).await;
    assert!(claimed.may_repeat);
    store.advance(claimed.claim, plan_and_send(&["e"])).await.unwrap();
    store.advance(claimed.claim, step(send(0))).await.unwrap();
    assert_eq!(may_repeat(&store, original.unmapped).await, [true]);
}

#[tokio::test]
async fn restored_backup_beside_the_log_of_another_database_is_refused() {
    let original = Original::new().await;
    let place = restore(&original.backup);
    let path = place.settings().path;
    let log = beside(&place, "relay.db-wal");
    let busy = TestStore::new();
    let store = busy.open();
    store_one(&*store, webhook(at(0))).await;
    fs::copy(beside(&busy, "relay.db-wal"), &log).unwrap();
    let before = fs::read(&path).unwrap();

    let unlimited = CheckLimits { time: None, log_bytes: u64::MAX };
    let refusals = [
        Sqlite::open(&place.settings()).unwrap_err(),
        Sqlite::open_shared(&place.settings()).unwrap_err(),
        check(&path, unlimited).await.unwrap_err(),
    ];

    for refused in refusals {
        assert!(matches!(refused, OpenError::LogLeftOver { .. }), "{refused}");
        assert!(refused.to_string().contains("remove "), "{refused}");
    }
    assert_eq!(fs::read(&path).unwrap(), before, "it is not changed");
    fs::remove_file(&log).unwrap();
    assert_eq!(Sqlite::open(&place.settings()).unwrap().restored.unwrap().queued, 2);
}

#[tokio::test]
async fn log_of_a_restored_backup_itself_is_used() {
    let original = Original::new().await;
    let place = restore(&original.backup);
    // A command opens it first, as `events list` before the start.
    Sqlite::open_shared(&place.settings()).unwrap().close().await;
    let store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    let crashed = crashed_copy(&place);

    let store = crashed.open();

    assert_eq!(record(&*store, id).await.state, State::Queued);
}

#[tokio::test]
async fn backup_of_an_older_store_can_be_restored() {
    let place = TestStore::new();
    let id = store_one(&*place.open(), webhook(at(0))).await;
    let file = Connection::open(&place.settings().path).unwrap();
    set_version(&file, 14);
    file.execute_batch("ALTER TABLE events DROP COLUMN may_repeat").unwrap();
    drop(file);
    let target = beside(&place, "backup.db");
    make(&place, &target).await.unwrap();

    let place = restore(&target);
    let store = Sqlite::open(&place.settings()).unwrap();

    assert_eq!(store.restored.unwrap().queued, 1);
    assert!(claim_one(&store, at(9)).await.may_repeat);
    assert_eq!(record(&store, id).await.state, State::Queued);
}

/// Returns the messages of all that opens a store.
async fn refusals(place: &TestStore) -> Vec<OpenError> {
    let settings = place.settings();
    let unlimited = CheckLimits { time: None, log_bytes: u64::MAX };
    let BackupError::Open(backup) = make(place, &beside(place, "backup.db")).await.unwrap_err()
    else {
        panic!("the store is the reason")
    };
    vec![
        Sqlite::open_shared(&settings).unwrap_err(),
        backup,
        check(&settings.path, unlimited).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn copy_without_its_log_is_called_incomplete() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, webhook(at(0))).await;
    let copy = restore(&place.settings().path);

    let mut refused = refusals(&copy).await;
    refused.push(Sqlite::open(&copy.settings()).unwrap_err());

    for refused in refused {
        assert!(matches!(refused, OpenError::Incomplete { .. }), "{refused}");
        assert!(refused.to_string().contains("relay.db-wal is missing"), "{refused}");
    }
    fs::copy(beside(&place, "relay.db-wal"), beside(&copy, "relay.db-wal")).unwrap();
    assert_eq!(claim(&*copy.open(), at(0), 9).await.len(), 1);
}

#[tokio::test]
async fn every_other_file_is_called_what_it_is() {
    let check = async |write: &dyn Fn(&Path), expected: &str| {
        let place = TestStore::new();
        write(&place.settings().path);
        for refused in refusals(&place).await {
            assert!(refused.to_string().contains(expected), "{refused}");
        }
        Sqlite::open(&place.settings()).map(drop).map_err(|refused| refused.to_string())
    };
    let empty = check(&|path| fs::write(path, "").unwrap(), "is empty (0 bytes)").await;
    assert_eq!(empty, Ok(()), "a server begins a new store in it");
    let cut_off = |path: &Path| {
        fs::write(path, "").unwrap();
        fs::write(path.with_file_name("relay.db-wal"), "its log").unwrap();
    };
    let expected = "is empty (0 bytes), but its log";
    assert!(check(&cut_off, expected).await.unwrap_err().contains(expected));
    let text = |path: &Path| fs::write(path, "a text of another program\n".repeat(99)).unwrap();
    let expected = "it is not an SQLite database";
    assert!(check(&text, expected).await.unwrap_err().contains(expected));
    let expected = "is no regular file";
    let folder = |path: &Path| fs::create_dir(path).unwrap();
    assert!(check(&folder, expected).await.unwrap_err().contains(expected));
}

#[tokio::test]
async fn store_at_its_former_place_is_not_replaced_by_an_empty_one() {
    let place = TestStore::new();
    let former = beside(&place, "former.db");
    drop(Sqlite::open(&Settings::new(&former)).unwrap());
    let settings = Settings { former_path: Some(former.clone()), ..place.settings() };

    for refused in [Sqlite::open(&settings), Sqlite::open_shared(&settings)] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, OpenError::Moved { .. }), "{refused}");
        assert!(refused.to_string().contains(&format!("sqlite:{}", former.display())), "{refused}");
    }
    assert!(!settings.path.exists());
    fs::rename(&former, &settings.path).unwrap();
    Sqlite::open(&settings).unwrap();
}
