//! Delivery of queued events: once, in order, with retries, and never silently lost.

pub(crate) mod model;
mod clock;
mod in_flight;
mod interruptions;
mod left_out;
mod observed;
mod names;
mod outcomes;
mod probes;
mod recorded;
mod replayed;
mod faults;
mod suspects;
mod titles;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use savio_relay::delivery::{Delivery, Destination, MappingInService, Mappings, Settings, gate};
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::diagnostics::table::{self, TomlTable};
use savio_relay::event::{EventId, Outcome, Request, RequestKind, State};
use savio_relay::mapping::Mapping;
use savio_relay::savio::{self, Client};
use savio_relay::store::{
    EventRecord, MappingText, NextStep, Progress, RequestState, Store, Webhook,
};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::store::{TestStore, at, claim, step, store_one, webhook};
use crate::support::wait::until;
use faults::{CapturedLog, DatabaseFaults};

const MAPPING: &str = r#"
    [[company]]
    internal_id = "$.account"
    name = "$.company"

    [[feedback]]
    when = "@.ignored != true"
    problem = "$.text"
"#;

fn mappings() -> Mappings {
    mappings_of(MAPPING)
}

pub(crate) fn mappings_of(mapping: &str) -> Mappings {
    let document = Document { name: "form.toml".to_owned(), text: mapping.to_owned() };
    let mut mistakes = Vec::new();
    let root = table::parse(&document, &mut mistakes);
    let mapping = Mapping::compile(&mut TomlTable::root(&document, &root), None, &mut mistakes);
    assert_eq!(mistakes, []);
    let text = Arc::new(MappingText::new(&document.text, at(0)));
    let mapping = Arc::new(mapping);
    [("form".parse().unwrap(), MappingInService { mapping, text })].into()
}

fn delivery(store: Arc<dyn Store>, savio: &str, max_in_flight: usize) -> Arc<Delivery> {
    let client = client(savio, Duration::from_secs(30));
    delivery_with(Settings::default(), store, destination(Ok(client), max_in_flight))
}

fn client(savio: &str, timeout: Duration) -> Client {
    let base_url = savio.parse().unwrap();
    Client::new(savio::Settings { base_url, token: "T".into(), timeout }).unwrap()
}

fn destination(client: Result<Client, String>, max_in_flight: usize) -> Destination {
    Destination { name: "default".to_owned(), client, max_in_flight }
}

fn delivery_with(
    settings: Settings,
    store: Arc<dyn Store>,
    destination: Destination,
) -> Arc<Delivery> {
    let delivery = Delivery::new(store, destination, settings);
    delivery.replace_mappings(mappings());
    Arc::new(delivery)
}

/// A relay with a scripted Savio.
struct Relay {
    savio: MockServer,
    store: Arc<dyn Store>,
    delivery: Arc<Delivery>,
    place: TestStore,
}

impl Relay {
    async fn new() -> Relay {
        Relay::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Relay {
        Relay::on(TestStore::new(), settings).await
    }

    async fn on(place: TestStore, settings: Settings) -> Relay {
        let savio = MockServer::start().await;
        let store = place.open();
        let client = client(&savio.uri(), Duration::from_secs(30));
        let delivery = delivery_with(settings, store.clone(), destination(Ok(client), 8));
        Relay { savio, store, delivery, place }
    }

    /// Replaces the delivery by another on the same store, as a restart does.
    fn restart(&mut self) {
        self.delivery = delivery(self.store.clone(), &self.savio.uri(), 8);
    }

    /// Sets the answer to probes, which is 404 before.
    async fn probe_answers(&self, answer: ResponseTemplate) {
        let probe = Mock::given(method("GET")).and(path("/users/"));
        probe.respond_with(answer).mount(&self.savio).await;
    }

    /// Gives each answer once, and the last one for ever.
    async fn savio_answers(&self, route: &str, answers: &[ResponseTemplate]) {
        let (last, before) = answers.split_last().unwrap();
        let mock = |answer: &ResponseTemplate| {
            Mock::given(method("POST")).and(path(route)).respond_with(answer.clone())
        };
        for answer in before {
            mock(answer).up_to_n_times(1).mount(&self.savio).await;
        }
        mock(last).mount(&self.savio).await;
    }

    async fn keep(&self, payload: Value) -> EventId {
        store_one(&*self.store, event(&payload)).await
    }

    async fn deliver_all(&self, seconds: i64) -> usize {
        self.delivery.deliver_all(at(seconds)).await
    }

    async fn record(&self, id: EventId) -> EventRecord {
        self.store.event(id).await.unwrap().unwrap()
    }

    /// Returns the paths of all requests except probes, in order.
    async fn sent(&self) -> Vec<String> {
        let requests = self.savio.received_requests().await.unwrap();
        let sent = requests.iter().filter(|request| request.method == Method::POST);
        sent.map(|request| request.url.path().to_owned()).collect()
    }
}

pub(crate) fn event(payload: &Value) -> Webhook {
    let body = payload.to_string().into_bytes();
    let mut webhook = Webhook { body, ..webhook(at(0)) };
    webhook.events[0].payload = 0..webhook.body.len();
    webhook
}

fn feedback() -> Value {
    json!({ "text": "It is slow" })
}

fn company_and_feedback() -> Value {
    json!({ "text": "It is slow", "account": "6", "company": "Acme" })
}

fn created() -> ResponseTemplate {
    ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }))
}

