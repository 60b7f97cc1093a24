//! The contract of every store, whichever database it uses: only `Place::open` knows it.

use crate::support::store::{
    TestStore, at, claim, claim_from, claim_one, deliveries, from, ids, name, settle, step,
    store_one, wait, webhook,
};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use savio_relay::event::{Event, EventId, State};
use savio_relay::store::{Store, StoreError, StoredEvents, Webhook};

#[tokio::test]
async fn stored_event_can_be_claimed() {
    let place = TestStore::new();
    let store = &*place.open();
    let webhook = webhook(at(0));

    let kept = store.store(webhook.clone()).await.unwrap();
    let claimed = claim_one(store, at(0)).await;

    assert_eq!(kept, StoredEvents { events: vec![webhook.events[0].id], repeated: Vec::new() });
    let event = Event {
        id: webhook.events[0].id,
        source: webhook.source,
        event_type: None,
        delivery_id: None,
        received_at: webhook.received_at,
        headers: webhook.headers,
        payload: String::from_utf8(webhook.body).unwrap(),
    };
    assert_eq!((claimed.event, claimed.requests, claimed.tries), (event, None, 0));
    assert_eq!(claimed.queued_at, at(0));
}

#[tokio::test]
async fn payload_is_a_range_of_the_decoded_body() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut webhook = webhook(at(0));
    webhook.decoded = Some(r#"["ä","öü"]"#.to_owned());
    webhook.events[0].payload = 6..12;

    store_one(store, webhook).await;

    assert_eq!(claim_one(store, at(0)).await.event.payload, r#""öü""#);
}

#[tokio::test]
async fn repeat_is_not_stored_again() {
    let place = TestStore::new();
    let store = &*place.open();
    let first = store.store(deliveries(&["a"])).await.unwrap();

    let repeat = store.store(deliveries(&["a"])).await.unwrap();

    assert_eq!(repeat, StoredEvents { events: first.events, repeated: vec![0] });
    assert_eq!(claim(store, at(0), 9).await.len(), 1);
}

#[tokio::test]
async fn delivery_ids_of_different_sources_are_distinct() {
    let place = TestStore::new();
    let store = &*place.open();
    let other = Webhook { source: name("other"), ..deliveries(&["a"]) };

    store.store(deliveries(&["a"])).await.unwrap();

    assert_eq!(store.store(other).await.unwrap().new_events(), 1);
}

#[tokio::test]
async fn repeats_within_a_webhook_are_one_event() {
    let place = TestStore::new();
    let store = &*place.open();
    store.store(deliveries(&["a"])).await.unwrap();

    let kept = store.store(deliveries(&["b", "a", "b"])).await.unwrap();

    assert_eq!(kept.repeated, [1, 2]);
    assert_eq!(kept.events[0], kept.events[2]);
    assert_eq!(claim(store, at(0), 9).await.len(), 2);
}

#[tokio::test]
async fn webhook_is_stored_whole_or_not_at_all() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut webhook = deliveries(&["a", "b", "c"]);
    webhook.events[2].id = webhook.events[0].id;

    let refused = store.store(webhook).await;

    assert!(matches!(refused, Err(StoreError::Impossible { .. })));
    assert_eq!(store.counts().await.unwrap(), []);
    assert_eq!(store.store(deliveries(&["a", "b", "c"])).await.unwrap().new_events(), 3);
}

#[tokio::test]
async fn webhooks_of_one_call_are_stored_in_their_order() {
    let place = TestStore::new();
    let store = &*place.open();
    let names: Vec<String> = (0..200).map(|number| format!("{number:03}")).collect();
    let webhooks = names.iter().map(|name| deliveries(&[name]));
    let repeat = deliveries(&["007"]);

    let kept = store.store_all(webhooks.chain([repeat]).collect()).await.unwrap();

    assert_eq!(kept.iter().map(StoredEvents::new_events).sum::<usize>(), 200);
    assert_eq!(kept[200].events, kept[7].events);
    let claimed = claim(store, at(0), 300).await;
    let ids = claimed.iter().map(|claimed| claimed.event.id);
    assert!(ids.eq(kept[..200].iter().map(|kept| kept.events[0])));
}

#[tokio::test]
async fn webhooks_of_one_call_are_stored_all_or_none() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut bad = deliveries(&["b", "c"]);
    bad.events[1].id = bad.events[0].id;

    let refused = store.store_all(vec![deliveries(&["a"]), bad]).await;

    assert!(matches!(refused, Err(StoreError::Impossible { .. })));
    assert_eq!(store.counts().await.unwrap(), []);
}

#[tokio::test]
async fn payload_that_is_no_text_is_refused() {
    let place = TestStore::new();
    let store = &*place.open();
    for (body, payload) in [(b"\xff".to_vec(), 0..1), (b"{}".to_vec(), 0..3)] {
        let mut webhook = webhook(at(0));
        webhook.body = body;
        webhook.events[0].payload = payload;

        assert!(store.store(webhook).await.is_err());
    }
}

