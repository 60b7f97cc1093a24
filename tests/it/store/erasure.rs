//! Erasure: no byte of what an event said is left in the files, and its line stays.

use std::fs;
use std::time::Duration;

use savio_relay::event::{EventId, Outcome, State};
use savio_relay::store::sqlite::Settings;
use savio_relay::store::{
    Attempt, AuditFilter, CountFor, EmailAddress, Erasure, ErasureOutcome, ErasureRequest,
    EventFilter, HoldDecision, NewEvent, PageRequest, Progress, Recounted, ReplayId, ReplayRequest,
    Store, Verified, Webhook, run_replay,
};

use crate::support::store::{
    TestStore, after, at, attempt, claim_one, plan_and_send, record, release, settle, somebody,
    step, store_one, webhook,
};

const ADDRESS: &str = "ada@example.com";

/// Returns a webhook whose payload and headers have these words.
fn saying(words: &str, second: i64) -> Webhook {
    let body = format!("{{\"text\":\"{words}\"}}").into_bytes();
    let mut webhook = webhook(at(second));
    webhook.events[0].payload = 0..body.len();
    webhook.body = body;
    webhook.headers.insert("x-said".to_owned(), words.to_owned());
    let header = Some(words.to_owned());
    webhook.arrival.verified = Some(Verified { scheme: "token".to_owned(), header, secret: None });
    webhook
}

/// Stores an event whose words are in everything that is stored of it, and settles it.
async fn said(store: &dyn Store, words: &str, state: State) -> EventId {
    let id = store_one(store, Webhook { notes: vec![words.to_owned()], ..saying(words, 0) }).await;
    work_on(store, words, state).await;
    id
}

async fn work_on(store: &dyn Store, words: &str, state: State) {
    let claim = claim_one(store, at(100)).await.claim;
    let plan = Progress { notes: vec![words.to_owned()], ..plan_and_send(&[words]) };
    store.advance(claim, plan).await.unwrap();
    let told = Attempt {
        detail: Some(words.to_owned()),
        savio_id: Some(words.into()),
        ..attempt(0, Outcome::Done)
    };
    store.advance(claim, after(told, settle(state))).await.unwrap();
}

async fn erase(store: &dyn Store, ids: &[EventId], person: Option<&str>) -> Erasure {
    let person = person.map(|person| person.parse::<EmailAddress>().unwrap());
    let request = ErasureRequest { ids: ids.to_vec(), person, at: at(50), by: somebody() };
    store.erase(request).await.unwrap()
}

/// Returns how often the text is in the files of the store.
fn found(settings: &Settings, text: &str) -> usize {
    let folder = settings.path.parent().unwrap();
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    files.map(|bytes| memchr::memmem::find_iter(&bytes, text).count()).sum()
}

#[tokio::test]
async fn erased_event_leaves_no_byte_and_keeps_its_line() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = said(store, "quince-marmalade", State::Delivered).await;
    assert!(found(&place.settings(), "quince-marmalade") > 3);

    let erasure = erase(store, &[id], None).await;

    assert_eq!(erasure.outcomes, [(id, ErasureOutcome::Erased)]);
    assert!(erasure.log_emptied);
    assert_eq!(found(&place.settings(), "quince-marmalade"), 0);
    let left = record(store, id).await;
    assert_eq!((left.state, left.erased_at), (State::Delivered, Some(at(50))));
    assert_eq!((left.requests.len(), left.attempts.len()), (0, 1));
    assert!(left.notes.is_empty() && left.event.headers.is_empty());
    let line =
        store.list(EventFilter::default(), PageRequest { limit: 9, after: None }).await.unwrap();
    assert_eq!((line.events[0].id, line.events[0].erased_at), (id, Some(at(50))));
    assert_eq!(store.recount().await.unwrap(), Recounted::default());
}

