//! Conditions of a filter on single events, and searches in payloads.

use jiff::Timestamp;
use savio_relay::event::{EventId, Outcome, State};
use savio_relay::store::{
    CountFor, EventFilter, MatchCount, NewEvent, PageRequest, ReplayId, ReplayRequest, StoppedAt,
    Store, Webhook, WebhookOrigin, run_replay,
};
use std::time::Duration;

use crate::support::store::{
    TestStore, after, at, attempt, claim_one, plan_and_send, send, settle, somebody, step,
    store_one, webhook,
};

fn all() -> EventFilter {
    EventFilter::default()
}

async fn found(store: &dyn Store, filter: &EventFilter) -> Vec<EventId> {
    let page = PageRequest { limit: 100, after: None };
    store.list(filter.clone(), page).await.unwrap().events.iter().map(|line| line.id).collect()
}

/// Checks which events match, in a list and in a count.
async fn check(store: &dyn Store, filter: EventFilter, expected: &[EventId]) {
    assert_eq!(found(store, &filter).await, expected, "{filter:?}");
    for count_for in [CountFor::Display, CountFor::Replay] {
        let matching = store.count_matching(filter.clone(), count_for).await.unwrap();
        let found = (matching.events(), matching.at_least);
        assert_eq!(found, (expected.len() as u64, false), "{count_for:?} {filter:?}");
    }
}

/// Events that went different ways, oldest first.
struct Ways {
    delivered: EventId,
    refused: EventId,
    unmapped: EventId,
    late: EventId,
    held: EventId,
    ignored: EventId,
    imported: EventId,
}

async fn receive(store: &dyn Store, second: i64) -> EventId {
    let mut webhook = webhook(at(second));
    webhook.events[0].event_type = Some(format!("type-{second}"));
    store_one(store, webhook).await
}

/// Sends the event once with each outcome, then settles it.
async fn send_all(store: &dyn Store, outcomes: &[Outcome], state: State) {
    let claim = claim_one(store, at(20)).await.claim;
    store.advance(claim, plan_and_send(&["slow"])).await.unwrap();
    for (number, outcome) in (1..).zip(outcomes) {
        let attempt = savio_relay::store::Attempt { at: at(20), ..attempt(0, *outcome) };
        let next = if number == outcomes.len() { settle(state) } else { send(0) };
        store.advance(claim, after(attempt, next)).await.unwrap();
    }
}

async fn ways(store: &dyn Store) -> Ways {
    use Outcome::{Done, Refused, Retry, Unanswered};
    let delivered = receive(store, 0).await;
    send_all(store, &[Done], State::Delivered).await;
    let refused = receive(store, 1).await;
    send_all(store, &[Refused], State::Dead).await;
    let unmapped = receive(store, 2).await;
    let claim = claim_one(store, at(20)).await.claim;
    store.advance(claim, step(settle(State::Dead))).await.unwrap();
    let late = receive(store, 3).await;
    send_all(store, &[Retry; 5], State::Dead).await;
    let held = receive(store, 4).await;
    send_all(store, &[Retry, Unanswered], State::Held).await;
    let ignored = receive(store, 5).await;
    let claim = claim_one(store, at(20)).await.claim;
    store.advance(claim, step(settle(State::Ignored))).await.unwrap();
    let origin = WebhookOrigin::Imported { due_at: at(99) };
    let imported = store_one(store, Webhook { origin, ..webhook(at(6)) }).await;
    Ways { delivered, refused, unmapped, late, held, ignored, imported }
}

