//! Steps of an event: each is written as a whole, and only under a claim that holds.

use savio_relay::event::{EventId, Outcome, State};
use savio_relay::store::{Attempt, Claim, NextStep, Progress, RequestState, StoreError};
use serde_json::json;

use crate::support::store::{
    TestStore, after, at, attempt, claim_from, claim_one, name, plan_and_send, record, request,
    send, settle, step, store_one, wait, waiting, webhook,
};

#[tokio::test]
async fn lost_claim_writes_nothing() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    let lost = claim_one(store, at(0)).await.claim;
    let held = claim_one(store, at(60)).await.claim;
    let before = record(store, id).await;

    let late = Progress { notes: vec!["late".to_owned()], ..plan_and_send(&["slow"]) };
    let refused = store.advance(lost, late).await;

    assert_eq!(refused, Err(StoreError::ClaimLost));
    assert_eq!(record(store, id).await, before);
    store.advance(held, plan_and_send(&["slow"])).await.unwrap();
}

#[tokio::test]
async fn waiting_and_settling_end_the_claim() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(0))).await;
    let first = claim_one(store, at(0)).await.claim;
    store.advance(first, step(wait(5))).await.unwrap();

    assert_eq!(store.advance(first, step(wait(9))).await, Err(StoreError::ClaimLost));

    let second = claim_one(store, at(5)).await.claim;
    store.advance(second, step(settle(State::Dead))).await.unwrap();
    assert_eq!(store.advance(second, step(wait(9))).await, Err(StoreError::ClaimLost));
    let unknown = Claim { event: EventId::new(at(0)), token: 1 };
    assert_eq!(store.advance(unknown, step(wait(9))).await, Err(StoreError::ClaimLost));
}

#[tokio::test]
async fn settlement_after_the_lease_counts_until_a_new_claim() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;

    store
        .advance(claim, step(NextStep::Settle { state: State::Dead, reason: None, at: at(99) }))
        .await
        .unwrap();

    assert_eq!(record(store, id).await.state, State::Dead);
}

#[tokio::test]
async fn event_resumes_at_its_failed_request() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    let done = Attempt { savio_id: Some(json!(42)), ..attempt(0, Outcome::Done) };

    store.advance(claim, plan_and_send(&["first", "second"])).await.unwrap();
    store.advance(claim, after(done, send(1))).await.unwrap();
    store.advance(claim, after(attempt(1, Outcome::Retry), wait(5))).await.unwrap();
    let again = claim_one(store, at(5)).await;

    let mut first = waiting("first");
    first.state = RequestState::Done;
    first.savio_id = Some(json!(42));
    assert_eq!(again.requests, Some(vec![first, waiting("second")]));
    assert_eq!((again.tries, again.queued_at), (1, at(0)));
}

#[tokio::test]
async fn outcome_determines_the_state_of_its_request() {
    use RequestState::{Done, Refused, Waiting};
    check(Outcome::Done, Done, false).await;
    check(Outcome::Refused, Refused, false).await;
    check(Outcome::Retry, Waiting, false).await;
    check(Outcome::Paused, Waiting, false).await;
    check(Outcome::Unreachable, Waiting, false).await;
    check(Outcome::Unanswered, Waiting, true).await;
    check(Outcome::Interrupted, Waiting, true).await;
}

async fn check(outcome: Outcome, state: RequestState, may_repeat: bool) {
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;

    store.advance(claim, plan_and_send(&["slow"])).await.unwrap();
    store.advance(claim, after(attempt(0, outcome), wait(5))).await.unwrap();

    let request = record(store, id).await.requests.remove(0);
    assert_eq!((request.state, request.may_repeat), (state, may_repeat), "{outcome:?}");
}

