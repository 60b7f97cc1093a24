//! What the store tells of events that wait for one another: their upserts, and how far they are.

use savio_relay::event::{EventId, Name, Outcome, Request, RequestKind, State};
use savio_relay::store::{Claimed, Next, Progress, RequestState, Store};
use serde_json::json;

use crate::store_contract::{
    Place, at, attempt, claim, claim_one, from, keep, name, record, send, step, wait, webhook,
};

fn company() -> Request {
    let body = json!({ "internal_id": "6", "name": "Acme" }).as_object().unwrap().clone();
    Request { kind: RequestKind::Company, body }
}

fn upsert() -> Name {
    company().upsert().unwrap()
}

/// Claims the next event and writes down that it is to upsert the company, and what is next.
async fn plan(store: &dyn Store, next: Next) -> Claimed {
    let claimed = claim_one(store, at(0)).await;
    let progress = Progress { planned: Some(vec![company()]), ..step(next) };
    store.advance(claimed.claim, progress).await.unwrap();
    claimed
}

async fn older(store: &dyn Store, place: u64, source: &str) -> Option<u64> {
    store.older(place, upsert(), vec![name(source)]).await.unwrap()
}

/// Two events, of which the first is to upsert the company later; and their places.
async fn first_waits(store: &dyn Store) -> (EventId, [u64; 2]) {
    keep(store, webhook(at(0))).await;
    keep(store, webhook(at(0))).await;
    let first = plan(store, wait(30)).await;
    let second = claim_one(store, at(0)).await;
    (first.claim.event, [first.place, second.place])
}

#[tokio::test]
async fn an_older_event_that_waits_with_the_same_upsert_is_found() {
    let place = Place::new();
    let store = place.open();
    let (_, [first, second]) = first_waits(&*store).await;

    assert!(first < second, "places are in order of receipt");
    assert_eq!(older(&*store, second, "form").await, Some(first));
    assert_eq!(older(&*store, first, "form").await, None);
    assert_eq!(older(&*store, second, "other").await, None);
    let another = Name::new("upsert of a company", "7").unwrap();
    assert_eq!(store.older(second, another, vec![name("form")]).await, Ok(None));
}

#[tokio::test]
async fn what_is_done_or_dead_is_waited_for_no_more() {
    for outcome in [Outcome::Done, Outcome::Retry] {
        let place = Place::new();
        let store = place.open();
        let (_, [_, second]) = first_waits(&*store).await;
        let first = claim_one(&*store, at(30)).await;

        let dead = Next::Settle { state: State::Dead, reason: None, at: at(31) };
        let next = if outcome == Outcome::Done { wait(120) } else { dead };
        store.advance(first.claim, step(send(0))).await.unwrap();
        let attempt = Some(attempt(0, outcome));
        store.advance(first.claim, Progress { attempt, ..step(next) }).await.unwrap();

        assert_eq!(older(&*store, second, "form").await, None, "{outcome:?}");
    }
}

#[tokio::test]
async fn an_event_that_stays_is_claimed_and_says_why() {
    let place = Place::new();
    let store = place.open();
    keep(&*store, from("form", at(0))).await;
    let reason = "another goes first".to_owned();

    let claimed = plan(&*store, Next::Stay { reason: reason.clone() }).await;

    assert!(claim(&*store, at(1), 1).await.is_empty());
    let kept = record(&*store, claimed.claim.event).await;
    assert_eq!((kept.state, kept.reason), (State::Queued, Some(reason)));
    assert_eq!(kept.requests[0].state, RequestState::Waiting);
}

#[tokio::test]
async fn an_event_is_loaded_as_it_is_while_its_claim_lasts() {
    let place = Place::new();
    let store = place.open();
    keep(&*store, webhook(at(0))).await;
    let claimed = plan(&*store, Next::Stay { reason: String::new() }).await;

    let loaded = store.load(claimed.claim).await.unwrap().unwrap();
    assert_eq!((loaded.place, &loaded.event), (claimed.place, &claimed.event));
    assert_eq!(loaded.requests.unwrap()[0].request, company());

    store.advance(claimed.claim, step(wait(60))).await.unwrap();
    assert_eq!(store.load(claimed.claim).await, Ok(None));
}
