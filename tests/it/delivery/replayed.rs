//! Delivery of replayed events: they are mapped again, and only a delivered event is sent again in
//! full.

use std::time::Duration;

use savio_relay::event::{EventId, State};
use savio_relay::store::{EventFilter, HoldDecision, ReplayId, ReplayRequest, run_replay};
use serde_json::{Value, json};

use super::{Relay, company_and_feedback, created, mappings_of, status};
use crate::support::store::{at, release, somebody};

impl Relay {
    async fn replay(&self, id: EventId, seconds: i64) {
        let filter = EventFilter { ids: vec![id], ..EventFilter::default() };
        let begun_at = at(seconds);
        let request = ReplayRequest {
            id: ReplayId::new(begun_at),
            filter,
            interval: Duration::ZERO,
            begun_at,
        };
        let replay = request.id;
        self.store.start_replay(request, somebody()).await.unwrap();
        run_replay(&*self.store, replay, |_| {}).await.unwrap();
    }

    /// Returns the bodies that Savio received at this path, in order.
    async fn bodies(&self, path: &str) -> Vec<Value> {
        let requests = self.savio.received_requests().await.unwrap();
        let here = requests.iter().filter(|request| request.url.path() == path);
        here.map(|request| request.body_json().unwrap()).collect()
    }
}

#[tokio::test]
async fn dead_event_is_replayed_with_the_current_mapping() {
    let relay = Relay::new().await;
    relay.savio_answers("/companies/", &[created()]).await;
    relay.savio_answers("/create-feedback/", &[status(400), created()]).await;
    let id = relay.keep(company_and_feedback()).await;
    relay.deliver_all(0).await;
    assert_eq!(relay.record(id).await.state, State::Dead);
    let mapping = crate::delivery::MAPPING
        .replace("problem = \"$.text\"", "problem = \"{{ payload.text }}!\"");
    relay.delivery.replace_mappings(mappings_of(&mapping));

    relay.replay(id, 10).await;
    relay.deliver_all(10).await;

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Delivered);
    assert_eq!(relay.bodies("/companies/").await.len(), 1, "the company was sent again");
    let problems = relay.bodies("/create-feedback/").await;
    assert_eq!(problems[1], json!({ "problem": "It is slow!" }));
    let marks: Vec<bool> = record.attempts.iter().map(|attempt| attempt.replay).collect();
    assert_eq!(marks, [false, false, true]);
}

#[tokio::test]
async fn replayed_delivered_event_is_sent_in_full_and_marked() {
    let relay = Relay::new().await;
    relay.savio_answers("/companies/", &[created()]).await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let id = relay.keep(company_and_feedback()).await;
    relay.deliver_all(0).await;

    relay.replay(id, 10).await;
    relay.deliver_all(10).await;

    let record = relay.record(id).await;
    let expected = ["/companies/", "/create-feedback/", "/companies/", "/create-feedback/"];
    assert_eq!(
        (record.state, relay.sent().await),
        (State::Delivered, expected.map(str::to_owned).to_vec())
    );
    let marks: Vec<bool> = record.attempts.iter().map(|attempt| attempt.replay).collect();
    assert_eq!(marks, [false, false, true, true]);
}

#[tokio::test]
async fn replayed_event_has_all_its_retries_again() {
    let relay = Relay::new().await;
    relay.savio_answers("/companies/", &[created()]).await;
    relay.savio_answers("/create-feedback/", &[status(400), status(500), created()]).await;
    let id = relay.keep(company_and_feedback()).await;
    relay.deliver_all(0).await;
    let weeks = 30 * 86_400;

    relay.replay(id, weeks).await;
    relay.deliver_all(weeks).await;

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Queued, "{:?}", record.reason);
    relay.deliver_all(weeks + 10).await;
    assert_eq!(relay.record(id).await.state, State::Delivered);
}

#[tokio::test]
async fn released_event_resumes_after_the_arrived_request() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let id = crate::delivery::held(&relay).await;

    relay.store.release(release(id, HoldDecision::AlreadyArrived, at(10))).await.unwrap();
    relay.deliver_all(10).await;

    assert_eq!(relay.record(id).await.state, State::Delivered);
    assert_eq!(relay.sent().await, ["/create-feedback/"]);
}
