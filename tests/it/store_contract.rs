//! What every store promises, whichever database it is: only `Place::open` knows.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use savio_relay::event::{Event, EventId, Outcome, Request, RequestKind, SourceName, State};
use savio_relay::store::sqlite::{Settings, Sqlite};
use savio_relay::store::{
    Attempt, Claim, Claimed, Kept, NewEvent, Next, Origin, Planned, Progress, Record, RequestState,
    Store, StoreError, Wanted, Webhook,
};
use serde_json::json;
use tempfile::TempDir;

/// Where a store lies, so that it can be opened again.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        Place(TempDir::new().unwrap())
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(self.0.path().join("relay.db"))
    }

    pub(crate) fn open(&self) -> Arc<dyn Store> {
        Arc::new(Sqlite::open(&self.settings()).unwrap())
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(crate) fn name(source: &str) -> SourceName {
    source.parse().unwrap()
}

/// A webhook of the source `form` that is one event without a delivery id.
pub(crate) fn webhook(received_at: Timestamp) -> Webhook {
    let body = br#"{"text":"It is slow"}"#.to_vec();
    let payload = 0..body.len();
    let id = EventId::new(received_at);
    Webhook {
        source: name("form"),
        received_at,
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        body,
        decoded: None,
        events: vec![NewEvent { id, event_type: None, delivery_id: None, payload }],
        origin: Origin::Sent,
    }
}

pub(crate) fn from(source: &str, received_at: Timestamp) -> Webhook {
    Webhook { source: name(source), ..webhook(received_at) }
}

/// A webhook that is one event for each delivery id.
fn deliveries(ids: &[&str]) -> Webhook {
    let mut webhook = webhook(at(0));
    let payload = webhook.events[0].payload.clone();
    let event = |id: &&str| NewEvent {
        id: EventId::new(at(0)),
        event_type: Some("answer".to_owned()),
        delivery_id: Some((*id).to_owned()),
        payload: payload.clone(),
    };
    webhook.events = ids.iter().map(event).collect();
    webhook
}

pub(crate) async fn keep(store: &dyn Store, webhook: Webhook) -> EventId {
    store.keep(webhook).await.unwrap().events[0]
}

/// Claims of `form`, with a lease of a minute.
pub(crate) async fn claim(store: &dyn Store, now: Timestamp, slots: usize) -> Vec<Claimed> {
    claim_from(store, &["form"], now, slots).await
}

async fn claim_from(
    store: &dyn Store,
    sources: &[&str],
    now: Timestamp,
    slots: usize,
) -> Vec<Claimed> {
    let sources = sources.iter().map(|source| name(source)).collect();
    store.claim(Wanted { sources, slots, now, lease: Duration::from_mins(1) }).await.unwrap()
}

pub(crate) async fn claim_one(store: &dyn Store, now: Timestamp) -> Claimed {
    let mut claimed = claim(store, now, 1).await;
    claimed.pop().expect("an event is due")
}

fn ids(claimed: &[Claimed]) -> Vec<EventId> {
    claimed.iter().map(|one| one.claim.event).collect()
}

pub(crate) async fn record(store: &dyn Store, id: EventId) -> Record {
    store.event(id).await.unwrap().expect("the event is kept")
}

pub(crate) fn request(problem: &str) -> Request {
    let body = json!({ "problem": problem }).as_object().unwrap().clone();
    Request { kind: RequestKind::Feedback, body }
}

fn waiting(problem: &str) -> Planned {
    let (state, savio_id, may_repeat) = (RequestState::Waiting, None, false);
    Planned { request: request(problem), state, savio_id, may_repeat }
}

pub(crate) fn attempt(position: usize, outcome: Outcome) -> Attempt {
    Attempt {
        position,
        at: at(1),
        outcome,
        status: None,
        ms: 12,
        detail: None,
        savio_id: None,
        may_repeat: false,
        replay: false,
    }
}

/// A step in which nothing came of anything.
pub(crate) fn step(next: Next) -> Progress {
    Progress { planned: None, notes: Vec::new(), attempt: None, next }
}

pub(crate) fn send(position: usize) -> Next {
    Next::Send { position, at: at(1) }
}

pub(crate) fn wait(seconds: i64) -> Next {
    Next::Wait { until: at(seconds), reason: "savio said 503".to_owned() }
}

pub(crate) fn settle(state: State) -> Next {
    Next::Settle { state, reason: None, at: at(9) }
}

pub(crate) fn begin(problems: &[&str]) -> Progress {
    let planned = Some(problems.iter().map(|problem| request(problem)).collect());
    Progress { planned, ..step(send(0)) }
}

pub(crate) fn after(attempt: Attempt, next: Next) -> Progress {
    Progress { attempt: Some(attempt), ..step(next) }
}

#[tokio::test]
async fn what_was_kept_can_be_claimed() {
    let place = Place::new();
    let store = &*place.open();
    let webhook = webhook(at(0));

    let kept = store.keep(webhook.clone()).await.unwrap();
    let claimed = claim_one(store, at(0)).await;

    assert_eq!(kept, Kept { events: vec![webhook.events[0].id], new: 1 });
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
async fn a_payload_is_its_part_of_the_decoded_body() {
    let place = Place::new();
    let store = &*place.open();
    let mut webhook = webhook(at(0));
    webhook.decoded = Some(r#"["ä","öü"]"#.to_owned());
    webhook.events[0].payload = 6..12;

    keep(store, webhook).await;

    assert_eq!(claim_one(store, at(0)).await.event.payload, r#""öü""#);
}

#[tokio::test]
async fn a_repeat_is_not_kept_again() {
    let place = Place::new();
    let store = &*place.open();
    let first = store.keep(deliveries(&["a"])).await.unwrap();

    let repeat = store.keep(deliveries(&["a"])).await.unwrap();

    assert_eq!(repeat, Kept { events: first.events, new: 0 });
    assert_eq!(claim(store, at(0), 9).await.len(), 1);
}

#[tokio::test]
async fn a_repeat_is_told_by_its_source_too() {
    let place = Place::new();
    let store = &*place.open();
    let other = Webhook { source: name("other"), ..deliveries(&["a"]) };

    store.keep(deliveries(&["a"])).await.unwrap();

    assert_eq!(store.keep(other).await.unwrap().new, 1);
}

#[tokio::test]
async fn repeats_within_a_webhook_are_one_event() {
    let place = Place::new();
    let store = &*place.open();
    store.keep(deliveries(&["a"])).await.unwrap();

    let kept = store.keep(deliveries(&["b", "a", "b"])).await.unwrap();

    assert_eq!(kept.new, 1);
    assert_eq!(kept.events[0], kept.events[2]);
    assert_eq!(claim(store, at(0), 9).await.len(), 2);
}

#[tokio::test]
async fn a_webhook_is_kept_whole_or_not_at_all() {
    let place = Place::new();
    let store = &*place.open();
    let mut webhook = deliveries(&["a", "b", "c"]);
    webhook.events[2].id = webhook.events[0].id;

    let refused = store.keep(webhook).await;

    assert!(matches!(refused, Err(StoreError::Impossible { .. })));
    assert_eq!(store.counts().await.unwrap(), []);
    assert_eq!(store.keep(deliveries(&["a", "b", "c"])).await.unwrap().new, 3);
}

#[tokio::test]
async fn a_payload_that_is_no_text_is_refused() {
    let place = Place::new();
    let store = &*place.open();
    for (body, payload) in [(b"\xff".to_vec(), 0..1), (b"{}".to_vec(), 0..3)] {
        let mut webhook = webhook(at(0));
        webhook.body = body;
        webhook.events[0].payload = payload;

        assert!(store.keep(webhook).await.is_err());
    }
}

#[tokio::test]
async fn one_bad_webhook_harms_no_neighbour() {
    let place = Place::new();
    let store = place.open();
    let taken = keep(&*store, webhook(at(0))).await;

    let mut keeps = tokio::task::JoinSet::new();
    for number in 0..50 {
        let mut webhook = webhook(at(0));
        if number == 25 {
            webhook.events[0].id = taken;
        }
        let store = Arc::clone(&store);
        keeps.spawn(async move { store.keep(webhook).await.is_ok() });
    }
    let kept = keeps.join_all().await;

    assert_eq!(kept.iter().filter(|kept| **kept).count(), 49);
    assert_eq!(claim(&*store, at(0), 99).await.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_was_said_to_be_kept_is_there_after_reopening() {
    let place = Place::new();
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
        ids.push(keep(&*store, webhook(at(0))).await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_is_claimed_once() {
    let place = Place::new();
    let store = place.open();
    for _ in 0..100 {
        keep(&*store, webhook(at(0))).await;
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
async fn no_more_is_claimed_than_there_are_slots() {
    let place = Place::new();
    let store = &*place.open();
    for _ in 0..5 {
        keep(store, webhook(at(0))).await;
    }

    assert_eq!(claim(store, at(0), 0).await.len(), 0);
    assert_eq!(claim(store, at(0), 3).await.len(), 3);
    assert_eq!(claim(store, at(0), 3).await.len(), 2);
}

#[tokio::test]
async fn the_oldest_of_all_sources_comes_first() {
    let place = Place::new();
    let store = &*place.open();
    let third = keep(store, from("a", at(3))).await;
    let first = keep(store, from("b", at(1))).await;
    let fourth = keep(store, from("b", at(4))).await;
    let second = keep(store, from("a", at(2))).await;

    let claimed = claim_from(store, &["a", "b"], at(9), 3).await;

    assert_eq!(ids(&claimed), [first, second, third]);
    assert_eq!(ids(&claim_from(store, &["a", "b"], at(9), 3).await), [fourth]);
}

fn imported(received_at: Timestamp, due_at: Timestamp) -> Webhook {
    Webhook { origin: Origin::Imported { due_at }, ..webhook(received_at) }
}

#[tokio::test]
async fn what_was_imported_goes_behind_all_that_was_sent() {
    let place = Place::new();
    let store = place.open();
    let old = keep(&*store, imported(at(0), at(0))).await;
    let new = keep(&*store, webhook(at(5))).await;
    let other = keep(&*store, from("other", at(6))).await;

    let claimed = claim_from(&*store, &["form", "other"], at(9), 2).await;
    let last = claim_from(&*store, &["form", "other"], at(9), 2).await;

    let ids = |claimed: &[Claimed]| claimed.iter().map(|one| one.event.id).collect::<Vec<_>>();
    assert_eq!(ids(&claimed), [new, other]);
    assert_eq!(ids(&last), [old]);
}

#[tokio::test]
async fn what_was_imported_waits_for_its_time() {
    let place = Place::new();
    let store = place.open();
    keep(&*store, imported(at(0), at(60))).await;

    let early = claim(&*store, at(59), 1).await;
    let due = store.next_due(vec![name("form")]).await;

    assert_eq!((early, due), (Vec::new(), Ok(Some(at(60)))));
    assert_eq!(claim(&*store, at(60), 1).await.len(), 1);
}

#[tokio::test]
async fn events_of_one_moment_come_in_order_of_receipt() {
    let place = Place::new();
    let store = &*place.open();
    let kept = store.keep(deliveries(&["a", "b", "c", "d", "e"])).await.unwrap();
    let last = keep(store, webhook(at(0))).await;

    let claimed = ids(&claim(store, at(0), 9).await);

    assert_eq!(claimed, [kept.events, vec![last]].concat());
}

#[tokio::test]
async fn only_wanted_sources_are_claimed() {
    let place = Place::new();
    let store = &*place.open();
    let wanted = keep(store, from("a", at(5))).await;
    keep(store, from("b", at(1))).await;

    assert_eq!(ids(&claim_from(store, &["a", "c"], at(9), 9).await), [wanted]);
    assert_eq!(claim_from(store, &[], at(9), 9).await, []);
}

#[tokio::test]
async fn nothing_is_claimed_before_it_is_due() {
    let place = Place::new();
    let store = &*place.open();
    keep(store, webhook(at(10))).await;

    assert_eq!(claim(store, at(9), 9).await, []);
    assert_eq!(claim(store, at(10), 9).await.len(), 1);
}

#[tokio::test]
async fn an_event_whose_lease_ended_is_claimed_again() {
    let place = Place::new();
    let store = &*place.open();
    keep(store, webhook(at(0))).await;
    let first = claim_one(store, at(0)).await;

    assert_eq!(claim(store, at(59), 9).await, []);
    let second = claim_one(store, at(60)).await;

    assert_eq!(second.claim.event, first.claim.event);
    assert_ne!(second.claim.token, first.claim.token);
}

#[tokio::test]
async fn a_renewed_claim_goes_on() {
    let place = Place::new();
    let store = &*place.open();
    keep(store, webhook(at(0))).await;
    let claimed = claim_one(store, at(0)).await;

    let renewed = store.renew(vec![claimed.claim], at(120)).await.unwrap();

    assert_eq!(renewed, [claimed.claim]);
    assert_eq!(claim(store, at(119), 9).await, []);
    assert_eq!(claim(store, at(120), 9).await.len(), 1);
}

#[tokio::test]
async fn only_claims_that_are_still_held_are_renewed() {
    let place = Place::new();
    let store = &*place.open();
    for _ in 0..3 {
        keep(store, webhook(at(0))).await;
    }
    let [lost, settled, held] = claim(store, at(0), 3).await.try_into().unwrap();
    store.renew(vec![settled.claim, held.claim], at(500)).await.unwrap();
    claim_one(store, at(60)).await;
    store.advance(settled.claim, step(settle(State::Ignored))).await.unwrap();

    let claims = vec![lost.claim, settled.claim, held.claim];
    assert_eq!(store.renew(claims, at(900)).await.unwrap(), [held.claim]);
}

#[tokio::test]
async fn a_lost_claim_writes_nothing() {
    let place = Place::new();
    let store = &*place.open();
    let id = keep(store, webhook(at(0))).await;
    let lost = claim_one(store, at(0)).await.claim;
    let held = claim_one(store, at(60)).await.claim;
    let before = record(store, id).await;

    let late = Progress { notes: vec!["late".to_owned()], ..begin(&["slow"]) };
    let refused = store.advance(lost, late).await;

    assert_eq!(refused, Err(StoreError::ClaimLost));
    assert_eq!(record(store, id).await, before);
    store.advance(held, begin(&["slow"])).await.unwrap();
}

#[tokio::test]
async fn a_claim_ends_with_waiting_and_settling() {
    let place = Place::new();
    let store = &*place.open();
    keep(store, webhook(at(0))).await;
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
async fn a_late_settlement_counts_while_nobody_else_has_the_event() {
    let place = Place::new();
    let store = &*place.open();
    let id = keep(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;

    store
        .advance(claim, step(Next::Settle { state: State::Dead, reason: None, at: at(99) }))
        .await
        .unwrap();

    assert_eq!(record(store, id).await.state, State::Dead);
}

#[tokio::test]
async fn an_event_goes_on_at_the_request_that_failed() {
    let place = Place::new();
    let store = &*place.open();
    keep(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    let done = Attempt { savio_id: Some(json!(42)), ..attempt(0, Outcome::Done) };

    store.advance(claim, begin(&["first", "second"])).await.unwrap();
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
async fn each_outcome_leaves_its_request_in_a_state() {
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
    let place = Place::new();
    let store = &*place.open();
    let id = keep(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;

    store.advance(claim, begin(&["slow"])).await.unwrap();
    store.advance(claim, after(attempt(0, outcome), wait(5))).await.unwrap();

    let request = record(store, id).await.requests.remove(0);
    assert_eq!((request.state, request.may_repeat), (state, may_repeat), "{outcome:?}");
}

#[tokio::test]
async fn a_request_that_may_have_arrived_stays_marked() {
    let place = Place::new();
    let store = &*place.open();
    keep(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;

    store.advance(claim, begin(&["slow"])).await.unwrap();
    store.advance(claim, after(attempt(0, Outcome::Unanswered), send(0))).await.unwrap();
    store.advance(claim, after(attempt(0, Outcome::Retry), wait(5))).await.unwrap();

    let requests = claim_one(store, at(5)).await.requests.unwrap();
    assert!(requests[0].may_repeat);
}

#[tokio::test]
async fn tries_count_the_failures_in_a_row() {
    let place = Place::new();
    let store = &*place.open();
    keep(store, webhook(at(0))).await;
    let mut tries = Vec::new();
    for (attempt, next) in [
        (Some(attempt(0, Outcome::Retry)), wait(1)),
        (Some(attempt(0, Outcome::Unreachable)), wait(2)),
        (None, wait(3)),
        (Some(attempt(0, Outcome::Done)), wait(4)),
        (Some(attempt(1, Outcome::Retry)), wait(5)),
    ] {
        let claimed = claim_one(store, at(5)).await;
        let planned = claimed.requests.is_none().then(|| vec![request("a"), request("b")]);
        let progress = Progress { planned, attempt, ..step(next) };
        store.advance(claimed.claim, progress).await.unwrap();
        tries.push(claimed.tries);
    }

    assert_eq!(tries, [0, 1, 2, 2, 0]);
}

#[tokio::test]
async fn the_whole_history_of_an_event_is_kept() {
    let place = Place::new();
    let store = &*place.open();
    let id = keep(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;
    let mut refused = attempt(0, Outcome::Refused);
    refused.status = Some(400);
    refused.detail = Some("problem is too long".to_owned());

    store.advance(claim, begin(&["slow"])).await.unwrap();
    store.advance(claim, after(attempt(0, Outcome::Retry), send(0))).await.unwrap();
    store.advance(claim, after(refused.clone(), settle(State::Dead))).await.unwrap();

    let record = record(store, id).await;
    assert_eq!(record.attempts, [attempt(0, Outcome::Retry), refused]);
    assert_eq!(record.requests[0].state, RequestState::Refused);
}

#[tokio::test]
async fn reasons_and_notes_are_still_there_after_reopening() {
    let place = Place::new();
    let store = place.open();
    let id = keep(&*store, webhook(at(0))).await;
    let claim = claim_one(&*store, at(0)).await.claim;
    let first = Progress { notes: vec!["no company".to_owned()], ..begin(&["slow"]) };
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
async fn a_step_of_a_request_that_is_not_there_writes_nothing() {
    let place = Place::new();
    let store = &*place.open();
    let id = keep(store, webhook(at(0))).await;
    let claim = claim_one(store, at(0)).await.claim;

    let progress = Progress { planned: Some(vec![request("slow")]), ..step(send(1)) };
    let refused = store.advance(claim, progress).await;

    assert!(matches!(refused, Err(StoreError::Impossible { .. })));
    assert_eq!(record(store, id).await.requests, []);
    store.advance(claim, begin(&["slow"])).await.unwrap();
}

#[tokio::test]
async fn what_is_settled_or_held_leaves_the_queue() {
    let place = Place::new();
    let store = &*place.open();
    for state in [State::Delivered, State::Ignored, State::Held, State::Dead] {
        let id = keep(store, webhook(at(0))).await;
        let claim = claim_one(store, at(0)).await.claim;

        store.advance(claim, step(settle(state))).await.unwrap();

        let settled_at = (state != State::Held).then_some(at(9));
        let record = record(store, id).await;
        assert_eq!((record.state, record.settled_at), (state, settled_at));
        assert_eq!(claim_from(store, &["form"], at(1_000_000), 9).await, []);
    }
    assert_eq!(store.next_due(vec![name("form")]).await.unwrap(), None);
}

#[tokio::test]
async fn next_due_is_when_there_is_something_to_claim() {
    let place = Place::new();
    let store = &*place.open();
    let due = async || store.next_due(vec![name("form"), name("a")]).await.unwrap();
    assert_eq!(due().await, None);

    keep(store, from("unwanted", at(1))).await;
    keep(store, webhook(at(20))).await;
    keep(store, from("a", at(30))).await;
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
    let place = Place::new();
    let store = &*place.open();
    keep(store, from("a", at(0))).await;
    keep(store, from("b", at(0))).await;
    keep(store, from("b", at(0))).await;
    let claimed = claim_from(store, &["b"], at(0), 1).await;
    store.advance(claimed[0].claim, step(settle(State::Dead))).await.unwrap();

    let counts = store.counts().await.unwrap();
    let mut counts: Vec<_> =
        counts.iter().map(|count| (count.source.as_str(), count.state, count.events)).collect();

    counts.sort_unstable_by_key(|(source, state, _)| (*source, state.as_str()));
    assert_eq!(counts, [("a", State::Queued, 1), ("b", State::Dead, 1), ("b", State::Queued, 1)]);
}

#[tokio::test]
async fn of_each_source_it_is_known_since_when_its_oldest_event_waits() {
    let place = Place::new();
    let store = &*place.open();
    for (source, received) in [("a", 30), ("a", 10), ("a", 20), ("b", 5), ("c", 1)] {
        keep(store, from(source, at(received))).await;
    }
    let begun = claim_from(store, &["a"], at(60), 1).await;
    let settled = claim_from(store, &["c"], at(60), 1).await;
    store.advance(begun[0].claim, step(wait(90))).await.unwrap();
    store.advance(settled[0].claim, step(settle(State::Delivered))).await.unwrap();

    let oldest = store.oldest().await.unwrap();

    assert_eq!(oldest, [(name("a"), at(10)), (name("b"), at(5))]);
}

#[tokio::test]
async fn an_arrival_is_told_even_to_one_who_asks_later() {
    let place = Place::new();
    let store = &*place.open();
    store.keep(deliveries(&["a"])).await.unwrap();

    let seen = store.arrived(0).await;

    store.keep(deliveries(&["a"])).await.unwrap();
    let again = tokio::time::timeout(Duration::ZERO, store.arrived(seen)).await;
    assert!(again.is_err(), "a repeat is no arrival");
}

#[tokio::test]
async fn an_arrival_is_told_to_each_who_waits() {
    let place = Place::new();
    let store = &*place.open();
    let kept = async { store.keep(deliveries(&["a"])).await.unwrap() };

    let (first, second, _) = tokio::join!(store.arrived(0), store.arrived(0), kept);

    assert_eq!((first, second), (1, 1));
}

#[tokio::test]
async fn an_event_that_was_never_kept_is_not_found() {
    let place = Place::new();
    let store = &*place.open();

    assert_eq!(store.event(EventId::new(at(0))).await.unwrap(), None);
    assert_eq!(store.ready().await, Ok(()));
}
