//! The contract of every store for replays and releases.

use std::time::Duration;

use jiff::Timestamp;
use savio_relay::event::{EventId, Outcome, State};
use savio_relay::store::{
    Attempt, EventFilter, HoldDecision, Progress, ReleaseOutcome, ReplayId, ReplayProgress,
    ReplayRequest, RequestState, Store, Webhook, run_replay,
};
use serde_json::json;

use crate::support::store::{
    TestStore, after, at, attempt, claim, claim_one, from, name, plan_and_send, record, release,
    send, settle, somebody, step, store_one, webhook,
};

/// Stores an event with two requests, of which the first is done and the second has this outcome.
async fn event_with_outcome(store: &dyn Store, outcome: Outcome, state: State) -> EventId {
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    let done = Attempt { savio_id: Some(json!(42)), ..attempt(0, Outcome::Done) };
    store.advance(claim, plan_and_send(&["first", "second"])).await.unwrap();
    store.advance(claim, after(done, send(1))).await.unwrap();
    store.advance(claim, after(attempt(1, outcome), settle(state))).await.unwrap();
    id
}

async fn dead(store: &dyn Store) -> EventId {
    event_with_outcome(store, Outcome::Refused, State::Dead).await
}

async fn held(store: &dyn Store) -> EventId {
    event_with_outcome(store, Outcome::Unanswered, State::Held).await
}

async fn delivered(store: &dyn Store) -> EventId {
    event_with_outcome(store, Outcome::Done, State::Delivered).await
}

async fn settled(store: &dyn Store, state: State) -> EventId {
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    store.advance(claim, step(settle(state))).await.unwrap();
    id
}

fn all(begun_at: Timestamp) -> ReplayRequest {
    ReplayRequest {
        id: ReplayId::new(begun_at),
        filter: EventFilter::default(),
        interval: Duration::ZERO,
        begun_at,
    }
}

fn only(id: EventId) -> ReplayRequest {
    ReplayRequest { filter: EventFilter { ids: vec![id], ..EventFilter::default() }, ..all(at(20)) }
}

async fn replay(store: &dyn Store, order: ReplayRequest) -> ReplayProgress {
    let id = order.id;
    store.start_replay(order, somebody()).await.unwrap();
    run_replay(store, id, |_| {}).await.unwrap().expect("it was begun")
}

async fn cancel(store: &dyn Store, id: ReplayId) -> ReplayProgress {
    store.cancel_replay(id, at(30), somebody()).await.unwrap();
    run_replay(store, id, |_| {}).await.unwrap().expect("it was begun")
}

/// Claims the event, maps it again to these requests, and returns their states.
async fn states(store: &dyn Store, id: EventId, problems: &[&str]) -> Vec<(RequestState, bool)> {
    let claimed = claim_one(store, at(20)).await;
    assert_eq!((claimed.claim.event, claimed.requests, claimed.replay), (id, None, true));
    let planned = plan_and_send(problems).planned;
    let waits = crate::support::store::wait(25);
    store.advance(claimed.claim, Progress { planned, ..step(waits) }).await.unwrap();
    let record = record(store, id).await;
    let claimed = claim_one(store, at(25)).await;
    assert_eq!(claimed.requests, Some(record.requests.clone()));
    record.requests.iter().map(|one| (one.state, one.may_repeat)).collect()
}

#[tokio::test]
async fn replayed_dead_event_is_remapped_and_done_stays_done() {
    use RequestState::{Done, Waiting};
    let place = TestStore::new();
    let store = &*place.open();
    let id = dead(store).await;

    let replay = replay(store, only(id)).await;

    assert_eq!((replay.matched, replay.replayed, replay.waiting), (1, 1, 1));
    let expected = [(Done, false), (Waiting, false), (Waiting, false)];
    assert_eq!(states(store, id, &["first", "second", "third"]).await, expected);
    assert_eq!(record(store, id).await.requests[0].savio_id, Some(json!(42)));
    assert_eq!(store.replay(replay.id).await.unwrap().unwrap().waiting, 0);
}