/// An empty page of a list.
fn page() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({ "count": 0, "next": null, "results": [] }))
}

fn status(status: u16) -> ResponseTemplate {
    ResponseTemplate::new(status)
}

fn outcomes(record: &EventRecord) -> Vec<(usize, Outcome, bool)> {
    let attempts = record.attempts.iter();
    attempts.map(|attempt| (attempt.position, attempt.outcome, attempt.may_repeat)).collect()
}

#[tokio::test]
async fn requests_of_an_event_are_sent_in_order() {
    let relay = Relay::new().await;
    relay.savio_answers("/companies/", &[created()]).await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let id = relay.keep(company_and_feedback()).await;

    assert_eq!(relay.deliver_all(0).await, 1);

    assert_eq!(relay.sent().await, ["/companies/", "/create-feedback/"]);
    let record = relay.record(id).await;
    assert_eq!((record.state, record.due_at), (State::Delivered, None));
    assert!(record.requests.iter().all(|one| one.savio_id == Some(json!(7))));
    assert_eq!(outcomes(&record), [(0, Outcome::Done, false), (1, Outcome::Done, false)]);
}

#[tokio::test]
async fn retry_waits_and_resumes_at_the_failed_request() {
    let relay = Relay::new().await;
    relay.savio_answers("/companies/", &[created()]).await;
    relay.savio_answers("/create-feedback/", &[status(503), created()]).await;
    let id = relay.keep(company_and_feedback()).await;

    assert_eq!(relay.deliver_all(0).await, 1);
    assert_eq!(
        relay.record(id).await.reason.as_deref(),
        Some("Savio answered 503 (not available)")
    );
    assert_eq!(relay.deliver_all(4).await, 0);
    assert_eq!(relay.deliver_all(10).await, 1);

    let expected = ["/companies/", "/create-feedback/", "/create-feedback/"];
    assert_eq!(relay.sent().await, expected);
    assert_eq!(relay.record(id).await.state, State::Delivered);
}

#[tokio::test]
async fn waits_grow_and_retries_end_after_three_days() {
    let breaker_failures = u32::MAX;
    let gate = gate::Settings { breaker_failures, ..gate::Settings::default() };
    let relay = Relay::with(Settings { gate, ..Settings::default() }).await;
    relay.savio_answers("/create-feedback/", &[status(500)]).await;
    let id = relay.keep(feedback()).await;

    let mut due = Some(at(0));
    let mut tries = 0;
    while let Some(now) = due {
        relay.delivery.deliver_all(now).await;
        due = relay.record(id).await.due_at;
        tries += 1;
    }

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Dead);
    assert!(record.reason.unwrap().starts_with("gave up after 7"));
    assert!((50..85).contains(&tries), "{tries}");
}

#[tokio::test]
async fn refused_event_is_dead_with_savios_message() {
    let relay = Relay::new().await;
    let refusal = status(400).set_body_string("the name is taken, said the holder of T");
    relay.savio_answers("/companies/", &[refusal]).await;
    let id = relay.keep(company_and_feedback()).await;

    relay.deliver_all(0).await;

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Dead);
    let reason = "Savio answered 400: the name is taken, said the holder of ***";
    assert_eq!(record.reason.as_deref(), Some(reason));
    let states: Vec<RequestState> = record.requests.iter().map(|one| one.state).collect();
    assert_eq!(states, [RequestState::Refused, RequestState::Waiting]);
    assert_eq!(relay.sent().await, ["/companies/"]);
}

#[tokio::test]
async fn unanswered_send_is_repeated_and_marked() {
    let relay = Relay::new().await;
    let late = created().set_delay(Duration::from_mins(1));
    relay.savio_answers("/create-feedback/", &[late, created()]).await;
    let id = relay.keep(feedback()).await;
    let second = Duration::from_secs(1);
    let impatient = destination(Ok(client(&relay.savio.uri(), second)), 8);
    let impatient = delivery_with(Settings::default(), relay.store.clone(), impatient);

    impatient.deliver_all(at(0)).await;
    relay.deliver_all(10).await;

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Delivered);
    assert_eq!(outcomes(&record), [(0, Outcome::Unanswered, false), (0, Outcome::Done, true)]);
}

