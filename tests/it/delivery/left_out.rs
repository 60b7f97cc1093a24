//! Refusals of optional fields alone, which lead to one more try without them.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use savio_relay::delivery::outcome::{self, UnansweredPolicy};
use savio_relay::delivery::{Delivery, Settings};
use savio_relay::event::{EventId, Outcome, State};
use savio_relay::store::{
    CountFor, EventFilter, PageRequest, ReplayId, ReplayRequest, RequestState, run_replay,
};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use super::faults::{CapturedLog, DatabaseFaults};
use super::{Relay, client, created, delivery_with, destination, mappings_of, outcomes, status};
use crate::support::store::{at, somebody};
use crate::support::wait::until_async;

const MAPPING: &str = r#"
    [[contact]]
    when = "@.contact"
    internal_id = "$.contact"
    name = "Ada"
    email = "$.email"

    [[feedback]]
    problem = "$.text"
    source_url = "$.url"
    source_username = "$.by"
    person_email = "$.email"
    tags = "$.tags"
"#;

fn payload() -> Value {
    json!({ "text": "Slow", "url": "https://example.com/1", "by": "bot", "email": "ada@example.com" })
}

fn feedback() -> Value {
    json!({
        "problem": "Slow", "source_url": "https://example.com/1", "source_username": "bot",
        "person_email": "ada@example.com",
    })
}

fn without(fields: &[&str]) -> Value {
    let mut body = feedback();
    body.as_object_mut().unwrap().retain(|name, _| !fields.contains(&name.as_str()));
    body
}

fn refused(fields: &[&str]) -> ResponseTemplate {
    let errors: serde_json::Map<String, Value> =
        fields.iter().map(|name| ((*name).to_owned(), json!(["Not valid."]))).collect();
    ResponseTemplate::new(400).set_body_json(errors)
}

fn holding() -> Settings {
    let retry =
        outcome::Settings { unanswered: UnansweredPolicy::Hold, ..outcome::Settings::default() };
    Settings { retry, ..Settings::default() }
}

struct Scene {
    relay: Relay,
    id: EventId,
}

impl Scene {
    /// Stores an event, and sets the responses to feedback in their order.
    async fn new(payload: Value, answers: &[ResponseTemplate]) -> Scene {
        Scene::with(Settings::default(), payload, answers).await
    }

    async fn with(settings: Settings, payload: Value, answers: &[ResponseTemplate]) -> Scene {
        let relay = Relay::with(settings).await;
        relay.delivery.replace_mappings(mappings_of(MAPPING));
        relay.savio_answers("/create-feedback/", answers).await;
        let id = relay.keep(payload).await;
        Scene { relay, id }
    }

    /// Returns the bodies that were sent to a path, in order.
    async fn bodies(&self, path: &str) -> Vec<Value> {
        let requests = self.relay.savio.received_requests().await.unwrap();
        let sent = requests.iter().filter(|it| it.method == Method::POST && it.url.path() == path);
        sent.map(|it| it.body_json().unwrap()).collect()
    }

    async fn feedback(&self) -> Vec<Value> {
        self.bodies("/create-feedback/").await
    }

    /// Creates another delivery on the same store, as after a crash.
    fn delivery(&self, settings: Settings) -> Arc<Delivery> {
        let client = client(&self.relay.savio.uri(), Duration::from_secs(30));
        let delivery =
            delivery_with(settings, self.relay.store.clone(), destination(Ok(client), 8));
        delivery.replace_mappings(mappings_of(MAPPING));
        delivery
    }
}

#[tokio::test]
async fn second_try_leaves_out_refused_optional_fields() {
    for fields in [
        vec!["source_url"],
        vec!["source_username"],
        vec!["person_email"],
        vec!["source_url", "source_username", "person_email"],
    ] {
        let scene = Scene::new(payload(), &[refused(&fields), created()]).await;

        scene.relay.deliver_all(0).await;

        assert_eq!(scene.feedback().await, [feedback(), without(&fields)]);
        let record = scene.relay.record(scene.id).await;
        assert_eq!(record.state, State::Delivered, "{fields:?}");
        assert_eq!(outcomes(&record), [(0, Outcome::Refused, false), (0, Outcome::Done, false)]);
        assert_eq!(json!(record.requests[0].request.body), without(&fields));
        let note = "was left out: Savio refused the value and nothing else";
        assert!(record.notes.len() == 1 && record.notes[0].contains(note), "{:?}", record.notes);
        let mut sorted: Vec<&str> = fields.clone();
        sorted.sort_unstable();
        assert_eq!(record.left_out, sorted);
    }
}