#[tokio::test]
async fn replayed_held_event_may_repeat() {
    use RequestState::{Done, Waiting};
    let place = TestStore::new();
    let store = &*place.open();
    let id = held(store).await;

    replay(store, only(id)).await;

    let expected = [(Done, false), (Waiting, true)];
    assert_eq!(states(store, id, &["first", "second"]).await, expected);
}

#[tokio::test]
async fn replayed_delivered_event_is_sent_again_in_full() {
    use RequestState::Waiting;
    let place = TestStore::new();
    let store = &*place.open();
    let id = delivered(store).await;

    replay(store, only(id)).await;

    let expected = [(Waiting, false), (Waiting, false)];
    assert_eq!(states(store, id, &["first", "second"]).await, expected);
}

#[tokio::test]
async fn delivered_event_that_failed_to_map_is_resent_in_full() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = delivered(store).await;
    replay(store, only(id)).await;
    let claimed = claim_one(store, at(20)).await;
    store.advance(claimed.claim, step(settle(State::Dead))).await.unwrap();

    replay(store, only(id)).await;

    assert_eq!(states(store, id, &["first"]).await, [(RequestState::Waiting, false)]);
}

#[tokio::test]
async fn dead_event_that_failed_to_map_keeps_its_done_requests() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = dead(store).await;
    replay(store, only(id)).await;
    let claimed = claim_one(store, at(20)).await;
    store.advance(claimed.claim, step(settle(State::Dead))).await.unwrap();

    replay(store, only(id)).await;

    assert_eq!(states(store, id, &["first"]).await, [(RequestState::Done, false)]);
}

#[tokio::test]
async fn notes_of_a_new_mapping_replace_the_old_ones() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    for note in ["old", "new"] {
        let claimed = claim_one(store, at(20)).await;
        let planned = Progress { notes: vec![note.to_owned()], ..plan_and_send(&["slow"]) };
        store.advance(claimed.claim, planned).await.unwrap();
        store.advance(claimed.claim, step(settle(State::Dead))).await.unwrap();
        assert_eq!(record(store, id).await.notes, [note]);
        replay(store, only(id)).await;
    }
}

#[tokio::test]
async fn decoding_notes_survive_a_new_mapping() {
    let place = TestStore::new();
    let store = &*place.open();
    let decoded = Webhook { notes: vec!["decoded".to_owned()], ..webhook(at(0)) };
    let id = store_one(store, decoded).await;
    for note in ["old", "new"] {
        let claimed = claim_one(store, at(20)).await;
        let planned = Progress { notes: vec![note.to_owned()], ..plan_and_send(&["slow"]) };
        store.advance(claimed.claim, planned).await.unwrap();
        store.advance(claimed.claim, step(settle(State::Dead))).await.unwrap();
        assert_eq!(record(store, id).await.notes, ["decoded", note]);
        replay(store, only(id)).await;
    }
}

#[tokio::test]
async fn queued_events_are_counted_and_not_replayed() {
    let place = TestStore::new();
    let store = &*place.open();
    for state in [State::Delivered, State::Ignored, State::Held, State::Dead] {
        settled(store, state).await;
    }
    let queued = store_one(store, webhook(at(1))).await;
    let before = record(store, queued).await;

    let replay = replay(store, all(at(20))).await;

    assert_eq!((replay.matched, replay.replayed, replay.has_more), (5, 4, false));
    assert_eq!(record(store, queued).await, before);
    assert_eq!(claim(store, at(20), 9).await.len(), 5);
}

#[tokio::test]
async fn events_received_after_the_request_are_not_replayed() {
    let place = TestStore::new();
    let store = &*place.open();
    let order = all(at(0));
    let id = order.id;
    settled(store, State::Dead).await;
    store.start_replay(order, somebody()).await.unwrap();
    settled(store, State::Dead).await;

    let replay = run_replay(store, id, |_| {}).await.unwrap().unwrap();

    assert_eq!((replay.matched, replay.replayed), (1, 1));
}

