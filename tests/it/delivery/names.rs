//! Requests that share a name: one is in flight until the first success, upserts are sent in order
//! of receipt, and other events are not delayed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{StatusCode, Uri};
use axum::{Json, Router};
use savio_relay::clock;
use savio_relay::delivery::{Delivery, Mappings, Settings};
use savio_relay::event::{EventId, State};
use savio_relay::store::{RequestState, Store, Webhook};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{client, delivery_with, destination, event, mappings_of};
use crate::support::store::{TestStore, at, name, store_one};

const MAPPING: &str = r#"
    [[company]]
    internal_id = "$.account"
    name = "$.company"

    [[feedback]]
    when = "{{ payload.text }}"
    problem = "$.text"
    feature_request_title = "$.title"
    tags = ["$.tags[*]"]
"#;

/// A request that waits for its response.
struct Call {
    body: Value,
    answer: oneshot::Sender<u16>,
}

impl Call {
    /// Text that identifies its event.
    fn text(&self) -> &str {
        self.body["problem"].as_str().or(self.body["name"].as_str()).unwrap()
    }

    fn answer(self, status: u16) {
        self.answer.send(status).unwrap();
    }
}

/// A relay, and a Savio in which the test answers each request.
struct Scripted {
    place: TestStore,
    store: Arc<dyn Store>,
    delivery: Arc<Delivery>,
    calls: mpsc::UnboundedReceiver<Call>,
    savio: String,
    max_in_flight: usize,
}

impl Scripted {
    async fn new(max_in_flight: usize) -> Scripted {
        let (place, (savio, calls)) = (TestStore::new(), savio().await);
        let store = place.open();
        let delivery = relay(&store, &savio, max_in_flight);
        Scripted { place, store, delivery, calls, savio, max_in_flight }
    }

    async fn keep(&self, payload: Value) {
        store_one(&*self.store, event(&payload)).await;
    }

    async fn keep_from(&self, source: &str, payload: Value) {
        store_one(&*self.store, Webhook { source: name(source), ..event(&payload) }).await;
    }

    fn start(&self, seconds: i64) -> JoinHandle<usize> {
        let delivery = self.delivery.clone();
        tokio::spawn(async move { delivery.deliver_all(at(seconds)).await })
    }

    async fn next(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }

    /// Waits for two requests that are in flight at the same time, and returns them ordered by
    /// text.
    async fn two(&mut self) -> [Call; 2] {
        let mut calls = [self.next().await, self.next().await];
        calls.sort_by_key(|call| call.text().to_owned());
        calls
    }

    /// Answers the next request, and returns its text.
    async fn answer(&mut self, status: u16) -> String {
        let call = self.next().await;
        let text = call.text().to_owned();
        call.answer(status);
        text
    }

    /// Answers all requests with 201 until the delivery ends, and returns their texts.
    async fn answer_all(&mut self, mut delivery: JoinHandle<usize>) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            tokio::select! {
                Some(call) = self.calls.recv() => {
                    texts.push(call.text().to_owned());
                    call.answer(201);
                }
                _ = &mut delivery => return texts,
            }
        }
    }

    async fn count(&self, state: State) -> u64 {
        let counts = self.store.counts().await.unwrap();
        counts.iter().filter(|count| count.state == state).map(|count| count.events).sum()
    }

    /// Reopens the store and starts another delivery, as a restart does.
    fn restart(&mut self) {
        let nowhere = TestStore::new();
        self.store = nowhere.open();
        self.delivery = relay(&self.store, &self.savio, self.max_in_flight);
        self.store = self.place.open();
        self.delivery = relay(&self.store, &self.savio, self.max_in_flight);
    }
}

fn relay(store: &Arc<dyn Store>, savio: &str, max_in_flight: usize) -> Arc<Delivery> {
    let client = client(savio, Duration::from_mins(1));
    let destination = destination(Ok(client), max_in_flight);
    let delivery = delivery_with(Settings::default(), store.clone(), destination);
    delivery.replace_mappings(two_sources());
    delivery
}