#[tokio::test]
async fn invalid_webhook_does_not_affect_others_in_its_commit() {
    let place = TestStore::new();
    let store = place.open();
    let taken = store_one(&*store, webhook(at(0))).await;

    let mut keeps = tokio::task::JoinSet::new();
    for number in 0..50 {
        let mut webhook = webhook(at(0));
        if number == 25 {
            webhook.events[0].id = taken;
        }
        let store = Arc::clone(&store);
        keeps.spawn(async move { store.store(webhook).await.is_ok() });
    }
    let kept = keeps.join_all().await;

    assert_eq!(kept.iter().filter(|kept| **kept).count(), 49);
    assert_eq!(claim(&*store, at(0), 99).await.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_events_survive_reopening() {
    let place = TestStore::new();
    let store = place.open();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        tasks.spawn(keep_many(Arc::clone(&store)));
    }
    let mut kept = tasks.join_all().await.concat();
    drop(store);

    let mut found = ids(&claim(&*place.open(), at(0), 10_000).await);

    kept.sort_unstable();
    found.sort_unstable();
    assert_eq!(kept.len(), 64 * 50);
    assert_eq!(found, kept);
}

async fn keep_many(store: Arc<dyn Store>) -> Vec<EventId> {
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(store_one(&*store, webhook(at(0))).await);
    }
    ids
}

#[tokio::test]
async fn next_due_is_the_time_of_the_next_claimable_event() {
    let place = TestStore::new();
    let store = &*place.open();
    let due = async || store.next_due(vec![name("form"), name("a")]).await.unwrap();
    assert_eq!(due().await, None);

    store_one(store, from("unwanted", at(1))).await;
    store_one(store, webhook(at(20))).await;
    store_one(store, from("a", at(30))).await;
    assert_eq!(due().await, Some(at(20)));

    let claimed = claim_one(store, at(20)).await;
    assert_eq!(due().await, Some(at(30)));

    store.advance(claimed.claim, step(wait(25))).await.unwrap();
    assert_eq!(due().await, Some(at(25)));

    claim_from(store, &["form", "a"], at(30), 9).await;
    assert_eq!(due().await, Some(at(30) + SignedDuration::from_mins(1)));
}

#[tokio::test]
async fn events_are_counted_by_source_and_state() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, from("a", at(0))).await;
    store_one(store, from("b", at(0))).await;
    store_one(store, from("b", at(0))).await;
    let claimed = claim_from(store, &["b"], at(0), 1).await;
    store.advance(claimed[0].claim, step(settle(State::Dead))).await.unwrap();

    let counts = store.counts().await.unwrap();
    let mut counts: Vec<_> =
        counts.iter().map(|count| (count.source.as_str(), count.state, count.events)).collect();

    counts.sort_unstable_by_key(|(source, state, _)| (*source, state.as_str()));
    assert_eq!(counts, [("a", State::Queued, 1), ("b", State::Dead, 1), ("b", State::Queued, 1)]);
}

#[tokio::test]
async fn oldest_queued_event_of_each_source_is_known() {
    let place = TestStore::new();
    let store = &*place.open();
    for (source, received) in [("a", 30), ("a", 10), ("a", 20), ("b", 5), ("c", 1)] {
        store_one(store, from(source, at(received))).await;
    }
    let begun = claim_from(store, &["a"], at(60), 1).await;
    let settled = claim_from(store, &["c"], at(60), 1).await;
    store.advance(begun[0].claim, step(wait(90))).await.unwrap();
    store.advance(settled[0].claim, step(settle(State::Delivered))).await.unwrap();

    let oldest = store.oldest_queued().await.unwrap();

    assert_eq!(oldest, [(name("a"), at(10)), (name("b"), at(5))]);
}

#[tokio::test]
async fn arrival_is_seen_by_a_later_waiter() {
    let place = TestStore::new();
    let store = &*place.open();
    store.store(deliveries(&["a"])).await.unwrap();

    let seen = store.wait_for_work(0).await;

    store.store(deliveries(&["a"])).await.unwrap();
    let again = tokio::time::timeout(Duration::ZERO, store.wait_for_work(seen)).await;
    assert!(again.is_err(), "a repeat is no arrival");
}

#[tokio::test]
async fn arrival_wakes_every_waiter() {
    let place = TestStore::new();
    let store = &*place.open();
    let kept = async { store.store(deliveries(&["a"])).await.unwrap() };

    let (first, second, _) = tokio::join!(store.wait_for_work(0), store.wait_for_work(0), kept);

    assert_eq!((first, second), (1, 1));
}

#[tokio::test]
async fn unknown_event_is_not_found() {
    let place = TestStore::new();
    let store = &*place.open();

    assert_eq!(store.event(EventId::new(at(0))).await.unwrap(), None);
    assert_eq!(store.ready().await, Ok(()));
}

#[tokio::test]
async fn bundled_sources_are_new_once_and_only_to_a_store_that_was_used_before() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let place = TestStore::new();
    let store = &*place.open();
    let remember = async |those: &[&str]| store.remember_bundled(names(those)).await.unwrap();

    assert_eq!(remember(&["form", "typeform"]).await, names(&[]), "a new store");
    assert_eq!(remember(&["form", "typeform"]).await, names(&[]), "the same program");
    assert_eq!(remember(&["acme", "form"]).await, names(&["acme"]), "an upgrade");
    assert_eq!(remember(&["acme", "form", "typeform"]).await, names(&[]));

    let place = TestStore::new();
    let used = &*place.open();
    store_one(used, webhook(at(0))).await;
    let all = names(&["form", "typeform"]);
    assert_eq!(used.remember_bundled(all.clone()).await.unwrap(), all, "an older program's store");
}