#[tokio::test]
async fn replay_interval_spreads_events_from_the_oldest() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut ids = Vec::new();
    for second in [0, 1, 2] {
        ids.push(store_one(store, webhook(at(second))).await);
        let claim = claim_one(store, at(9)).await.claim;
        store.advance(claim, step(settle(State::Dead))).await.unwrap();
    }

    replay(store, ReplayRequest { interval: Duration::from_secs(10), ..all(at(20)) }).await;

    for (id, due) in ids.into_iter().zip([20, 30, 40]) {
        assert_eq!(record(store, id).await.due_at, Some(at(due)));
        let claimed = claim_one(store, at(due)).await;
        assert_eq!((claimed.claim.event, claimed.queued_at, claimed.tries), (id, at(due), 0));
    }
}

#[tokio::test]
async fn canceled_replay_restores_events_not_started() {
    let place = TestStore::new();
    let store = &*place.open();
    let begun = dead(store).await;
    let waiting = [dead(store).await, held(store).await];
    let mut before = Vec::new();
    for id in waiting {
        before.push(record(store, id).await);
    }
    let order = ReplayRequest { interval: Duration::from_secs(10), ..all(at(20)) };
    let id = replay(store, order).await.id;
    let claimed = claim_one(store, at(20)).await;

    let canceled = cancel(store, id).await;

    assert_eq!((canceled.replayed, canceled.given_back, canceled.waiting), (3, 2, 1));
    assert_eq!((canceled.has_more, canceled.canceled_at), (false, Some(at(30))));
    for (id, before) in waiting.into_iter().zip(before) {
        assert_eq!(record(store, id).await, before);
    }
    assert_eq!(claimed.claim.event, begun);
    store.advance(claimed.claim, plan_and_send(&["first"])).await.unwrap();
    assert_eq!(claim(store, at(99), 9).await.len(), 1, "the one that was begun goes on");
}

#[tokio::test]
async fn restored_event_is_replayed_like_any_other() {
    use RequestState::{Done, Waiting};
    let place = TestStore::new();
    let store = &*place.open();
    let id = dead(store).await;
    let first = replay(store, only(id)).await;
    cancel(store, first.id).await;

    replay(store, only(id)).await;

    let expected = [(Done, false), (Waiting, false)];
    assert_eq!(states(store, id, &["first", "second"]).await, expected);
}

#[tokio::test]
async fn canceled_replay_takes_no_more_events() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = dead(store).await;
    let order = only(id);
    let replay_id = order.id;
    store.start_replay(order, somebody()).await.unwrap();

    let canceled = cancel(store, replay_id).await;

    assert_eq!((canceled.matched, canceled.has_more), (0, false));
    assert_eq!(record(store, id).await.state, State::Dead);
}

#[tokio::test]
async fn replay_resumes_where_its_steps_stopped() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..1201 {
        store_one(&*store, webhook(at(0))).await;
    }
    for claimed in claim(&*store, at(0), 1201).await {
        store.advance(claimed.claim, step(settle(State::Dead))).await.unwrap();
    }
    let order = all(at(20));
    let id = order.id;
    store.start_replay(order, somebody()).await.unwrap();
    let first = store.step_replay(id).await.unwrap().unwrap();
    drop(store);

    let store = place.open();
    assert!((1..1201).contains(&first.replayed) && first.has_more, "a step is small");
    assert_eq!(store.open_replays().await.unwrap(), [id]);
    let replay = run_replay(&*store, id, |_| {}).await.unwrap().unwrap();

    assert_eq!((replay.matched, replay.replayed, replay.waiting), (1201, 1201, 1201));
    assert_eq!(store.open_replays().await.unwrap(), []);
    assert_eq!(claim(&*store, at(20), 2000).await.len(), 1201);
}

#[tokio::test]
async fn two_runners_of_one_replay_do_the_work_of_one() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..700 {
        settled(&*store, State::Dead).await;
    }
    let order = all(at(20));
    let id = order.id;
    store.start_replay(order, somebody()).await.unwrap();

    let (one, other) =
        tokio::join!(run_replay(&*store, id, |_| {}), run_replay(&*store, id, |_| {}));

    one.unwrap().unwrap();
    let replay = other.unwrap().unwrap();
    assert_eq!((replay.matched, replay.replayed), (700, 700));
}

