//! Events that wait for one another: unsent upserts, and the due times of waiting events.

use jiff::Timestamp;
use savio_relay::event::{EventId, KeyKind, Outcome, RecordKey, Request, RequestKind, State};
use savio_relay::store::{
    ClaimedEvent, NextStep, Progress, Renewal, RequestState, Store, WaitingCount, WaitsFor,
};
use serde_json::json;

use crate::support::store::{
    TestStore, at, attempt, claim, claim_one, from, name, record, send, step, store_one, wait,
    webhook,
};

fn company() -> Request {
    let body = json!({ "internal_id": "6", "name": "Acme" }).as_object().unwrap().clone();
    Request { kind: RequestKind::Company, body }
}

fn upsert() -> RecordKey {
    company().upsert().unwrap()
}

/// Claims the next event, plans its upsert of the company, and records the next step.
async fn plan(store: &dyn Store, next: NextStep) -> ClaimedEvent {
    let claimed = claim_one(store, at(0)).await;
    let progress = Progress { planned: Some(vec![company()]), ..step(next) };
    store.advance(claimed.claim, progress).await.unwrap();
    claimed
}

async fn earlier(store: &dyn Store, place: u64, source: &str) -> Option<u64> {
    let earlier = store.earlier_upsert(place, upsert(), vec![name(source)]).await.unwrap();
    earlier.map(|earlier| earlier.seq)
}

/// Stores two events, of which the first upserts the company later; returns its id and their
/// positions.
async fn first_waits(store: &dyn Store) -> (EventId, [u64; 2]) {
    store_one(store, webhook(at(0))).await;
    store_one(store, webhook(at(0))).await;
    let first = plan(store, wait(30)).await;
    let second = claim_one(store, at(0)).await;
    (first.claim.event, [first.seq, second.seq])
}

#[tokio::test]
async fn earlier_event_with_the_same_upsert_is_found() {
    let place = TestStore::new();
    let store = place.open();
    let (_, [first, second]) = first_waits(&*store).await;

    assert!(first < second, "places are in order of receipt");
    assert_eq!(earlier(&*store, second, "form").await, Some(first));
    assert_eq!(earlier(&*store, first, "form").await, None);
    assert_eq!(earlier(&*store, second, "other").await, None);
    let another = RecordKey::new(KeyKind::CompanyUpsert, "7").unwrap();
    assert_eq!(store.earlier_upsert(second, another, vec![name("form")]).await, Ok(None));
}

#[tokio::test]
async fn done_or_dead_upsert_blocks_no_later_event() {
    for outcome in [Outcome::Done, Outcome::Retry] {
        let place = TestStore::new();
        let store = place.open();
        let (_, [_, second]) = first_waits(&*store).await;
        let first = claim_one(&*store, at(30)).await;

        let dead = NextStep::Settle { state: State::Dead, reason: None, at: at(31) };
        let next = if outcome == Outcome::Done { wait(120) } else { dead };
        store.advance(first.claim, step(send(0))).await.unwrap();
        let attempt = Some(attempt(0, outcome));
        store.advance(first.claim, Progress { attempt, ..step(next) }).await.unwrap();

        assert_eq!(earlier(&*store, second, "form").await, None, "{outcome:?}");
    }
}

#[tokio::test]
async fn parked_event_stays_claimed_and_shows_its_reason() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, from("form", at(0))).await;
    let (waits_for, reason) = (Some(behind(7)), Some(behind(7).reason));

    let claimed = plan(&*store, NextStep::Park { waits_for }).await;

    assert!(claim(&*store, at(1), 1).await.is_empty());
    let kept = record(&*store, claimed.claim.event).await;
    assert_eq!((kept.state, kept.reason), (State::Queued, reason));
    assert_eq!(kept.requests[0].state, RequestState::Waiting);
}

#[tokio::test]
async fn event_is_loaded_while_its_claim_lasts() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, webhook(at(0))).await;
    let claimed = plan(&*store, NextStep::Park { waits_for: None }).await;

    let loaded = store.load(claimed.claim).await.unwrap().unwrap();
    assert_eq!((loaded.seq, &loaded.event), (claimed.seq, &claimed.event));
    assert_eq!(loaded.requests.unwrap()[0].request, company());

    store.advance(claimed.claim, step(wait(60))).await.unwrap();
    assert_eq!(store.load(claimed.claim).await, Ok(None));
}

