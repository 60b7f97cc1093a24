//! Suspects: which events become one, and when one that crashes the process is dead. Dropping the
//! store with open claims is a crash.

use std::sync::Arc;

use savio_relay::event::{EventId, State};
use savio_relay::store::{
    ClaimedEvent, EventFilter, Recounted, ReplayId, ReplayRequest, Store, StoreError, Suspect,
    Webhook, WebhookOrigin, run_replay,
};

use crate::support::store::{
    TestStore, at, claim, claim_one, plan_and_send, record, request, send, settle, somebody, step,
    store_one, wait, webhook,
};

const FRESH: Option<Suspect> = Some(Suspect { crashes: 0 });

/// Kills the process and starts another one.
fn crash(place: &TestStore, store: Arc<dyn Store>) -> Arc<dyn Store> {
    drop(store);
    place.open()
}

/// Crashes the process while the one due event is being mapped alone.
async fn crash_while_mapping(place: &TestStore, store: Arc<dyn Store>) -> Arc<dyn Store> {
    store.mark(claim_one(&*store, at(99)).await.claim).await.unwrap();
    crash(place, store)
}

async fn replay(store: &dyn Store, id: EventId) {
    let filter = EventFilter { ids: vec![id], ..EventFilter::default() };
    let order = ReplayRequest {
        id: ReplayId::new(at(20)),
        filter,
        interval: std::time::Duration::ZERO,
        begun_at: at(20),
    };
    let replay = order.id;
    store.start_replay(order, somebody()).await.unwrap();
    run_replay(store, replay, |_| {}).await.unwrap();
}

fn suspects(claimed: &[ClaimedEvent]) -> Vec<Option<Suspect>> {
    claimed.iter().map(|one| one.suspect).collect()
}

#[tokio::test]
async fn event_claimed_and_unmapped_at_a_crash_is_suspect() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..4 {
        store_one(&*store, webhook(at(0))).await;
    }
    let claimed = claim(&*store, at(0), 3).await;
    assert_eq!(suspects(&claimed), [None; 3]);
    store.advance(claimed[1].claim, plan_and_send(&["mapped"])).await.unwrap();
    store.advance(claimed[2].claim, step(wait(1))).await.unwrap();

    let store = crash(&place, store);

    let claimed = claim(&*store, at(1), 9).await;
    let [first, mapped, never_claimed, waits] = &claimed[..] else { panic!("{claimed:?}") };
    assert_eq!(first.suspect, FRESH);
    assert!(mapped.requests.is_some() && mapped.suspect.is_none());
    assert_eq!((never_claimed.suspect, waits.suspect), (None, None));
}

/// Claims the due events in two claims: first the live ones, then the imported ones.
async fn live_and_imported(store: &dyn Store) -> Vec<ClaimedEvent> {
    let mut claimed = claim(store, at(20), 9).await;
    claimed.extend(claim(store, at(20), 9).await);
    claimed
}

#[tokio::test]
async fn imported_and_replayed_events_become_suspects() {
    let place = TestStore::new();
    let store = place.open();
    let replayed = store_one(&*store, webhook(at(0))).await;
    let first = claim_one(&*store, at(0)).await.claim;
    store.advance(first, plan_and_send(&["slow"])).await.unwrap();
    store.advance(first, step(settle(State::Dead))).await.unwrap();
    replay(&*store, replayed).await;
    let origin = WebhookOrigin::Imported { due_at: at(0) };
    store_one(&*store, Webhook { origin, ..webhook(at(0)) }).await;
    assert_eq!(suspects(&live_and_imported(&*store).await), [None; 2]);

    let store = crash(&place, store);

    let claimed = live_and_imported(&*store).await;
    assert_eq!(suspects(&claimed), [FRESH; 2]);
    assert_eq!(claimed[0].event.id, replayed);
    assert_eq!(claimed[0].earlier.len(), 1, "what was done before counts as without a crash");
    store.advance(claimed[0].claim, plan_and_send(&["slow"])).await.unwrap();
    let store = crash(&place, store);
    let again = claim_one(&*store, at(20)).await;
    assert_eq!((again.event.id, again.suspect), (replayed, None));
}

