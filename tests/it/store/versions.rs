//! Versions of the tables: an older store is migrated, and one of a newer program is used if it can be.

use std::fs;

use rusqlite::Connection;
use savio_relay::event::{EventId, State};
use savio_relay::store::sqlite::{OpenError, Sqlite};
use savio_relay::store::{EventFilter, Inbox, PageRequest, Queue};

use super::files::{deployment, post, start, variables};
use crate::support::relay::program;
use crate::support::store::{
    TestStore, at, claim_one, record, set_version, settle, step, store_one, webhook,
};
use crate::support::wait::until_async;

/// Changes a store as a migration of the next release may.
fn migrate_further(store: &Connection) {
    store
        .execute_batch(
            "CREATE TABLE digests (event BLOB PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE) STRICT;
             ALTER TABLE events ADD COLUMN digest TEXT;
             ALTER TABLE counts ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
             UPDATE schema_version SET version = 999",
        )
        .unwrap();
}

fn number(store: &Connection, sql: &str) -> i64 {
    store.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn store_of_the_first_version_is_migrated() {
    let place = TestStore::new();
    let file = Connection::open(&place.settings().path).unwrap();
    file.execute_batch(include_str!("../../../migrations/sqlite/0001_events.sql")).unwrap();
    let (id, time) = (EventId::new(at(0)), at(0).as_microsecond());
    let sql = "INSERT INTO webhooks (source, received_at, headers, body)
               VALUES ('form', ?1, '{}', x'7b7d')";
    file.execute(sql, [time]).unwrap();
    let sql = "INSERT INTO events (id, webhook, payload_start, payload_end, source, state,
                   queued_at, settled_at)
               VALUES (?1, 1, 0, 2, 'form', 'dead', ?2, ?2)";
    file.execute(sql, rusqlite::params![id.as_bytes(), time]).unwrap();
    set_version(&file, 1);
    drop(file);

    let page = PageRequest { limit: 9, after: None };
    let listed = place.open().list(EventFilter::default(), page).await.unwrap();

    assert_eq!((listed.events[0].id, listed.events[0].received_at), (id, at(0)));
}

#[tokio::test]
async fn old_store_is_migrated_by_the_server_only() {
    let place = TestStore::new();
    drop(Sqlite::open(&place.settings()).unwrap());
    set_version(&Connection::open(&place.settings().path).unwrap(), 1);

    let error = Sqlite::open_shared(&place.settings()).unwrap_err();

    assert!(matches!(error, OpenError::Older { .. }), "{error}");
}

#[tokio::test]
async fn store_of_the_version_before_is_left_usable_by_its_program() {
    let place = TestStore::new();
    drop(place.open());
    let file = Connection::open(&place.settings().path).unwrap();
    set_version(&file, 15);

    drop(place.open());

    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let latest = i64::try_from(fs::read_dir(migrations).unwrap().count()).unwrap();
    assert_eq!(number(&file, "SELECT version FROM schema_version"), latest);
    // The program of one version before refuses what is above it.
    assert!(number(&file, "PRAGMA user_version") < latest);
}

#[tokio::test]
async fn store_of_a_newer_program_is_used_and_stays_one_of_it() {
    let place = TestStore::new();
    drop(place.open());
    let file = Connection::open(&place.settings().path).unwrap();
    migrate_further(&file);
    let readable_from = number(&file, "PRAGMA user_version");

    let store = Sqlite::open(&place.settings()).unwrap();
    let id = store_one(&store, webhook(at(0))).await;
    let claimed = claim_one(&store, at(0)).await;
    store.advance(claimed.claim, step(settle(State::Delivered))).await.unwrap();
    store.ready().await.unwrap();

    let newer = store.newer.expect("it is newer").to_string();
    assert!(newer.contains("its tables have version 999"), "{newer}");
    assert_eq!(record(&store, id).await.state, State::Delivered);
    assert_eq!(number(&file, "SELECT version FROM schema_version"), 999);
    assert_eq!(number(&file, "PRAGMA user_version"), readable_from);
    assert!(Sqlite::open_shared(&place.settings()).unwrap().newer.is_some());
}

#[tokio::test]
async fn relay_on_the_store_of_a_newer_program_delivers_and_says_so() {
    let (folder, savio) = deployment().await;
    let variables = variables(&savio);
    assert!(start(folder.path(), &variables).stop().success());
    migrate_further(&Connection::open(folder.path().join("relay.db")).unwrap());

    let relay = start(folder.path(), &variables);

    assert_eq!(post(&relay).await, 202);
    until_async(async || !savio.received_requests().await.unwrap().is_empty()).await;
    let said = relay.startup_output.clone() + &relay.log();
    assert!(said.contains("it was written by a newer savio-relay"), "{said}");
    let mut doctor = program(folder.path());
    let report = doctor.arg("doctor").envs(variables).output().unwrap().stdout;
    let report = String::from_utf8(report).unwrap();
    assert!(report.contains("it was written by a newer savio-relay"), "{report}");
}

#[test]
fn store_that_only_newer_programs_can_use_is_refused() {
    let place = TestStore::new();
    drop(Sqlite::open(&place.settings()).unwrap());
    let file = Connection::open(&place.settings().path).unwrap();
    file.execute_batch("UPDATE schema_version SET version = 99; PRAGMA user_version = 98").unwrap();
    let before = fs::read(&place.settings().path).unwrap();

    let error = Sqlite::open(&place.settings()).unwrap_err();

    assert!(matches!(error, OpenError::Newer { found: 99, readable_from: 98, .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("relay.db was written by a newer savio-relay: "), "{error}");
    assert!(error.contains("version 99, which programs from version 98 on can use"), "{error}");
    assert_eq!(fs::read(&place.settings().path).unwrap(), before);
}

#[test]
fn store_without_a_possible_version_is_called_damaged() {
    for change in [
        "DELETE FROM schema_version",
        "INSERT INTO schema_version (version) VALUES (17)",
        "UPDATE schema_version SET version = -5",
        "UPDATE schema_version SET version = 3",
        "PRAGMA user_version = -5",
    ] {
        let place = TestStore::new();
        drop(Sqlite::open(&place.settings()).unwrap());
        Connection::open(&place.settings().path).unwrap().execute_batch(change).unwrap();

        let error = Sqlite::open(&place.settings()).unwrap_err().to_string();

        assert!(error.contains("it is damaged (its "), "{change}: {error}");
        assert!(error.contains("put a backup in its place"), "{change}: {error}");
    }
}