fn behind(event: u64) -> WaitsFor {
    WaitsFor { event, reason: format!("waits for event {event}") }
}

fn wait_behind(event: u64) -> NextStep {
    NextStep::WaitBehind { waits_for: behind(event), upsert: upsert(), at: at(1) }
}

async fn due(store: &dyn Store, id: EventId) -> Option<Timestamp> {
    record(store, id).await.due_at
}

async fn waiting(store: &dyn Store) -> (u64, u64) {
    let waiting = store.waiting().await.unwrap();
    let count = |it: &WaitingCount| (it.claimed, it.unclaimed);
    waiting.iter().map(count).next().unwrap_or_default()
}

/// Stores two events that upsert the same company, of which the second waits for the first.
async fn second_waits_behind_first(store: &dyn Store) -> ([EventId; 2], [u64; 2]) {
    store_one(store, webhook(at(0))).await;
    store_one(store, webhook(at(0))).await;
    let first = plan(store, wait(30)).await;
    let second = plan(store, wait_behind(first.seq)).await;
    ([first.claim.event, second.claim.event], [first.seq, second.seq])
}

#[tokio::test]
async fn event_behind_another_is_due_with_it_and_claimed_after_it() {
    let place = TestStore::new();
    let store = place.open();

    let ([_, id], [first, second]) = second_waits_behind_first(&*store).await;

    let event = record(&*store, id).await;
    assert_eq!((event.due_at, event.reason), (Some(at(30)), Some(behind(first).reason)));
    assert_eq!(waiting(&*store).await, (0, 1));
    let both = claim(&*store, at(30), 9).await;
    assert_eq!(both.iter().map(|one| one.seq).collect::<Vec<_>>(), [first, second]);
}

#[tokio::test]
async fn event_behind_a_done_or_claimed_one_is_due_at_once() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..3 {
        store_one(&*store, webhook(at(0))).await;
    }
    let first = plan(&*store, wait(30)).await;
    let [second, third] = claim(&*store, at(0), 2).await.try_into().unwrap();
    let claimed = claim_one(&*store, at(30)).await;
    assert_eq!(claimed.seq, first.seq);

    store.advance(second.claim, step(wait_behind(first.seq))).await.unwrap();
    assert_eq!(due(&*store, second.event.id).await, Some(at(1)), "who claimed it is known");
    let delivered = NextStep::Settle { state: State::Delivered, reason: None, at: at(31) };
    let attempt = Some(attempt(0, Outcome::Done));
    store.advance(claimed.claim, Progress { attempt, ..step(delivered) }).await.unwrap();
    store.advance(third.claim, step(wait_behind(first.seq))).await.unwrap();

    assert_eq!(due(&*store, third.event.id).await, Some(at(1)), "nothing is left to wait for");
}

#[tokio::test]
async fn waits_behind_other_events_end_when_sources_change() {
    let place = TestStore::new();
    let store = place.open();
    let ([first, second], _) = second_waits_behind_first(&*store).await;

    store.end_waits_behind(at(2)).await.unwrap();

    assert_eq!(due(&*store, second).await, Some(at(2)));
    assert_eq!(due(&*store, first).await, Some(at(30)), "a retry stays as it is");
}

#[tokio::test]
async fn renewal_records_the_awaited_event_until_a_send() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, webhook(at(0))).await;
    let claim = plan(&*store, NextStep::Park { waits_for: None }).await.claim;

    let renewal = Renewal { claim, waits_for: Some(behind(7)) };
    assert_eq!(store.renew(vec![renewal], at(120)).await.unwrap(), [claim]);

    assert_eq!(record(&*store, claim.event).await.reason, Some(behind(7).reason));
    assert_eq!(waiting(&*store).await, (1, 0));
    store.advance(claim, step(send(0))).await.unwrap();
    assert_eq!(record(&*store, claim.event).await.reason, None);
    assert_eq!(waiting(&*store).await, (0, 0));
}
