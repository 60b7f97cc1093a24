//! The contract of every store for retention: expired events are purged, and nothing else.

use std::time::Duration;

use savio_relay::event::{EventId, Outcome, State};
use savio_relay::store::maintenance::run_once;
use savio_relay::store::{
    CountFor, EventFilter, NewEvent, ReplayId, ReplayRequest, Store, Webhook,
};

use crate::support::store::{
    TestStore, after, at, attempt, claim, claim_one, from, plan_and_send, settle, somebody, step,
    store_one, wait, webhook,
};

/// Stores an event and settles or holds it at second 9.
async fn settled(store: &dyn Store, state: State) -> EventId {
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    store.advance(claim, plan_and_send(&["slow"])).await.unwrap();
    store.advance(claim, after(attempt(0, Outcome::Done), settle(state))).await.unwrap();
    id
}

async fn is_kept(store: &dyn Store, id: EventId) -> bool {
    store.event(id).await.unwrap().is_some()
}

#[tokio::test]
async fn expired_events_are_purged_and_no_longer_counted() {
    let place = TestStore::new();
    let store = &*place.open();
    for state in [State::Delivered, State::Ignored, State::Dead] {
        let id = settled(store, state).await;

        assert_eq!(store.purge(at(9)).await.unwrap().events, 0);
        assert!(is_kept(store, id).await);
        assert_eq!(store.purge(at(10)).await.unwrap().events, 1);
        assert!(!is_kept(store, id).await);
    }
    assert_eq!(store.counts().await.unwrap(), []);
    assert_eq!(
        store.count_matching(EventFilter::default(), CountFor::Replay).await.unwrap().events(),
        0
    );
}

#[tokio::test]
async fn held_and_queued_events_are_never_purged() {
    let place = TestStore::new();
    let store = &*place.open();
    let held = settled(store, State::Held).await;
    let queued = store_one(store, webhook(at(0))).await;
    let retried = store_one(store, webhook(at(0))).await;
    for claimed in claim(store, at(0), 2).await {
        store.advance(claimed.claim, step(wait(5))).await.unwrap();
    }

    run_once(store, Duration::ZERO, at(1_000_000_000)).await.unwrap();

    for id in [held, queued, retried] {
        assert!(is_kept(store, id).await);
    }
}

#[tokio::test]
async fn number_of_a_purged_event_is_never_reused() {
    let place = TestStore::new();
    let mut store = place.open();
    let mut places = Vec::new();
    for _ in 0..3 {
        for _ in 0..2 {
            store_one(&*store, webhook(at(0))).await;
            let claimed = claim_one(&*store, at(0)).await;
            places.push(claimed.seq);
            store.advance(claimed.claim, step(settle(State::Delivered))).await.unwrap();
        }
        assert_eq!(store.purge(at(10)).await.unwrap().events, 2);
        drop(store);
        store = place.open();
    }

    assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
}

#[tokio::test]
async fn replay_skips_later_events_after_the_newest_was_purged() {
    let place = TestStore::new();
    let store = &*place.open();
    settled(store, State::Dead).await;
    let id = ReplayId::new(at(20));
    let filter = EventFilter { states: vec![State::Dead], ..EventFilter::default() };
    let replay = ReplayRequest { id, filter, interval: Duration::ZERO, begun_at: at(20) };
    store.start_replay(replay, somebody()).await.unwrap();
    assert_eq!(store.purge(at(10)).await.unwrap().events, 1);
    let new = settled(store, State::Dead).await;

    let replay = store.step_replay(id).await.unwrap().unwrap();

    assert_eq!(replay.replayed, 0);
    assert_eq!(store.event(new).await.unwrap().unwrap().state, State::Dead);
}

#[tokio::test]
async fn webhook_is_purged_with_its_last_event() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut two = webhook(at(0));
    let second = EventId::new(at(0));
    two.events.push(NewEvent { id: second, ..two.events[0].clone() });
    let payload = String::from_utf8(two.body.clone()).unwrap();
    let first = store_one(store, two).await;
    let claim = claim_one(store, at(0)).await.claim;
    store.advance(claim, step(settle(State::Delivered))).await.unwrap();

    store.purge(at(10)).await.unwrap();

    assert!(!is_kept(store, first).await);
    assert_eq!(store.event(second).await.unwrap().unwrap().event.payload, payload);
}