#[tokio::test]
async fn request_that_may_have_arrived_stays_marked() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;

    store.advance(claim, plan_and_send(&["slow"])).await.unwrap();
    store.advance(claim, after(attempt(0, Outcome::Unanswered), send(0))).await.unwrap();
    store.advance(claim, after(attempt(0, Outcome::Retry), wait(5))).await.unwrap();

    let requests = claim_one(store, at(5)).await.requests.unwrap();
    assert!(requests[0].may_repeat);
}

#[tokio::test]
async fn tries_count_consecutive_failures() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(0))).await;
    let mut tries = Vec::new();
    for (attempt, next) in [
        (Some(attempt(0, Outcome::Retry)), wait(1)),
        (Some(attempt(0, Outcome::Unreachable)), wait(2)),
        (None, wait(3)),
        (Some(attempt(0, Outcome::Paused)), wait(3)),
        (Some(attempt(0, Outcome::Done)), wait(4)),
        (Some(attempt(1, Outcome::Retry)), wait(5)),
    ] {
        let claimed = claim_one(store, at(5)).await;
        let planned = claimed.requests.is_none().then(|| vec![request("a"), request("b")]);
        let progress = Progress { planned, attempt, ..step(next) };
        store.advance(claimed.claim, progress).await.unwrap();
        tries.push(claimed.tries);
    }

    assert_eq!(tries, [0, 1, 2, 2, 2, 0], "a pause is the destination's, and no try");
}

#[tokio::test]
async fn all_attempts_of_an_event_are_kept() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    let mut refused = attempt(0, Outcome::Refused);
    refused.status = Some(400);
    refused.detail = Some("problem is too long".to_owned());

    store.advance(claim, plan_and_send(&["slow"])).await.unwrap();
    store.advance(claim, after(attempt(0, Outcome::Retry), send(0))).await.unwrap();
    store.advance(claim, after(refused.clone(), settle(State::Dead))).await.unwrap();

    let record = record(store, id).await;
    assert_eq!(record.attempts, [attempt(0, Outcome::Retry), refused]);
    assert_eq!(record.requests[0].state, RequestState::Refused);
}

#[tokio::test]
async fn reasons_and_notes_survive_reopening() {
    let place = TestStore::new();
    let store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    let claim = claim_one(&*store, at(0)).await.claim;
    let first = Progress { notes: vec!["no company".to_owned()], ..plan_and_send(&["slow"]) };
    let second = Progress { notes: vec!["no tags".to_owned()], ..step(wait(5)) };
    store.advance(claim, first).await.unwrap();
    store.advance(claim, second).await.unwrap();
    drop(store);

    let record = record(&*place.open(), id).await;

    assert_eq!((record.state, record.due_at), (State::Queued, Some(at(5))));
    assert_eq!(record.reason.as_deref(), Some("savio said 503"));
    assert_eq!(record.notes, ["no company", "no tags"]);
}

#[tokio::test]
async fn step_of_a_missing_request_writes_nothing() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;

    let progress = Progress { planned: Some(vec![request("slow")]), ..step(send(1)) };
    let refused = store.advance(claim, progress).await;

    assert!(matches!(refused, Err(StoreError::Impossible { .. })));
    assert_eq!(record(store, id).await.requests, []);
    store.advance(claim, plan_and_send(&["slow"])).await.unwrap();
}

#[tokio::test]
async fn settled_and_held_events_leave_the_queue() {
    let place = TestStore::new();
    let store = &*place.open();
    for state in [State::Delivered, State::Ignored, State::Held, State::Dead] {
        let id = store_one(store, webhook(at(0))).await;
        let claim = claim_one(store, at(0)).await.claim;

        store.advance(claim, step(settle(state))).await.unwrap();

        let settled_at = (state != State::Held).then_some(at(9));
        let record = record(store, id).await;
        assert_eq!((record.state, record.settled_at), (state, settled_at));
        assert_eq!(claim_from(store, &["form"], at(1_000_000), 9).await, []);
    }
    assert_eq!(store.next_due(vec![name("form")]).await.unwrap(), None);
}
