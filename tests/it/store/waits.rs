//! The contract of every store for a clock that is set back: no wait becomes longer.

use std::time::Duration;

use savio_relay::event::{EventId, Outcome, State};
use savio_relay::store::{
    EventFilter, HoldDecision, ReplayId, ReplayRequest, Store, Webhook, WebhookOrigin, run_replay,
};

use crate::support::store::{
    TestStore, after, at, attempt, claim, claim_one, from, ids, name, plan_and_send, record,
    release, renewals, settle, somebody, step, store_one, wait, webhook,
};

const DAY: i64 = 24 * 3_600;

async fn rewind(store: &dyn Store, seconds: i64) {
    store.rewind(vec![name("form")], at(seconds)).await.unwrap();
}

/// Returns the due time in whole seconds.
async fn due(store: &dyn Store, id: EventId) -> i64 {
    record(store, id).await.due_at.unwrap().duration_since(at(0)).as_secs()
}

/// Stores an event that failed at second 1 and waits until second 60.
async fn waiting(store: &dyn Store) -> EventId {
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    store.advance(claim, plan_and_send(&["first"])).await.unwrap();
    store.advance(claim, after(attempt(0, Outcome::Retry), wait(60))).await.unwrap();
    id
}

#[tokio::test]
async fn retry_wait_keeps_its_length_when_the_clock_is_set_back() {
    let place = TestStore::new();
    let store = place.open();
    let id = waiting(&*store).await;

    rewind(&*store, 2).await;
    assert_eq!(due(&*store, id).await, 60, "the clock was not set back");
    rewind(&*store, -DAY).await;
    assert_eq!(due(&*store, id).await, 59 - DAY);
    rewind(&*store, -DAY).await;
    assert_eq!(due(&*store, id).await, 59 - DAY, "it is moved once");

    drop(store);
    let store = place.open();
    rewind(&*store, -2 * DAY).await;
    assert_eq!(due(&*store, id).await, 59 - 2 * DAY);
    assert_eq!(ids(&claim(&*store, at(60 - 2 * DAY), 9).await), [id]);
}

#[tokio::test]
async fn retry_waits_end_for_the_named_sources_only() {
    let place = TestStore::new();
    let store = place.open();
    let id = waiting(&*store).await;
    // It waits for its time, and not since an attempt failed.
    let other = store_one(&*store, webhook(at(0))).await;
    let claim_held = claim_one(&*store, at(0)).await.claim;
    store.advance(claim_held, step(wait(90))).await.unwrap();

    store.end_retry_waits(vec![name("another")], at(2)).await.unwrap();
    assert_eq!(due(&*store, id).await, 60);
    store.end_retry_waits(vec![name("form")], at(2)).await.unwrap();

    assert_eq!((due(&*store, id).await, due(&*store, other).await), (2, 90));
    assert_eq!(ids(&claim(&*store, at(2), 9).await), [id]);
}

#[tokio::test]
async fn wait_without_an_attempt_counts_from_the_last_renewal() {
    let place = TestStore::new();
    let store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    let claim = claim_one(&*store, at(0)).await.claim;
    store.renew(renewals(&[claim]), at(3_600 + 60)).await.unwrap();
    store.advance(claim, step(wait(3_630))).await.unwrap();

    rewind(&*store, 3_601).await;
    assert_eq!(due(&*store, id).await, 3_630);
    rewind(&*store, 1_800).await;
    assert_eq!(due(&*store, id).await, 1_830);
}

#[tokio::test]
async fn lease_keeps_its_length_when_the_clock_is_set_back() {
    let place = TestStore::new();
    let store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    let claim_held = claim_one(&*store, at(DAY)).await.claim;

    rewind(&*store, 0).await;

    assert_eq!(store.next_due(vec![name("form")]).await.unwrap(), Some(at(60)));
    assert!(claim(&*store, at(59), 9).await.is_empty());
    let renewed = store.renew(renewals(&[claim_held]), at(120)).await.unwrap();
    assert_eq!(renewed, [claim_held], "who holds it, keeps it");
    assert_eq!(ids(&claim(&*store, at(120), 9).await), [id]);
}

#[tokio::test]
async fn received_or_released_event_is_due_at_once_after_a_rewind() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, webhook(at(DAY))).await;
    let released = store_one(&*store, webhook(at(0))).await;
    let claim = claim_one(&*store, at(0)).await.claim;
    store.advance(claim, step(settle(State::Held))).await.unwrap();
    store.release(release(released, HoldDecision::SendAgain, at(DAY))).await.unwrap();

    rewind(&*store, 0).await;

    assert_eq!(crate::support::store::claim(&*store, at(0), 9).await.len(), 2);
}

#[tokio::test]
async fn import_keeps_its_intervals_after_a_rewind() {
    let place = TestStore::new();
    let store = place.open();
    let mut imported = Vec::new();
    for place in 0..3 {
        let origin = WebhookOrigin::Imported { due_at: at(DAY + 10 * place) };
        imported.push(store_one(&*store, Webhook { origin, ..webhook(at(DAY)) }).await);
    }

    rewind(&*store, 0).await;

    for (place, id) in (0..).zip(imported) {
        assert_eq!(due(&*store, id).await, 10 * place);
    }
}

#[tokio::test]
async fn replay_keeps_its_intervals_after_a_rewind() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..600 {
        store_one(&*store, webhook(at(0))).await;
    }
    for claimed in claim(&*store, at(0), 600).await {
        store.advance(claimed.claim, step(settle(State::Dead))).await.unwrap();
    }
    let id = ReplayId::new(at(DAY));
    let interval = Duration::from_secs(10);
    let order = ReplayRequest { id, filter: EventFilter::default(), interval, begun_at: at(DAY) };
    store.start_replay(order, somebody()).await.unwrap();
    assert!(store.step_replay(id).await.unwrap().unwrap().has_more);

    rewind(&*store, 0).await;
    run_replay(&*store, id, |_| {}).await.unwrap();

    assert_eq!(claim(&*store, at(0), 600).await.len(), 1);
    assert_eq!(claim(&*store, at(30), 600).await.len(), 3);
    assert_eq!(claim(&*store, at(5_990), 600).await.len(), 600, "these and those before them");
}

#[tokio::test]
async fn rewind_moves_many_events_of_the_given_sources_only() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..1_200 {
        store_one(&*store, webhook(at(DAY))).await;
    }
    let other = store_one(&*store, from("other", at(DAY))).await;

    rewind(&*store, 0).await;

    assert_eq!(claim(&*store, at(0), 2_000).await.len(), 1_200);
    assert_eq!(due(&*store, other).await, DAY);
}
