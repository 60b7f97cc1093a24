//! What became of the events of a replay, and the list of replays.

use std::time::Duration;

use rusqlite::Connection;
use savio_relay::event::{EventId, State};
use savio_relay::store::{
    EventFilter, HoldDecision, ReplayId, ReplayProgress, ReplayRequest, ReplayResults, Store,
    run_replay,
};

use crate::support::store::{
    TestStore, at, claim, claim_one, plan_and_send, release, settle, somebody, step, store_one,
    webhook,
};

/// Stores events that are dead.
async fn dead(store: &dyn Store, count: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(store_one(store, webhook(at(0))).await);
        next(store, State::Dead).await;
    }
    ids
}

/// Claims the next event, and settles or holds it.
async fn next(store: &dyn Store, state: State) -> EventId {
    let claim = claim_one(store, at(50)).await.claim;
    if matches!(state, State::Delivered | State::Held) {
        store.advance(claim, plan_and_send(&["one"])).await.unwrap();
    }
    store.advance(claim, step(settle(state))).await.unwrap();
    claim.event
}

async fn replay(store: &dyn Store, ids: Vec<EventId>) -> ReplayId {
    let (id, filter) = (ReplayId::new(at(20)), EventFilter { ids, ..EventFilter::default() });
    let order = ReplayRequest { id, filter, interval: Duration::ZERO, begun_at: at(20) };
    store.start_replay(order, somebody()).await.unwrap();
    run_replay(store, id, |_| {}).await.unwrap();
    id
}

async fn progress(store: &dyn Store, id: ReplayId) -> ReplayProgress {
    store.replay(id).await.unwrap().expect("it was begun")
}

async fn results(store: &dyn Store, id: ReplayId) -> [u64; 5] {
    let results = progress(store, id).await.results.expect("all are followed");
    let ReplayResults { delivered, dead, ignored, held, queued } = results;
    [delivered, dead, ignored, held, queued]
}

#[tokio::test]
async fn results_are_counted_with_each_event_and_kept_over_a_restart() {
    let place = TestStore::new();
    let store = place.open();
    let ids = dead(&*store, 5).await;
    let id = replay(&*store, ids).await;
    assert_eq!(results(&*store, id).await, [0, 0, 0, 0, 5]);
    assert!(progress(&*store, id).await.is_running());

    for state in [State::Delivered, State::Dead, State::Ignored] {
        next(&*store, state).await;
    }
    let held = next(&*store, State::Held).await;

    assert_eq!(results(&*store, id).await, [1, 1, 1, 1, 1]);
    store.close().await;
    let store = place.open();
    assert_eq!(results(&*store, id).await, [1, 1, 1, 1, 1]);
    next(&*store, State::Delivered).await;
    assert_eq!(results(&*store, id).await, [2, 1, 1, 1, 0]);
    assert!(!progress(&*store, id).await.is_running(), "what is held waits for a person");

    store.release(release(held, HoldDecision::SendAgain, at(60))).await.unwrap();
    assert_eq!(results(&*store, id).await, [2, 1, 1, 0, 1]);
    store.advance(claim_one(&*store, at(70)).await.claim, step(settle(State::Held))).await.unwrap();
    assert_eq!(results(&*store, id).await, [2, 1, 1, 1, 0]);
    store.release(release(held, HoldDecision::AlreadyArrived, at(80))).await.unwrap();
    assert_eq!(results(&*store, id).await, [3, 1, 1, 0, 0]);
}

#[tokio::test]
async fn later_replay_of_an_event_leaves_the_results_of_the_earlier() {
    let place = TestStore::new();
    let store = &*place.open();
    let ids = dead(store, 2).await;
    let first = replay(store, ids.clone()).await;
    next(store, State::Dead).await;
    next(store, State::Held).await;

    let second = replay(store, ids).await;
    next(store, State::Delivered).await;
    next(store, State::Delivered).await;

    assert_eq!(results(store, first).await, [0, 1, 0, 1, 0]);
    assert_eq!(results(store, second).await, [2, 0, 0, 0, 0]);
    // Of no replay, it counts for none.
    store_one(store, webhook(at(0))).await;
    next(store, State::Delivered).await;
    assert_eq!(results(store, second).await, [2, 0, 0, 0, 0]);
}

#[tokio::test]
async fn restored_events_of_a_canceled_replay_are_no_results() {
    let place = TestStore::new();
    let store = &*place.open();
    let ids = dead(store, 3).await;
    let id = replay(store, ids.clone()).await;
    let claimed = claim_one(store, at(50)).await.claim;

    store.cancel_replay(id, at(55), somebody()).await.unwrap();
    run_replay(store, id, |_| {}).await.unwrap();

    assert_eq!(
        (progress(store, id).await.given_back, results(store, id).await),
        (2, [0, 0, 0, 0, 1])
    );
    store.advance(claimed, step(settle(State::Ignored))).await.unwrap();
    assert_eq!(results(store, id).await, [0, 0, 1, 0, 0]);
    // The restored ones are dead as before, and are those of a new replay only.
    let again = replay(store, ids).await;
    assert_eq!(results(store, again).await, [0, 0, 0, 0, 3]);
    assert_eq!(results(store, id).await, [0, 0, 1, 0, 0]);
}

#[tokio::test]
async fn results_of_a_replay_that_an_earlier_program_ran_are_not_known() {
    let place = TestStore::new();
    let store = place.open();
    let ids = dead(&*store, 2).await;
    let id = replay(&*store, ids).await;
    store.close().await;
    let file = Connection::open(place.settings().path).unwrap();
    file.execute("UPDATE replays SET followed = 1", []).unwrap();
    drop(file);

    let store = &*place.open();

    assert_eq!(progress(store, id).await.results, None);
    assert_eq!(store.replays(10, None).await.unwrap().replays[0].progress.results, None);
}

#[tokio::test]
async fn running_replays_are_listed_before_ended_ones_page_by_page() {
    let place = TestStore::new();
    let store = &*place.open();
    let ids = dead(store, 5).await;
    let mut all = Vec::new();
    for id in &ids {
        all.push(replay(store, vec![*id]).await);
    }
    for claimed in claim(store, at(50), 5).await {
        let event = claimed.claim.event;
        if [ids[1], ids[3], ids[4]].contains(&event) {
            store.advance(claimed.claim, step(settle(State::Delivered))).await.unwrap();
        }
    }
    let expected = [2, 0, 4, 3, 1].map(|at| all[at]);

    for limit in [1, 2, 3, 10] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = store.replays(limit, after).await.unwrap();
            assert!(page.replays.len() <= limit);
            listed.extend(page.replays.iter().map(|it| it.progress.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(listed, expected, "{limit}");
    }
    let page = store.replays(1, None).await.unwrap();
    assert_eq!(page.replays[0].by.as_deref(), Some(somebody().who.as_str()));
    assert!(page.replays[0].which.as_deref().unwrap().starts_with("event "), "{page:?}");
}