#[tokio::test]
async fn unmapped_event_with_an_ended_lease_is_suspect() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, webhook(at(0))).await;
    let mapped = store_one(&*store, webhook(at(0))).await;
    let claimed = claim(&*store, at(0), 2).await;
    store.advance(claimed[1].claim, plan_and_send(&["mapped"])).await.unwrap();

    let claimed = claim(&*store, at(60), 9).await;

    assert_eq!((claimed[1].event.id, claimed[1].suspect), (mapped, None));
    assert_eq!(claimed[0].suspect, FRESH);
}

#[tokio::test]
async fn clean_stop_makes_no_suspect_and_counts_nothing() {
    let place = TestStore::new();
    let mut store = place.open();
    store_one(&*store, webhook(at(0))).await;
    for _ in 0..4 {
        let claimed = claim_one(&*store, at(0)).await;
        assert_eq!(claimed.suspect, None);
        store.release_all().await.unwrap();
        let late = store.advance(claimed.claim, plan_and_send(&["slow"])).await;
        assert_eq!(late, Err(StoreError::ClaimLost));
        store = crash(&place, store);
    }

    claim_one(&*store, at(0)).await;
    store = crash(&place, store);
    for _ in 0..4 {
        let claimed = claim_one(&*store, at(0)).await;
        assert_eq!(claimed.suspect, FRESH);
        store.mark(claimed.claim).await.unwrap();
        store.release_all().await.unwrap();
        store = crash(&place, store);
    }
}

#[tokio::test]
async fn suspect_is_cleared_when_mapped_or_settled() {
    let place = TestStore::new();
    let store = place.open();
    let steps = [
        plan_and_send(&["slow"]),
        step(settle(State::Dead)),
        step(settle(State::Ignored)),
        step(wait(0)),
    ];
    for _ in &steps {
        store_one(&*store, webhook(at(0))).await;
    }
    claim(&*store, at(0), 9).await;
    let store = crash(&place, store);
    let claimed = claim(&*store, at(0), 9).await;
    assert_eq!(suspects(&claimed), [FRESH; 4]);
    let ids: Vec<EventId> = claimed.iter().map(|one| one.event.id).collect();

    for (one, progress) in claimed.iter().zip(steps) {
        store.advance(one.claim, progress).await.unwrap();
    }

    for id in &ids[1..3] {
        replay(&*store, *id).await;
    }
    let store = crash(&place, store);
    let claimed = claim(&*store, at(20), 9).await;
    let of = |id: &EventId| claimed.iter().find(|one| one.event.id == *id).unwrap().suspect;
    assert_eq!([of(&ids[0]), of(&ids[1]), of(&ids[2])], [None; 3]);
    assert_eq!(of(&ids[3]), FRESH, "it waits, and was not mapped yet");
}

#[tokio::test]
async fn event_marked_during_three_crashes_is_dead() {
    let place = TestStore::new();
    let mut store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    let crashed = claim_one(&*store, at(0)).await.suspect;
    store = crash(&place, store);
    for crashes in 0..3 {
        assert_eq!(record(&*store, id).await.state, State::Queued);
        let claimed = claim_one(&*store, at(0)).await;
        assert_eq!(claimed.suspect, Some(Suspect { crashes }));
        store.mark(claimed.claim).await.unwrap();
        store = crash(&place, store);
    }

    assert_eq!(crashed, None);
    let dead = record(&*store, id).await;
    assert_eq!((dead.state, dead.due_at), (State::Dead, None));
    assert!(dead.settled_at.is_some());
    let reason = dead.reason.unwrap();
    assert!(
        reason.starts_with("the relay's process ended three times while it mapped"),
        "{reason}"
    );
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.len(), counts[0].state, counts[0].events), (1, State::Dead, 1));
    assert_eq!(store.recount().await, Ok(Recounted::default()));
    assert_eq!(claim(&*store, at(99), 9).await, []);
}