#[tokio::test]
async fn unsent_request_is_not_marked_as_a_repeat() {
    let relay = Relay::new().await;
    let id = relay.keep(feedback()).await;
    let nobody = delivery(relay.store.clone(), "http://127.0.0.1:1", 8);
    relay.savio_answers("/create-feedback/", &[created()]).await;

    nobody.deliver_all(at(0)).await;
    relay.deliver_all(10).await;

    let record = relay.record(id).await;
    assert_eq!(outcomes(&record), [(0, Outcome::Unreachable, false), (0, Outcome::Done, false)]);
}

/// Stores an event with company and feedback that is held, since its first request got no answer.
async fn held(relay: &Relay) -> EventId {
    let id = relay.keep(company_and_feedback()).await;
    let claimed = claim(&*relay.store, at(0), 1).await.remove(0);
    let requests = mappings()[&claimed.event.source]
        .mapping
        .apply(&claimed.event, &company_and_feedback().into())
        .unwrap()
        .requests;
    let settle = NextStep::Settle { state: State::Held, reason: None, at: at(0) };
    let progress = Progress { planned: Some(requests), ..step(settle) };
    relay.store.advance(claimed.claim, progress).await.unwrap();
    id
}

/// Leaves the event in the state of a crash during the send of its only request.
async fn cut_off(store: &dyn Store) {
    let claimed = claim(store, at(0), 1).await.remove(0);
    let body = json!({ "problem": "It is slow" }).as_object().unwrap().clone();
    let request = Request { kind: RequestKind::Feedback, body };
    let next = NextStep::Send { position: 0, at: at(0) };
    let sending = Progress { planned: Some(vec![request]), ..step(next) };
    store.advance(claimed.claim, sending).await.unwrap();
}

#[tokio::test]
async fn send_interrupted_by_a_crash_is_recorded_and_repeated() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let id = relay.keep(feedback()).await;
    cut_off(&*relay.store).await;

    relay.deliver_all(61).await;

    let record = relay.record(id).await;
    assert_eq!(outcomes(&record), [(0, Outcome::Interrupted, false), (0, Outcome::Done, true)]);
    assert_eq!(relay.sent().await.len(), 1);
}

#[tokio::test]
async fn event_without_requests_is_ignored() {
    let relay = Relay::new().await;
    let id = relay.keep(json!({ "ignored": true })).await;

    relay.deliver_all(0).await;

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Ignored);
    assert_eq!(record.reason.as_deref(), Some("the mapping made no request"));
}

#[tokio::test]
async fn unmappable_event_is_dead_and_sends_nothing() {
    let relay = Relay::new().await;
    let id = relay.keep(json!({ "account": "6", "company": "Acme" })).await;
    let broken = Webhook { body: b"{".to_vec(), ..event(&json!(1)) };
    let broken_id = store_one(&*relay.store, broken).await;

    relay.deliver_all(0).await;

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Dead);
    assert!(record.reason.unwrap().contains("problem"));
    let reason = relay.record(broken_id).await.reason.unwrap();
    assert!(reason.starts_with("the payload is not JSON"), "{reason}");
    assert_eq!(relay.sent().await.len(), 0);
}

#[tokio::test]
async fn event_of_a_source_without_mapping_waits_for_one() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    relay.delivery.replace_mappings(Mappings::new());
    let id = relay.keep(feedback()).await;

    assert_eq!(relay.deliver_all(0).await, 0);
    assert_eq!(relay.record(id).await.state, State::Queued);

    relay.delivery.replace_mappings(mappings());
    assert_eq!(relay.deliver_all(0).await, 1);
    assert_eq!(relay.record(id).await.state, State::Delivered);
}

#[tokio::test]
async fn outcome_is_recorded_later_and_nothing_is_sent_twice() {
    let relay = Relay::new().await;
    relay.savio_answers("/companies/", &[created()]).await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let id = relay.keep(company_and_feedback()).await;
    let (log, faults) = (CapturedLog::start(), DatabaseFaults::of(&relay.place));
    faults.fail_attempt_inserts();

    let delivery = Arc::clone(&relay.delivery);
    let delivering = tokio::spawn(async move { delivery.deliver_all(at(0)).await });
    until(|| log.contains("cannot record progress of event")).await;
    faults.clear();
    delivering.await.unwrap();

    assert_eq!(relay.sent().await, ["/companies/", "/create-feedback/"]);
    let record = relay.record(id).await;
    assert_eq!(record.state, State::Delivered);
    assert_eq!(outcomes(&record), [(0, Outcome::Done, false), (1, Outcome::Done, false)]);
}

#[tokio::test]
async fn event_whose_progress_is_rejected_is_dead_and_not_resent() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let id = relay.keep(feedback()).await;
    let faults = DatabaseFaults::of(&relay.place);
    faults.reject_attempt_inserts("no such request");
    let delivery = &relay.delivery;

    delivery.deliver_all(at(0)).await;
    delivery.deliver_all(at(3600)).await;

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Dead);
    assert_eq!(record.reason.as_deref(), Some("a bug of the relay: no such request"));
    assert_eq!(relay.sent().await.len(), 1);
}