fn two_sources() -> Mappings {
    let mut mappings = mappings_of(MAPPING);
    let mapping = mappings[&name("form")].clone();
    mappings.insert(name("other"), mapping);
    mappings
}

async fn savio() -> (String, mpsc::UnboundedReceiver<Call>) {
    let (calls, receiver) = mpsc::unbounded_channel();
    let answer = async |Shared(calls): Shared<mpsc::UnboundedSender<Call>>,
                        uri: Uri,
                        Json(body): Json<Value>| {
        let (answer, answered) = oneshot::channel();
        calls.send(Call { body, answer }).unwrap_or_else(|_| panic!("the test has ended: {uri}"));
        let status = answered.await.unwrap_or(503);
        (StatusCode::from_u16(status).unwrap(), Json(json!({ "id": 1 })))
    };
    let router = Router::new().fallback(answer).with_state(calls);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, receiver)
}

fn titled(text: &str, title: &str) -> Value {
    json!({ "text": text, "title": title })
}

fn tagged(text: &str, tags: &[&str]) -> Value {
    json!({ "text": text, "tags": tags })
}

fn company(company: &str) -> Value {
    json!({ "account": "6", "company": company })
}

#[tokio::test]
async fn new_title_is_sent_alone_until_the_first_success() {
    let mut relay = Scripted::new(4).await;
    relay.keep(titled("1", "Dark mode")).await;
    let delivery = relay.start(0);
    let first = relay.next().await;
    for (text, title) in [("2", " dark MODE "), ("3", "Dark mode"), ("a", "a"), ("b", "b")] {
        relay.keep(titled(text, title)).await;
    }
    let more = relay.start(0);

    let mut others = Vec::new();
    for _ in 0..2 {
        others.push(relay.answer(201).await);
    }
    others.sort();
    assert_eq!((more.await.unwrap(), others.concat().as_str()), (4, "ab"));
    first.answer(201);
    let both = relay.two().await;

    assert_eq!(both.each_ref().map(Call::text), ["2", "3"]);
    for call in both {
        call.answer(201);
    }
    assert_eq!(delivery.await.unwrap(), 1);
}

#[tokio::test]
async fn failed_first_attempt_unblocks_the_next() {
    let mut relay = Scripted::new(4).await;
    relay.keep(titled("1", "Dark mode")).await;
    let delivery = relay.start(0);
    let first = relay.next().await;
    for text in ["2", "3"] {
        relay.keep(titled(text, "Dark mode")).await;
        relay.start(0).await.unwrap();
    }

    first.answer(400);
    assert_eq!(relay.answer(503).await, "2");
    assert_eq!(relay.answer_all(delivery).await, ["3"]);

    assert_eq!(relay.count(State::Dead).await, 1);
    let again = relay.start(10);
    assert_eq!(relay.answer_all(again).await, ["2"]);
}

#[tokio::test]
async fn all_names_of_a_request_are_locked_at_once() {
    let mut relay = Scripted::new(4).await;
    relay.keep(tagged("1", &["red"])).await;
    let delivery = relay.start(0);
    let first = relay.next().await;
    for (text, tags) in [("2", ["red", "blue"]), ("3", ["blue", "green"]), ("4", ["green", ""])] {
        relay.keep(tagged(text, &tags)).await;
        relay.start(0).await.unwrap();
    }

    first.answer(400);
    let sequence = [relay.answer(400).await, relay.answer(400).await];

    assert_eq!(sequence, ["2", "3"]);
    assert_eq!(relay.answer_all(delivery).await, ["4"]);
}

#[tokio::test]
async fn blocked_event_occupies_no_slot() {
    let mut relay = Scripted::new(2).await;
    for number in 0..20 {
        relay.keep(titled(&format!("hot {number}"), "hot")).await;
    }
    for number in 0..5 {
        relay.keep(titled(&format!("other {number}"), &format!("title {number}"))).await;
    }
    let delivery = relay.start(0);

    let hot = relay.next().await;
    for _ in 0..5 {
        assert!(relay.answer(201).await.starts_with("other"));
    }
    assert!(hot.text().starts_with("hot"));
    hot.answer(201);

    assert_eq!(relay.answer_all(delivery).await.len(), 19);
    assert_eq!(relay.count(State::Delivered).await, 25);
}