#[tokio::test]
async fn each_condition_finds_its_events() {
    let place = TestStore::new();
    let store = &*place.open();
    let Ways { delivered, refused, unmapped, late, held, ignored, imported } = ways(store).await;

    let stopped = |place| EventFilter { stage: Some(place), ..all() };
    check(store, stopped(StoppedAt::Mapping), &[ignored, unmapped]).await;
    check(store, stopped(StoppedAt::Savio), &[held, refused]).await;
    check(store, stopped(StoppedAt::Time), &[late]).await;
    let attempts = |least| EventFilter { attempts_min: Some(least), ..all() };
    check(store, attempts(1), &[held, late, refused, delivered]).await;
    check(store, attempts(2), &[held, late]).await;
    check(store, attempts(4), &[late]).await;
    check(store, attempts(5), &[late]).await;
    check(store, attempts(6), &[]).await;
    let repeating = |may_repeat| EventFilter { may_repeat: Some(may_repeat), ..all() };
    check(store, repeating(true), &[held]).await;
    let others = [imported, ignored, late, unmapped, refused, delivered];
    check(store, repeating(false), &others).await;
    let imports = |imported| EventFilter { imported: Some(imported), ..all() };
    check(store, imports(true), &[imported]).await;
    check(store, imports(false), &[ignored, held, late, unmapped, refused, delivered]).await;
    let causes = store.dead_groups(None, None, at(100)).await.unwrap().groups;
    let late_cause = causes.iter().find(|it| it.stage == Some(StoppedAt::Time)).unwrap();
    let of_cause = EventFilter { reason_kind: Some(late_cause.kind.clone()), ..all() };
    check(store, of_cause.clone(), &[late]).await;
    check(store, EventFilter { reason_kind: Some("0".repeat(16)), ..all() }, &[]).await;
    check(store, EventFilter { states: vec![State::Held], ..of_cause }, &[]).await;
    let of_type = |name: &str| EventFilter { event_type: Some(name.to_owned()), ..all() };
    check(store, of_type("type-3"), &[late]).await;
    check(store, of_type("TYPE-3"), &[]).await;
    let dead = EventFilter { states: vec![State::Dead], ids: vec![late, held], ..attempts(2) };
    check(store, dead, &[late]).await;
    let both = EventFilter { left_out: Some(false), imported: Some(true), ..all() };
    check(store, both, &[imported]).await;
}

#[tokio::test]
async fn line_says_where_its_event_stopped() {
    use StoppedAt::{Mapping, Savio, Time};

    let place = TestStore::new();
    let store = &*place.open();
    ways(store).await;

    let page = PageRequest { limit: 100, after: None };
    let listed = store.list(all(), page).await.unwrap().events;

    let stages = [None, Some(Mapping), Some(Savio), Some(Time), Some(Mapping), Some(Savio), None];
    assert_eq!(listed.iter().map(|line| line.stage).collect::<Vec<_>>(), stages);
    assert_eq!(listed.iter().filter(|line| line.may_repeat).count(), 1);
    for line in listed {
        let whole = store.event(line.id).await.unwrap().unwrap().summary();
        assert_eq!(whole, line);
    }
}

#[tokio::test]
async fn dead_event_that_is_replayed_and_not_mapped_stopped_at_its_mapping() {
    let place = TestStore::new();
    let store = &*place.open();
    let Ways { refused, .. } = ways(store).await;
    let filter = EventFilter { ids: vec![refused], ..all() };
    replay(store, filter, at(50)).await;

    let claim = claim_one(store, at(60)).await.claim;
    store.advance(claim, step(settle(State::Dead))).await.unwrap();

    let line = store.event(refused).await.unwrap().unwrap().summary();
    assert_eq!((line.state, line.stage), (State::Dead, Some(StoppedAt::Mapping)));
}

async fn start_replay(store: &dyn Store, filter: EventFilter, begun_at: Timestamp) -> ReplayId {
    let (id, interval) = (ReplayId::new(begun_at), Duration::ZERO);
    let request = ReplayRequest { id, filter, interval, begun_at };
    store.start_replay(request, somebody()).await.unwrap();
    id
}

async fn replay(store: &dyn Store, filter: EventFilter, begun_at: Timestamp) -> u64 {
    let id = start_replay(store, filter, begun_at).await;
    run_replay(store, id, |_| {}).await.unwrap().unwrap().replayed
}

#[tokio::test]
async fn replay_keeps_all_conditions_of_its_filter() {
    let place = TestStore::new();
    let store = &*place.open();
    let Ways { held, late, unmapped, .. } = ways(store).await;
    let stage = EventFilter { stage: Some(StoppedAt::Mapping), states: vec![State::Dead], ..all() };
    assert_eq!(replay(store, stage, at(50)).await, 1);
    let states = vec![State::Dead, State::Held];
    let slow = EventFilter { attempts_min: Some(2), states, ..all() };
    let id = start_replay(store, slow, at(51)).await;
    // A program that does not know these conditions replays nothing, instead of too much.
    let file = rusqlite::Connection::open(&place.settings().path).unwrap();
    let sql = "SELECT count(*) FROM replays
               WHERE ended = 0 AND sources = '[]' AND ids = '[]' AND filter IS NOT NULL";
    assert_eq!(file.query_row(sql, [], |row| row.get(0)), Ok(1));
    assert_eq!(run_replay(store, id, |_| {}).await.unwrap().unwrap().replayed, 2);

    let queued = EventFilter { states: vec![State::Queued], imported: Some(false), ..all() };
    check(store, queued, &[held, late, unmapped]).await;
}