#[tokio::test]
async fn refused_address_of_a_contact_is_left_out() {
    let payload = json!({ "contact": "7", "email": "ada@example.com", "text": "Slow" });
    let scene = Scene::new(payload, &[created()]).await;
    scene.relay.savio_answers("/users/", &[refused(&["email"]), created()]).await;

    scene.relay.deliver_all(0).await;

    let short = json!({ "internal_id": "7", "name": "Ada" });
    let whole = json!({ "internal_id": "7", "name": "Ada", "email": "ada@example.com" });
    assert_eq!(scene.bodies("/users/").await, [whole, short]);
    let record = scene.relay.record(scene.id).await;
    assert_eq!((record.state, record.left_out), (State::Delivered, vec!["email".to_owned()]));
}

#[tokio::test]
async fn all_other_refusals_are_dead_at_once() {
    let url = ["source_url"];
    for (payload, answer) in [
        (payload(), refused(&["source_url", "problem"])),
        (payload(), refused(&["tags"])),
        (payload(), refused(&["person_name"])),
        (payload(), refused(&["detail"])),
        (payload(), refused(&[])),
        (payload(), status(400)),
        (payload(), ResponseTemplate::new(400).set_body_string("source_url")),
        (payload(), ResponseTemplate::new(422).set_body_json(json!({ "source_url": ["No."] }))),
        // A field that the request does not have cannot be left out.
        (json!({ "text": "Slow" }), refused(&url)),
    ] {
        let scene = Scene::new(payload, &[answer, created()]).await;

        scene.relay.deliver_all(0).await;

        let record = scene.relay.record(scene.id).await;
        assert_eq!((record.state, record.left_out.len()), (State::Dead, 0), "{:?}", record.reason);
        assert_eq!(scene.feedback().await.len(), 1);
    }
}

#[tokio::test]
async fn second_refusal_of_fields_is_dead() {
    let scene =
        Scene::new(payload(), &[refused(&["source_url"]), refused(&["person_email"]), created()])
            .await;

    scene.relay.deliver_all(0).await;

    let record = scene.relay.record(scene.id).await;
    assert_eq!(record.state, State::Dead);
    assert_eq!(scene.feedback().await, [feedback(), without(&["source_url"])]);
}

#[tokio::test]
async fn second_refusal_of_fields_is_dead_after_a_restart_too() {
    let answers = [refused(&["source_url"]), status(503), refused(&["person_email"]), created()];
    let scene = Scene::new(payload(), &answers).await;
    scene.relay.deliver_all(0).await;
    assert_eq!(scene.relay.record(scene.id).await.state, State::Queued);

    scene.delivery(Settings::default()).deliver_all(at(60)).await;

    let short = without(&["source_url"]);
    assert_eq!(scene.relay.record(scene.id).await.state, State::Dead);
    assert_eq!(scene.feedback().await, [feedback(), short.clone(), short]);
}

/// Aborts the relay during the send of the shortened request.
async fn cut_off(settings: &Settings, scene: &Scene) {
    let delivery = scene.delivery(settings.clone());
    let sending = tokio::spawn(async move { delivery.deliver_all(at(0)).await });
    until_async(async || scene.feedback().await.len() == 2).await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
}

fn late() -> ResponseTemplate {
    created().set_delay(Duration::from_mins(10))
}

#[tokio::test]
async fn shortened_request_and_its_note_are_stored_before_the_send() {
    let answers = [refused(&["source_url"]), late(), created()];
    let scene = Scene::new(payload(), &answers).await;
    cut_off(&Settings::default(), &scene).await;

    let record = scene.relay.record(scene.id).await;
    assert_eq!(record.requests[0].state, RequestState::Sending);
    assert_eq!(json!(record.requests[0].request.body), without(&["source_url"]));
    assert_eq!((record.notes.len(), &record.left_out), (1, &vec!["source_url".to_owned()]));
    assert_eq!(outcomes(&record), [(0, Outcome::Refused, false)]);

    // The send may have arrived: it is repeated, marked, and still without the field.
    scene.delivery(Settings::default()).deliver_all(at(120)).await;
    let record = scene.relay.record(scene.id).await;
    let expected =
        [(0, Outcome::Refused, false), (0, Outcome::Interrupted, false), (0, Outcome::Done, true)];
    assert_eq!((record.state, outcomes(&record)), (State::Delivered, expected.to_vec()));
    assert_eq!(scene.feedback().await[2], without(&["source_url"]));
}