#[tokio::test]
async fn blocked_second_request_leaves_the_first_recorded() {
    let mut relay = Scripted::new(4).await;
    relay.keep(titled("1", "Dark mode")).await;
    let two = json!({ "account": "6", "company": "Acme", "text": "2", "title": "Dark mode" });
    let two = store_one(&*relay.store, event(&two)).await;
    let delivery = relay.start(0);

    let [first, acme] = relay.two().await;
    acme.answer(201);
    let mut state = RequestState::Sending;
    while state == RequestState::Sending {
        state = relay.store.event(two).await.unwrap().unwrap().requests[0].state;
    }
    assert_eq!((first.text(), state), ("1", RequestState::Done));
    first.answer(201);

    assert_eq!(relay.answer_all(delivery).await, ["2"]);
}

#[tokio::test]
async fn upserts_of_one_internal_id_are_sent_in_order_of_receipt() {
    let mut relay = Scripted::new(4).await;
    for name in ["Acme", "Acme Inc", "Acme Ltd"] {
        relay.keep(company(name)).await;
    }
    let delivery = relay.start(0);

    let sequence = [relay.answer(201).await, relay.answer(400).await, relay.answer(201).await];

    assert_eq!(sequence, ["Acme", "Acme Inc", "Acme Ltd"]);
    assert!(relay.answer_all(delivery).await.is_empty());
}

#[tokio::test]
async fn upsert_waits_for_an_older_one_that_is_retried() {
    let mut relay = Scripted::new(4).await;
    relay.keep(company("Acme")).await;
    relay.keep(company("Acme Inc")).await;
    let delivery = relay.start(0);
    assert_eq!(relay.answer(503).await, "Acme");
    assert!(relay.answer_all(delivery).await.is_empty());

    let again = relay.start(10);

    assert_eq!(relay.answer_all(again).await, ["Acme", "Acme Inc"]);
}

#[tokio::test]
async fn upsert_waits_for_an_older_one_over_a_restart() {
    let mut relay = Scripted::new(4).await;
    relay.keep(company("Acme")).await;
    let delivery = relay.start(0);
    assert_eq!(relay.answer(503).await, "Acme");
    delivery.await.unwrap();

    relay.restart();
    relay.keep(company("Acme Inc")).await;
    let early = relay.start(2);
    assert!(relay.answer_all(early).await.is_empty());
    let late = relay.start(10);

    assert_eq!(relay.answer_all(late).await, ["Acme", "Acme Inc"]);
}

#[tokio::test]
async fn upsert_waits_for_no_event_of_a_paused_source() {
    let mut relay = Scripted::new(4).await;
    relay.keep(company("Acme")).await;
    let delivery = relay.start(0);
    assert_eq!(relay.answer(503).await, "Acme");
    delivery.await.unwrap();

    relay.keep_from("other", company("Acme Inc")).await;
    relay.delivery.pause_source(name("form"), at(1)).await.unwrap();
    let delivery = relay.start(2);

    assert_eq!(relay.answer_all(delivery).await, ["Acme Inc"]);
}

#[tokio::test]
async fn parked_event_is_not_sent_once_its_source_is_paused() {
    let mut relay = Scripted::new(4).await;
    relay.keep(titled("1", "Dark mode")).await;
    let delivery = relay.start(0);
    let first = relay.next().await;
    relay.keep_from("other", titled("2", "Dark mode")).await;
    relay.start(0).await.unwrap();
    relay.delivery.pause_source(name("other"), at(1)).await.unwrap();

    first.answer(201);
    assert!(relay.answer_all(delivery).await.is_empty());

    assert_eq!(relay.count(State::Queued).await, 1);
    relay.delivery.resume_source(&name("other")).await.unwrap();
    let again = relay.start(3);
    assert_eq!(relay.answer_all(again).await, ["2"]);
}

