//! Events that were claimed at a crash: they are mapped one at a time, and delivered.

use rusqlite::Connection;
use savio_relay::delivery::Settings;
use savio_relay::event::State;

use super::{Relay, created, event, feedback};
use crate::support::store::{TestStore, at, claim, store_one};

#[tokio::test]
async fn hundred_events_claimed_at_a_crash_are_delivered() {
    let place = TestStore::new();
    let store = place.open();
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(store_one(&*store, event(&feedback())).await);
    }
    assert_eq!(claim(&*store, at(0), 100).await.len(), 100);
    drop(store);

    let relay = Relay::on(place, Settings::default()).await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let file = Connection::open(relay.place.settings().path).unwrap();
    let suspects = || {
        let sql = "SELECT count(*) FROM suspects";
        file.query_row(sql, [], |row| row.get::<_, usize>(0)).unwrap()
    };
    assert_eq!(suspects(), 100);
    ids.push(relay.keep(feedback()).await);
    relay.deliver_all(0).await;

    for id in ids {
        assert_eq!(relay.record(id).await.state, State::Delivered);
    }
    assert_eq!(suspects(), 0);
}