#[tokio::test]
async fn purged_delivery_id_is_accepted_again() {
    let place = TestStore::new();
    let store = &*place.open();
    let again = || {
        let mut webhook = webhook(at(0));
        webhook.events[0].delivery_id = Some("a".to_owned());
        webhook
    };
    store_one(store, again()).await;
    let claim = claim_one(store, at(0)).await.claim;
    store.advance(claim, step(settle(State::Delivered))).await.unwrap();
    assert_eq!(store.store(again()).await.unwrap().new_events(), 0);

    store.purge(at(10)).await.unwrap();

    assert_eq!(store.store(again()).await.unwrap().new_events(), 1);
}

#[tokio::test]
async fn many_events_are_purged_in_small_steps() {
    let place = TestStore::new();
    let store = &*place.open();
    for _ in 0..250 {
        settled(store, State::Delivered).await;
    }
    let young = store_one(store, from("other", at(0))).await;

    let first = store.purge(at(10)).await.unwrap();
    run_once(store, Duration::from_secs(10), at(20)).await.unwrap();

    assert!((1..=100).contains(&first.events) && first.has_more, "{first:?}");
    assert_eq!(
        store.count_matching(EventFilter::default(), CountFor::Replay).await.unwrap().events(),
        1
    );
    assert!(is_kept(store, young).await);
}

#[tokio::test]
async fn space_of_purged_events_is_returned_to_the_disk() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..40 {
        let large = Webhook { body: vec![b' '; 1_000_000], ..webhook(at(0)) };
        store_one(&*store, large).await;
        let claim = claim_one(&*store, at(0)).await.claim;
        store.advance(claim, step(settle(State::Delivered))).await.unwrap();
    }
    let first = store.purge(at(10)).await.unwrap();
    assert!(first.events < 10, "a step is small in bytes too: {first:?}");

    run_once(&*store, Duration::from_secs(1), at(11)).await.unwrap();
    drop(store);

    let bytes = std::fs::metadata(place.settings().path).unwrap().len();
    assert!(bytes < 1_000_000, "{bytes}");
}

#[tokio::test]
async fn purge_step_counts_all_that_it_deletes() {
    const MEGABYTE: usize = 1_000_000;
    let spaces = || " ".repeat(MEGABYTE);
    let none = || webhook(at(0));
    for (part, webhook, problem) in [
        ("body", Webhook { body: spaces().into_bytes(), ..none() }, "slow".to_owned()),
        ("decoded", Webhook { decoded: Some(spaces()), ..none() }, "slow".to_owned()),
        (
            "headers",
            Webhook { headers: [("a".to_owned(), spaces())].into(), ..none() },
            "slow".to_owned(),
        ),
        ("planned requests", none(), spaces()),
    ] {
        let place = TestStore::new();
        let store = &*place.open();
        for _ in 0..8 {
            let events = vec![NewEvent { id: EventId::new(at(0)), ..webhook.events[0].clone() }];
            store_one(store, Webhook { events, ..webhook.clone() }).await;
            let claim = claim_one(store, at(0)).await.claim;
            store.advance(claim, plan_and_send(&[&problem])).await.unwrap();
            store.advance(claim, step(settle(State::Delivered))).await.unwrap();
        }

        let first = store.purge(at(10)).await.unwrap();

        // The fifth passes 4 MiB.
        assert_eq!(first.events, 5, "{part}");
        assert!(first.has_more, "{part}");
    }
}

#[tokio::test]
async fn interrupted_replay_is_finished_by_maintenance() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = settled(store, State::Dead).await;
    let replay = ReplayRequest {
        id: ReplayId::new(at(20)),
        filter: EventFilter::default(),
        interval: Duration::ZERO,
        begun_at: at(20),
    };
    store.start_replay(replay, somebody()).await.unwrap();

    run_once(store, Duration::from_hours(1), at(21)).await.unwrap();

    assert_eq!(store.event(id).await.unwrap().unwrap().state, State::Queued);
}

#[tokio::test]
async fn finished_replay_is_purged() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = ReplayId::new(at(20));
    let filter = EventFilter::default();
    let replay = ReplayRequest { id, filter, interval: Duration::ZERO, begun_at: at(20) };
    store.start_replay(replay, somebody()).await.unwrap();

    run_once(store, Duration::from_secs(10), at(30)).await.unwrap();
    assert!(store.replay(id).await.unwrap().is_some());
    run_once(store, Duration::from_secs(10), at(31)).await.unwrap();
    assert!(store.replay(id).await.unwrap().is_none());
}