#[tokio::test]
async fn interrupted_shortened_request_is_held_by_policy() {
    let scene = Scene::with(holding(), payload(), &[refused(&["source_url"]), late()]).await;
    cut_off(&holding(), &scene).await;

    scene.delivery(holding()).deliver_all(at(120)).await;

    let record = scene.relay.record(scene.id).await;
    assert_eq!(record.state, State::Held);
    assert_eq!(scene.feedback().await.len(), 2);
}

#[tokio::test]
async fn crash_before_a_refusal_is_recorded_repeats_it() {
    let answers = [refused(&["source_url"]), refused(&["source_url"]), created()];
    let scene = Scene::new(payload(), &answers).await;
    let (log, faults) = (CapturedLog::start(), DatabaseFaults::of(&scene.relay.place));
    faults.fail_attempt_inserts();
    let delivery = scene.delivery(Settings::default());
    let sending = tokio::spawn(async move { delivery.deliver_all(at(0)).await });
    until_async(async || log.contains("cannot record progress of event")).await;
    sending.abort();
    assert!(sending.await.unwrap_err().is_cancelled());
    faults.clear();

    scene.delivery(Settings::default()).deliver_all(at(120)).await;

    let record = scene.relay.record(scene.id).await;
    assert_eq!(record.state, State::Delivered);
    assert_eq!(scene.feedback().await, [feedback(), feedback(), without(&["source_url"])]);
}

#[tokio::test]
async fn replay_skips_a_request_that_was_shortened_and_done() {
    let payload = json!({ "contact": "7", "email": "ada@example.com", "text": "Slow" });
    let scene = Scene::new(payload, &[status(400)]).await;
    scene.relay.savio_answers("/users/", &[refused(&["email"]), created()]).await;
    scene.relay.deliver_all(0).await;
    assert_eq!(scene.relay.record(scene.id).await.state, State::Dead);

    scene.relay.savio.reset().await;
    for route in ["/users/", "/create-feedback/"] {
        let made = Mock::given(method("POST")).and(path(route));
        made.respond_with(created()).mount(&scene.relay.savio).await;
    }
    let filter = EventFilter { left_out: Some(true), ..EventFilter::default() };
    let id = ReplayId::new(at(60));
    let request = ReplayRequest { id, filter, interval: Duration::ZERO, begun_at: at(60) };
    scene.relay.store.start_replay(request, somebody()).await.unwrap();
    run_replay(&*scene.relay.store, id, |_| ()).await.unwrap();
    scene.relay.deliver_all(60).await;

    assert_eq!(scene.relay.sent().await, ["/create-feedback/"]);
    let record = scene.relay.record(scene.id).await;
    assert_eq!((record.state, record.left_out), (State::Delivered, vec!["email".to_owned()]));
}

#[tokio::test]
async fn events_are_filtered_by_left_out_fields() {
    let scene = Scene::new(payload(), &[refused(&["source_url"]), created()]).await;
    let store = &scene.relay.store;
    scene.relay.deliver_all(0).await;
    let by_mapping = scene.relay.keep(json!({ "text": "Slow", "url": "/pricing" })).await;
    let whole = scene.relay.keep(payload()).await;
    scene.relay.deliver_all(1).await;
    assert_eq!(scene.relay.record(by_mapping).await.left_out, ["source_url"]);

    for (left_out, expected) in [
        (Some(true), vec![by_mapping, scene.id]),
        (Some(false), vec![whole]),
        (None, vec![whole, by_mapping, scene.id]),
    ] {
        for since in [None, Some(at(0))] {
            for ids in [Vec::new(), vec![scene.id, by_mapping, whole]] {
                let filter = EventFilter { left_out, since, ids, ..EventFilter::default() };
                let page = PageRequest { limit: 10, after: None };
                let mut listed: Vec<EventId> = Vec::new();
                for line in store.list(filter.clone(), page).await.unwrap().events {
                    assert_eq!(line.left_out.is_empty(), line.id == whole);
                    listed.push(line.id);
                }
                assert_eq!(listed, expected, "{filter:?}");
                let matching = store.count_matching(filter, CountFor::Replay).await.unwrap();
                assert_eq!(matching.events(), expected.len() as u64);
            }
        }
    }
}