/// Stores an event with this payload, which is a part of a larger body.
async fn said(store: &dyn Store, second: i64, payload: &str) -> EventId {
    let template = webhook(at(second));
    let body = format!("[{payload},{{\"other\":\"Neighbour\"}}]").into_bytes();
    let event = NewEvent { payload: 1..1 + payload.len(), ..template.events[0].clone() };
    store_one(store, Webhook { body, events: vec![event], ..template }).await
}

#[tokio::test]
async fn contains_searches_the_own_payload_as_people_read_it() {
    let place = TestStore::new();
    let store = &*place.open();
    let plain = said(store, 1, r#"{"text":"Größe 7","path":"a\/b"}"#).await;
    let escaped = said(store, 2, r#"{"text":"Gr\u00f6\u00dfe","smile":"\ud83d\ude00"}"#).await;
    let mut form = webhook(at(3));
    form.body = b"text=Gr%C3%B6%C3%9Fe".to_vec();
    form.decoded = Some(r#"{"text":"Größe"}"#.to_owned());
    form.events[0].payload = 0..18;
    let decoded = store_one(store, form).await;

    let contains = |text: &str| EventFilter { contains: Some(text.to_owned()), ..all() };
    check(store, contains("gRÖSSE"), &[]).await;
    check(store, contains("gRÖße"), &[decoded, escaped, plain]).await;
    check(store, contains("A/B"), &[plain]).await;
    check(store, contains("😀"), &[escaped]).await;
    check(store, contains("%C3"), &[]).await;
    check(store, contains("neighbour"), &[]).await;
    let both = EventFilter { text: Some(plain.to_string()), ..contains("größe") };
    check(store, both, &[plain]).await;
}

#[tokio::test]
async fn later_events_are_those_stored_after_the_newest_of_a_page() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(5))).await;
    let page = PageRequest { limit: 100, after: None };
    let newest = store.list(all(), page).await.unwrap().newest;
    let later = |newest| EventFilter { newer_than: Some(newest), ..all() };
    check(store, later(newest), &[]).await;

    // Received before the other, and stored after it.
    let slow = store_one(store, webhook(at(4))).await;
    let next = store_one(store, webhook(at(6))).await;

    check(store, later(newest), &[next, slow]).await;
    check(store, EventFilter { until: Some(at(5)), ..later(newest) }, &[slow]).await;
    assert_eq!(store.list(later(newest), page).await.unwrap().newest, newest + 2);
}

#[tokio::test]
async fn counts_of_a_filter_stop_at_ten_thousand_of_a_state() {
    let place = TestStore::new();
    let store = &*place.open();
    for second in 0..11 {
        let template = webhook(at(second));
        let event = |_| NewEvent { id: EventId::new(at(second)), ..template.events[0].clone() };
        let events = (0..1000).map(event).collect();
        store.store(Webhook { events, ..template.clone() }).await.unwrap();
    }

    let MatchCount { states, at_least } =
        store.count_matching(all(), CountFor::Replay).await.unwrap();
    assert_eq!((states.queued, at_least), (11_000, false), "the stored count answers");
    let since = |second| EventFilter { since: Some(at(second)), ..all() };
    let MatchCount { states, at_least } =
        store.count_matching(since(0), CountFor::Replay).await.unwrap();
    assert_eq!((states.queued, at_least), (10_000, true));
    let MatchCount { states, at_least } =
        store.count_matching(since(1), CountFor::Replay).await.unwrap();
    assert_eq!((states.queued, at_least), (10_000, false));
    let later = EventFilter { newer_than: Some(500), ..all() };
    let MatchCount { states, at_least } =
        store.count_matching(later, CountFor::Replay).await.unwrap();
    assert_eq!((states.queued, at_least), (10_000, true));
}