#[tokio::test]
async fn replay_of_a_crashing_event_takes_three_more_crashes() {
    let place = TestStore::new();
    let mut store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    claim_one(&*store, at(0)).await;
    store = crash(&place, store);
    for _ in 0..3 {
        store = crash_while_mapping(&place, store).await;
    }
    assert_eq!(record(&*store, id).await.state, State::Dead);

    replay(&*store, id).await;
    for _ in 0..3 {
        assert_eq!(record(&*store, id).await.state, State::Queued);
        store = crash_while_mapping(&place, store).await;
    }
    assert_eq!(record(&*store, id).await.state, State::Dead);

    replay(&*store, id).await;
    let claimed = claim_one(&*store, at(99)).await;
    assert_eq!(claimed.suspect, FRESH);
    store.advance(claimed.claim, plan_and_send(&["there is more memory"])).await.unwrap();
    let store = crash(&place, store);
    let planned = claim_one(&*store, at(99)).await;
    assert_eq!(planned.requests.unwrap()[0].request, request("there is more memory"));
    assert_eq!(planned.suspect, None);
}

#[tokio::test]
async fn crash_without_a_mark_is_not_counted() {
    let place = TestStore::new();
    let mut store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    for _ in 0..10 {
        claim_one(&*store, at(0)).await;
        store = crash(&place, store);
    }

    assert_eq!(claim_one(&*store, at(0)).await.suspect, FRESH);
    assert_eq!(record(&*store, id).await.state, State::Queued);
}

#[tokio::test]
async fn crash_counts_against_the_marked_event_only() {
    let place = TestStore::new();
    let mut store = place.open();
    for _ in 0..3 {
        store_one(&*store, webhook(at(0))).await;
    }
    claim(&*store, at(0), 9).await;
    store = crash(&place, store);

    for _ in 0..2 {
        let claimed = claim(&*store, at(0), 9).await;
        store.mark(claimed[0].claim).await.unwrap();
        store.unmark(claimed[0].claim).await.unwrap();
        store.mark(claimed[1].claim).await.unwrap();
        store = crash(&place, store);
    }

    let crashes = claim(&*store, at(0), 9).await;
    let crashes: Vec<u32> = crashes.iter().map(|one| one.suspect.unwrap().crashes).collect();
    assert_eq!(crashes, [0, 2, 0]);
}

#[tokio::test]
async fn mapped_suspect_loses_its_earlier_crashes() {
    let place = TestStore::new();
    let mut store = place.open();
    store_one(&*store, webhook(at(0))).await;
    claim_one(&*store, at(0)).await;
    store = crash(&place, store);
    for _ in 0..2 {
        store = crash_while_mapping(&place, store).await;
    }

    let claimed = claim_one(&*store, at(0)).await;
    assert_eq!(claimed.suspect, Some(Suspect { crashes: 2 }));
    store.mark(claimed.claim).await.unwrap();
    store.unmark(claimed.claim).await.unwrap();
    store = crash(&place, store);

    assert_eq!(claim_one(&*store, at(0)).await.suspect, FRESH);
}

#[tokio::test]
async fn crash_while_sending_is_not_counted() {
    let place = TestStore::new();
    let mut store = place.open();
    let id = store_one(&*store, webhook(at(0))).await;
    claim_one(&*store, at(0)).await;
    store = crash(&place, store);
    let claimed = claim_one(&*store, at(0)).await;
    store.mark(claimed.claim).await.unwrap();
    store.advance(claimed.claim, plan_and_send(&["slow"])).await.unwrap();
    for _ in 0..5 {
        store = crash(&place, store);
        let claimed = claim_one(&*store, at(0)).await;
        assert_eq!(claimed.suspect, None);
        store.advance(claimed.claim, step(send(0))).await.unwrap();
    }

    assert_eq!(record(&*store, id).await.state, State::Queued);
}

#[tokio::test]
async fn lost_claim_marks_nothing() {
    let place = TestStore::new();
    let mut store = place.open();
    store_one(&*store, webhook(at(0))).await;
    let lost = claim_one(&*store, at(0)).await.claim;
    claim_one(&*store, at(60)).await;

    assert_eq!(store.mark(lost).await, Err(StoreError::ClaimLost));
    assert_eq!(store.unmark(lost).await, Err(StoreError::ClaimLost));
    store = crash(&place, store);
    assert_eq!(claim_one(&*store, at(60)).await.suspect, FRESH);
}