#[tokio::test]
async fn older_copies_of_an_erased_event_are_gone_too() {
    let place = TestStore::new();
    let store = &*place.open();
    let mut ids = Vec::new();
    for number in 0..120 {
        // From rows within a page to such that need pages of their own.
        let words = format!("{}-{number}.", "elderberry".repeat(1 + number * number % 700));
        let id = said(store, &words, State::Dead).await;
        let replay = ReplayRequest {
            id: ReplayId::new(at(60)),
            filter: EventFilter { ids: vec![id], ..EventFilter::default() },
            interval: Duration::ZERO,
            begun_at: at(60),
        };
        if number % 3 == 0 {
            let replayed = replay.id;
            store.start_replay(replay, somebody()).await.unwrap();
            run_replay(store, replayed, |_| {}).await.unwrap();
            work_on(store, &format!("{words} again"), State::Dead).await;
        }
        ids.push(id);
    }
    let kept = said(store, "gooseberry", State::Delivered).await;

    let erasure = erase(store, &ids, None).await;

    assert!(erasure.outcomes.iter().all(|(_, outcome)| *outcome == ErasureOutcome::Erased));
    assert_eq!(erasure.outcomes.len(), 120);
    assert_eq!(found(&place.settings(), "elderberry"), 0);
    assert_eq!(record(store, kept).await.event.payload, r#"{"text":"gooseberry"}"#);
}

#[tokio::test]
async fn other_events_of_the_webhook_keep_their_payloads() {
    for is_decoded in [false, true] {
        let place = TestStore::new();
        let store = &*place.open();
        let text = r#"{"team":"quince","list":[{"a":"plum"},{"b":"quince"},{"c":"pear é"}]}"#;
        let mut batch = webhook(at(0));
        let range = |part: &str| {
            let begin = text.find(part).unwrap();
            begin..begin + part.len()
        };
        let parts = [r#"{"a":"plum"}"#, r#"{"b":"quince"}"#, r#"{"c":"pear é"}"#];
        let event = |part: &&str| NewEvent {
            id: EventId::new(at(0)),
            event_type: None,
            delivery_id: None,
            payload: range(part),
        };
        batch.events = parts.iter().map(event).collect();
        batch.body = if is_decoded { b"quince, in another form".to_vec() } else { text.into() };
        batch.decoded = is_decoded.then(|| text.to_owned());
        let ids = store.store(batch).await.unwrap().events;
        for _ in &ids {
            let claim = claim_one(store, at(1)).await.claim;
            store.advance(claim, step(settle(State::Ignored))).await.unwrap();
        }

        erase(store, &ids[1..2], None).await;

        assert_eq!(found(&place.settings(), "quince"), 0, "{is_decoded}");
        assert_eq!(record(store, ids[0]).await.event.payload, parts[0]);
        assert_eq!(record(store, ids[2]).await.event.payload, parts[2]);
        assert_eq!(record(store, ids[0]).await.event.headers.len(), 1);
        erase(store, &ids, None).await;
        assert_eq!(found(&place.settings(), "pear"), 0);
    }
}

#[tokio::test]
async fn event_that_may_yet_be_sent_is_not_erased() {
    let place = TestStore::new();
    let store = &*place.open();
    let held = said(store, "quince", State::Held).await;
    let queued = store_one(store, saying("plum", 0)).await;
    let unknown = EventId::new(at(0));

    let refused = erase(store, &[held, queued, unknown], None).await;

    let expected = [
        (held, ErasureOutcome::NotSettled(State::Held)),
        (queued, ErasureOutcome::NotSettled(State::Queued)),
        (unknown, ErasureOutcome::NotFound),
    ];
    assert_eq!(refused.outcomes, expected);
    assert_eq!(record(store, held).await.requests.len(), 1);
    assert!(audited(store).await.is_empty());
    store.release(release(held, HoldDecision::AlreadyArrived, at(40))).await.unwrap();
    let erased = erase(store, &[held, held], None).await.outcomes;
    assert_eq!(
        erased,
        [(held, ErasureOutcome::Erased), (held, ErasureOutcome::ErasedBefore(at(50)))]
    );
}

async fn audited(store: &dyn Store) -> Vec<(String, Option<u64>, String)> {
    let page = PageRequest { limit: 500, after: None };
    let listed = store.audit(AuditFilter::default(), page).await.unwrap().entries;
    let told = |detail: Option<String>| detail.unwrap_or_default();
    listed.into_iter().map(|it| (it.action, it.count, told(it.detail))).collect()
}

#[tokio::test]
async fn erasure_is_recorded_with_ids_and_without_the_person() {
    let place = TestStore::new();
    let store = &*place.open();
    let first = said(store, ADDRESS, State::Delivered).await;
    let second = said(store, ADDRESS, State::Dead).await;

    erase(store, &[first, second], Some(ADDRESS)).await;

    let expected = ("erase".to_owned(), Some(2), format!("{first} {second}"));
    assert_eq!(audited(store).await, [expected]);
    assert_eq!(found(&place.settings(), ADDRESS), 0);
}

#[tokio::test]
async fn address_in_a_delivery_id_is_forgotten_and_others_stay() {
    let place = TestStore::new();
    let store = &*place.open();
    for (delivery_id, kept) in [("ada@example.com/1", None), ("d-2", Some("d-2"))] {
        let mut webhook = saying(ADDRESS, 0);
        webhook.events[0].delivery_id = Some(delivery_id.to_owned());
        let id = store_one(store, webhook).await;
        work_on(store, "x", State::Delivered).await;

        erase(store, &[id], Some("Ada@Example.com")).await;

        assert_eq!(record(store, id).await.event.delivery_id.as_deref(), kept);
    }
}

#[tokio::test]
async fn erased_event_is_not_replayed_and_search_texts_are_forgotten() {
    let place = TestStore::new();
    let store = &*place.open();
    let erased = said(store, "quince", State::Dead).await;
    let other = said(store, "plum", State::Dead).await;
    let replay = async |text: &str, second: i64| {
        let text = Some(text.to_owned());
        let filter = EventFilter { contains: text.clone(), text, ..EventFilter::default() };
        let id = ReplayId::new(at(second));
        let request = ReplayRequest { id, filter, interval: Duration::ZERO, begun_at: at(second) };
        store.start_replay(request, somebody()).await.unwrap();
        run_replay(store, id, |_| {}).await.unwrap().unwrap()
    };
    assert_eq!(replay(ADDRESS, 20).await.matched, 0);
    // In columns of their own.
    assert!(found(&place.settings(), ADDRESS) > 1);

    erase(store, &[erased], None).await;
    // An erased event says nothing, and keeps no other from being found.
    let plum = EventFilter { contains: Some("PLUM".to_owned()), ..EventFilter::default() };
    let listed = store.list(plum, PageRequest { limit: 9, after: None }).await.unwrap();
    assert_eq!(listed.events.iter().map(|it| it.id).collect::<Vec<_>>(), [other]);
    let replayed = replay("", 30).await;

    assert_eq!((replayed.matched, replayed.replayed), (1, 1));
    assert_eq!(record(store, erased).await.state, State::Dead);
    assert_eq!(record(store, other).await.state, State::Queued);
    assert_eq!(found(&place.settings(), ADDRESS), 0);
}

#[tokio::test]
async fn search_in_payloads_passes_over_an_erased_event() {
    let place = TestStore::new();
    let store = &*place.open();
    let before = said(store, "plum", State::Dead).await;
    let erased = said(store, "quince", State::Dead).await;
    let after = said(store, "plums", State::Dead).await;
    erase(store, &[erased], None).await;

    for (text, expected) in [("plum", vec![after, before]), ("quince", vec![])] {
        let filter = EventFilter { contains: Some(text.to_owned()), ..EventFilter::default() };
        let page = PageRequest { limit: 10, after: None };
        let listed = store.list(filter.clone(), page).await.unwrap().events;
        assert_eq!(listed.iter().map(|it| it.id).collect::<Vec<_>>(), expected, "{text}");
        let counted = store.count_matching(filter, CountFor::Replay).await.unwrap();
        assert_eq!(counted.events(), expected.len() as u64, "{text}");
    }
}

#[tokio::test]
async fn replay_that_runs_during_an_erasure_forgets_its_search_text_at_its_end() {
    let place = TestStore::new();
    let store = place.open();
    let erased = said(&*store, "quince", State::Dead).await;
    let in_text = EventFilter { text: Some(ADDRESS.to_owned()), ..EventFilter::default() };
    let in_payload = EventFilter { contains: Some(ADDRESS.to_owned()), ..EventFilter::default() };
    let mut replays = Vec::new();
    for (filter, second) in [(in_text, 20), (in_payload, 30)] {
        let id = ReplayId::new(at(second));
        let request = ReplayRequest { id, filter, interval: Duration::ZERO, begun_at: at(second) };
        store.start_replay(request, somebody()).await.unwrap();
        replays.push(id);
    }

    erase(&*store, &[erased], None).await;
    for id in replays {
        let replayed = run_replay(&*store, id, |_| {}).await.unwrap().unwrap();
        assert_eq!((replayed.matched, replayed.has_more), (0, false));
    }

    // Closed, so that the write-ahead log is written back.
    drop(store);
    assert_eq!(found(&place.settings(), ADDRESS), 0);
}

#[tokio::test]
async fn person_is_found_in_whatever_is_stored_of_an_event() {
    let place = TestStore::new();
    let store = &*place.open();
    let whole = said(store, "from Ada@Example.com", State::Delivered).await;
    said(store, "nada@example.com", State::Delivered).await;
    said(store, "ada@example.com.au", State::Delivered).await;
    let mut webhook = webhook(at(0));
    webhook.headers.insert("referer".to_owned(), "/?e=ada%40example.com".to_owned());
    let in_headers = store_one(store, webhook).await;
    let person: EmailAddress = ADDRESS.parse().unwrap();

    let found = store.mentions(person.clone(), 0).await.unwrap();

    assert_eq!(found.next, None);
    let ids: Vec<EventId> = found.events.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [whole, in_headers]);
    erase(store, &[whole], Some(ADDRESS)).await;
    let left = store.mentions(person, 0).await.unwrap().events;
    assert_eq!(left, [(in_headers, State::Queued)]);
}
