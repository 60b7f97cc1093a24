//! Claims: leases, the order of claims, and due times.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use savio_relay::event::{EventId, State};
use savio_relay::store::{
    ClaimRequest, ClaimedEvent, NewEvent, NextStep, Progress, Webhook, WebhookOrigin,
};

use crate::support::store::{
    TestStore, at, claim, claim_from, claim_one, deliveries, from, ids, name, renewals, request,
    settle, step, store_one, webhook,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_is_claimed_once() {
    let place = TestStore::new();
    let store = place.open();
    for _ in 0..100 {
        store_one(&*store, webhook(at(0))).await;
    }

    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        claims.spawn(async move { ids(&claim(&*store, at(0), 3).await) });
    }
    let mut claimed = claims.join_all().await.concat();

    claimed.sort_unstable();
    claimed.dedup();
    assert_eq!(claimed.len(), 100);
}

#[tokio::test]
async fn claim_stops_at_its_memory_limit() {
    let place = TestStore::new();
    let store = &*place.open();
    let large = Webhook { body: vec![b' '; 1_000], ..webhook(at(0)) };
    let event = NewEvent { payload: 0..1_000, ..large.events[0].clone() };
    for _ in 0..5 {
        let id = EventId::new(at(0));
        let events = vec![NewEvent { id, ..event.clone() }];
        store_one(store, Webhook { events, ..large.clone() }).await;
    }
    let claim = async |bytes_max: usize| {
        let (sources, lease) = (vec![name("form")], Duration::from_mins(1));
        store.claim(ClaimRequest { sources, slots: 5, bytes_max, now: at(0), lease }).await.unwrap()
    };

    assert_eq!(claim(0).await.len(), 0);
    assert_eq!(claim(1).await.len(), 1, "one event fits in any case");
    let claimed = claim(2_500).await;
    assert_eq!((claimed.len(), claimed[0].bytes), (3, 1_000));
    let planned = Progress {
        planned: Some(vec![request(&"x".repeat(5_000))]),
        ..step(NextStep::Wait { until: at(0), reason: String::new() })
    };
    store.advance(claimed[0].claim, planned).await.unwrap();
    assert!(claim(usize::MAX).await.iter().any(|one| one.bytes > 6_000), "its plan counts too");
}

#[tokio::test]
async fn claim_returns_at_most_as_many_events_as_slots() {
    let place = TestStore::new();
    let store = &*place.open();
    for _ in 0..5 {
        store_one(store, webhook(at(0))).await;
    }

    assert_eq!(claim(store, at(0), 0).await.len(), 0);
    assert_eq!(claim(store, at(0), 3).await.len(), 3);
    assert_eq!(claim(store, at(0), 3).await.len(), 2);
}

#[tokio::test]
async fn oldest_event_of_all_sources_is_claimed_first() {
    let place = TestStore::new();
    let store = &*place.open();
    let third = store_one(store, from("a", at(3))).await;
    let first = store_one(store, from("b", at(1))).await;
    let fourth = store_one(store, from("b", at(4))).await;
    let second = store_one(store, from("a", at(2))).await;

    let claimed = claim_from(store, &["a", "b"], at(9), 3).await;

    assert_eq!(ids(&claimed), [first, second, third]);
    assert_eq!(ids(&claim_from(store, &["a", "b"], at(9), 3).await), [fourth]);
}

fn imported(received_at: Timestamp, due_at: Timestamp) -> Webhook {
    Webhook { origin: WebhookOrigin::Imported { due_at }, ..webhook(received_at) }
}

#[tokio::test]
async fn imported_events_are_claimed_after_all_live_ones() {
    let place = TestStore::new();
    let store = place.open();
    let old = store_one(&*store, imported(at(0), at(0))).await;
    let new = store_one(&*store, webhook(at(5))).await;
    let other = store_one(&*store, from("other", at(6))).await;

    // Slots for all three: events that are claimed together may be sent in any order.
    let claimed = claim_from(&*store, &["form", "other"], at(9), 3).await;
    let last = claim_from(&*store, &["form", "other"], at(9), 3).await;

    let ids = |claimed: &[ClaimedEvent]| claimed.iter().map(|one| one.event.id).collect::<Vec<_>>();
    assert_eq!(ids(&claimed), [new, other]);
    assert_eq!(ids(&last), [old]);
}