#[tokio::test]
async fn only_events_of_the_filter_are_replayed() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = dead(store).await;
    settled(store, State::Delivered).await;
    store_one(store, from("other", at(0))).await;
    let filter = EventFilter {
        sources: Some(vec![name("form")]),
        states: vec![State::Dead],
        since: Some(at(0)),
        ..EventFilter::default()
    };

    let replay = replay(store, ReplayRequest { filter, ..all(at(20)) }).await;

    assert_eq!((replay.matched, replay.replayed), (1, 1));
    assert_eq!(record(store, id).await.state, State::Queued);
}

#[tokio::test]
async fn unknown_replay_is_not_found() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = ReplayId::new(at(0));

    store.cancel_replay(id, at(1), somebody()).await.unwrap();

    assert_eq!(store.replay(id).await.unwrap(), None);
    assert_eq!(store.step_replay(id).await.unwrap(), None);
}

#[tokio::test]
async fn attempt_of_a_replay_is_marked_in_the_history() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = delivered(store).await;
    replay(store, only(id)).await;

    let claimed = claim_one(store, at(20)).await;
    store.advance(claimed.claim, plan_and_send(&["first"])).await.unwrap();
    let again = Attempt { replay: claimed.replay, ..attempt(0, Outcome::Done) };
    store.advance(claimed.claim, after(again, settle(State::Delivered))).await.unwrap();

    let attempts = record(store, id).await.attempts;
    let marks: Vec<bool> = attempts.iter().map(|attempt| attempt.replay).collect();
    assert_eq!(marks, [false, false, true]);
}

#[tokio::test]
async fn replay_progress_follows_its_events() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = dead(store).await;
    let counts = async || {
        let counts = store.counts().await.unwrap();
        counts.iter().map(|count| (count.state, count.events)).collect::<Vec<_>>()
    };

    let replay = replay(store, only(id)).await;
    assert_eq!(counts().await, [(State::Queued, 1)]);
    cancel(store, replay.id).await;
    assert_eq!(counts().await, [(State::Dead, 1)]);
}

#[tokio::test]
async fn release_as_arrived_proceeds_to_the_next_request() {
    use RequestState::{Done, Waiting};
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    store.advance(claim, plan_and_send(&["first", "second"])).await.unwrap();
    let unanswered = attempt(0, Outcome::Unanswered);
    store.advance(claim, after(unanswered, settle(State::Held))).await.unwrap();

    let released = store.release(release(id, HoldDecision::AlreadyArrived, at(20))).await.unwrap();

    let claimed = claim_one(store, at(20)).await;
    let requests = claimed.requests.unwrap();
    let states: Vec<_> = requests.iter().map(|one| (one.state, one.may_repeat)).collect();
    assert_eq!((released, claimed.queued_at), (ReleaseOutcome::Queued, at(20)));
    assert_eq!(states, [(Done, false), (Waiting, false)]);
}

#[tokio::test]
async fn release_of_the_last_request_delivers_the_event() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = held(store).await;

    let released = store.release(release(id, HoldDecision::AlreadyArrived, at(20))).await.unwrap();

    let record = record(store, id).await;
    assert_eq!(released, ReleaseOutcome::Delivered);
    assert_eq!((record.state, record.settled_at), (State::Delivered, Some(at(20))));
    assert_eq!(record.reason.as_deref(), Some("a person said that it arrived"));
}

#[tokio::test]
async fn release_to_send_again_marks_the_request() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = held(store).await;

    let released = store.release(release(id, HoldDecision::SendAgain, at(20))).await.unwrap();

    let claimed = claim_one(store, at(20)).await;
    let requests = claimed.requests.unwrap();
    assert_eq!((released, claimed.tries), (ReleaseOutcome::Queued, 0));
    assert_eq!((requests[0].state, requests[1].state), (RequestState::Done, RequestState::Waiting));
    assert!(requests[1].may_repeat);
}

#[tokio::test]
async fn only_held_events_can_be_released() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = dead(store).await;
    let unknown = EventId::new(at(0));

    let released = store.release(release(id, HoldDecision::SendAgain, at(20))).await.unwrap();

    assert_eq!(released, ReleaseOutcome::NotHeld(State::Dead));
    assert_eq!(
        store.release(release(unknown, HoldDecision::SendAgain, at(20))).await.unwrap(),
        ReleaseOutcome::NotFound
    );
}
