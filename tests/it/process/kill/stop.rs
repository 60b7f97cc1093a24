//! A stop by SIGTERM does not count as a crash, even if events in progress could not be finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use rusqlite::Connection;
use savio_relay::store::Sqlite;
use savio_relay::store::sqlite::Settings;
use tokio::net::TcpListener;

use super::{MAPPING, send};
use crate::support::relay::{Relay, SECRET, http};
use crate::support::wait::until;

/// More events than may be in flight.
const EVENTS: usize = 30;

/// Starts a stand-in for Savio that accepts and counts connections and never responds.
async fn start_silent_savio() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::<AtomicUsize>::default();
    let count = connections.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            open.push(connection);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (format!("http://{address}/app/api/"), connections)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clean_stop_releases_all_claims() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/survey.toml"), MAPPING).unwrap();
    let (savio, connections) = start_silent_savio().await;
    let variables = [
        ("TYPEFORM_SECRET", SECRET),
        ("SAVIO_API_TOKEN", "token"),
        ("SAVIO_RELAY_SAVIO__BASE_URL", savio.as_str()),
        ("SAVIO_RELAY_SAVIO__MAX_IN_FLIGHT", "2"),
        ("SAVIO_RELAY_SERVER__SHUTDOWN_TIMEOUT", "50ms"),
    ];
    let relay = Relay::start(folder.path(), &variables);
    let client = http();
    for number in 0..EVENTS {
        let answer = send(&client, &relay.url, &number.to_string()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }
    let file = Connection::open(folder.path().join("relay.db")).unwrap();
    let count = |sql| file.query_row(sql, [], |row| row.get::<_, usize>(0)).unwrap();
    let unmapped = "SELECT count(*) FROM events WHERE lease_until IS NOT NULL
                        AND number NOT IN (SELECT event FROM plans)";
    until(|| connections.load(Ordering::SeqCst) >= 2 && count(unmapped) > 0).await;

    assert!(relay.stop().success());

    assert_eq!(count("SELECT count(*) FROM events WHERE lease_until IS NOT NULL"), 0);
    drop(Sqlite::open(&Settings::new(folder.path().join("relay.db"))).unwrap());
    assert_eq!(count("SELECT count(*) FROM suspects"), 0);
}