/// Waits until the event is parked, and returns what it waits for.
async fn waits_for(relay: &Scripted, event: EventId) -> String {
    let seq = relay.store.event(event).await.unwrap().unwrap().seq;
    loop {
        match relay.delivery.waits_for(seq) {
            Some(reason) => return reason,
            None => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn parked_event_names_the_event_it_waits_for() {
    let mut relay = Scripted::new(4).await;
    let ids = [
        store_one(&*relay.store, event(&company("Acme"))).await,
        store_one(&*relay.store, event(&company("Acme Inc"))).await,
        store_one(&*relay.store, event(&titled("a", "Dark mode"))).await,
        store_one(&*relay.store, event(&titled("b", "Dark mode"))).await,
    ];
    let delivery = relay.start(0);
    let [acme, first] = relay.two().await;

    let reason = format!("waits for event {}, which upserts the same company first", ids[0]);
    assert_eq!(waits_for(&relay, ids[1]).await, reason);
    // Either of the two may have been mapped first.
    let (goes, waits) = if first.text() == "a" { (ids[2], ids[3]) } else { (ids[3], ids[2]) };
    let reason = format!("waits for event {goes}, which names the same feature request first");
    assert_eq!(waits_for(&relay, waits).await, reason);
    assert_eq!(relay.delivery.waiting(), [(name("form"), 2)].into());

    acme.answer(201);
    first.answer(201);
    assert_eq!(relay.answer_all(delivery).await.len(), 2);
    assert_eq!(relay.delivery.waiting(), [].into());
}

#[tokio::test]
async fn event_behind_a_retry_says_so_and_is_due_with_it() {
    let mut relay = Scripted::new(4).await;
    let first = store_one(&*relay.store, event(&company("Acme"))).await;
    let delivery = relay.start(0);
    assert_eq!(relay.answer(503).await, "Acme");
    delivery.await.unwrap();
    let second = store_one(&*relay.store, event(&company("Acme Inc"))).await;

    let early = relay.start(2);
    assert!(relay.answer_all(early).await.is_empty());

    let [first, second] = [first, second].map(|id| relay.store.event(id));
    let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    let reason =
        format!("waits for event {}, which upserts the same company first", first.event.id);
    assert_eq!((second.due_at, second.reason), (first.due_at, Some(reason)));
}

#[tokio::test]
async fn event_is_unblocked_when_the_earlier_source_is_paused() {
    let mut relay = Scripted::new(4).await;
    relay.keep(company("Acme")).await;
    let delivery = relay.start(0);
    assert_eq!(relay.answer(503).await, "Acme");
    delivery.await.unwrap();
    relay.keep_from("other", company("Acme Inc")).await;
    let early = relay.start(2);
    assert!(relay.answer_all(early).await.is_empty());

    relay.delivery.pause_source(name("form"), at(2)).await.unwrap();
    let delivery = relay.start(3);

    assert_eq!(relay.answer_all(delivery).await, ["Acme Inc"]);
}

// The leases of this relay are not renewed during the test: an event that only a renewal unblocks
// fails it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_hundred_upserts_of_one_company_never_stall() {
    let mut relay = Scripted::new(8).await;
    let names: Vec<String> = (0..400).map(|number| format!("Acme {number:03}")).collect();
    for name in &names {
        let webhook = Webhook { received_at: clock::now(), ..event(&company(name)) };
        store_one(&*relay.store, webhook).await;
    }
    let settings = Settings { lease: Duration::from_hours(24), ..Settings::default() };
    let client = client(&relay.savio, Duration::from_mins(1));
    let delivery = delivery_with(settings, relay.store.clone(), destination(Ok(client), 8));
    delivery.replace_mappings(two_sources());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(delivery.run(async { drop(stopped.await) }));

    for name in &names {
        let answered = timeout(Duration::from_mins(1), relay.answer(201)).await;
        assert_eq!(answered.as_ref(), Ok(name));
    }

    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(relay.count(State::Delivered).await, 400);
}
