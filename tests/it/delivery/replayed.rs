//! A replay on its way through delivery: mapped anew, and nothing that Savio has is sent again unless
//! that is what was asked for.

use std::time::Duration;

use savio_relay::event::{EventId, State};
use savio_relay::store::{EventFilter, HoldDecision, ReplayId, ReplayRequest, run_replay};
use serde_json::{Value, json};

use super::{Relay, company_and_feedback, created, mappings_of, status};
use crate::support::store::at;

impl Relay {
    async fn replay(&self, id: EventId, seconds: i64) {
        let filter = EventFilter { ids: vec![id], ..EventFilter::default() };
        let begun_at = at(seconds);
        let order =
            ReplayRequest { id: ReplayId::new(begun_at), filter, every: Duration::ZERO, begun_at };
        let replay = order.id;
        self.store.start_replay(order).await.unwrap();
        run_replay(&*self.store, replay, |_| {}).await.unwrap();
    }

    /// What Savio was told at this path, in order.
    async fn told(&self, path: &str) -> Vec<Value> {
        let requests = self.savio.received_requests().await.unwrap();
        let here = requests.iter().filter(|request| request.url.path() == path);
        here.map(|request| request.body_json().unwrap()).collect()
    }
}

#[tokio::test]
async fn a_dead_event_is_replayed_with_the_mapping_of_now() {
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
    assert_eq!(relay.told("/companies/").await.len(), 1, "what is done stays done");
    let problems = relay.told("/create-feedback/").await;
    assert_eq!(problems[1], json!({ "problem": "It is slow!" }));
    let marks: Vec<bool> = record.attempts.iter().map(|attempt| attempt.replay).collect();
    assert_eq!(marks, [false, false, true]);
}

#[tokio::test]
async fn a_delivered_event_that_is_replayed_is_sent_whole_and_marked() {
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
async fn a_replayed_event_has_all_its_tries_before_it() {
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
async fn a_released_event_goes_on_behind_what_arrived() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let id = crate::delivery::held(&relay).await;

    relay.store.release(id, HoldDecision::AlreadyArrived, at(10)).await.unwrap();
    relay.deliver_all(10).await;

    assert_eq!(relay.record(id).await.state, State::Delivered);
    assert_eq!(relay.sent().await, ["/create-feedback/"]);
}