#[tokio::test]
async fn imported_event_with_an_ended_lease_stays_after_live_ones() {
    let place = TestStore::new();
    let store = place.open();
    let old = store_one(&*store, imported(at(0), at(0))).await;
    assert_eq!(ids(&claim(&*store, at(0), 1).await), [old]);
    let new = store_one(&*store, webhook(at(70))).await;

    let first = claim(&*store, at(70), 1).await;
    let second = claim(&*store, at(70), 1).await;

    assert_eq!((ids(&first), ids(&second)), (vec![new], vec![old]));
}

#[tokio::test]
async fn imported_event_waits_for_its_due_time() {
    let place = TestStore::new();
    let store = place.open();
    store_one(&*store, imported(at(0), at(60))).await;

    let early = claim(&*store, at(59), 1).await;
    let due = store.next_due(vec![name("form")]).await;

    assert_eq!((early, due), (Vec::new(), Ok(Some(at(60)))));
    assert_eq!(claim(&*store, at(60), 1).await.len(), 1);
}

#[tokio::test]
async fn events_due_at_one_time_are_claimed_in_order_of_receipt() {
    let place = TestStore::new();
    let store = &*place.open();
    let kept = store.store(deliveries(&["a", "b", "c", "d", "e"])).await.unwrap();
    let last = store_one(store, webhook(at(0))).await;

    let claimed = ids(&claim(store, at(0), 9).await);

    assert_eq!(claimed, [kept.events, vec![last]].concat());
}

#[tokio::test]
async fn only_requested_sources_are_claimed() {
    let place = TestStore::new();
    let store = &*place.open();
    let wanted = store_one(store, from("a", at(5))).await;
    store_one(store, from("b", at(1))).await;

    assert_eq!(ids(&claim_from(store, &["a", "c"], at(9), 9).await), [wanted]);
    assert_eq!(claim_from(store, &[], at(9), 9).await, []);
}

#[tokio::test]
async fn event_is_not_claimed_before_it_is_due() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(10))).await;

    assert_eq!(claim(store, at(9), 9).await, []);
    assert_eq!(claim(store, at(10), 9).await.len(), 1);
}

#[tokio::test]
async fn event_with_an_ended_lease_is_claimed_again() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(0))).await;
    let first = claim_one(store, at(0)).await;

    assert_eq!(claim(store, at(59), 9).await, []);
    let second = claim_one(store, at(60)).await;

    assert_eq!(second.claim.event, first.claim.event);
    assert_ne!(second.claim.token, first.claim.token);
}

#[tokio::test]
async fn renewed_claim_is_not_claimed_again() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(0))).await;
    let claimed = claim_one(store, at(0)).await;

    let renewed = store.renew(renewals(&[claimed.claim]), at(120)).await.unwrap();

    assert_eq!(renewed, [claimed.claim]);
    assert_eq!(claim(store, at(119), 9).await, []);
    assert_eq!(claim(store, at(120), 9).await.len(), 1);
}

#[tokio::test]
async fn lost_claims_are_not_renewed() {
    let place = TestStore::new();
    let store = &*place.open();
    for _ in 0..3 {
        store_one(store, webhook(at(0))).await;
    }
    let [lost, settled, held] = claim(store, at(0), 3).await.try_into().unwrap();
    store.renew(renewals(&[settled.claim, held.claim]), at(500)).await.unwrap();
    claim_one(store, at(60)).await;
    store.advance(settled.claim, step(settle(State::Ignored))).await.unwrap();

    let claims = renewals(&[lost.claim, settled.claim, held.claim]);
    assert_eq!(store.renew(claims, at(900)).await.unwrap(), [held.claim]);
}
