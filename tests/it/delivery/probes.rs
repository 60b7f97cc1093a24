//! Probes that a person orders: what their answer changes.

use savio_relay::delivery::gate::PausedBy;
use savio_relay::event::{EventId, State};
use wiremock::ResponseTemplate;

use super::{Relay, created, feedback, page, status};
use crate::support::store::at;

const HOUR: i64 = 3_600;

impl Relay {
    /// Savio answers requests and probes by these from now on.
    async fn savio_becomes(&self, request: ResponseTemplate, probe: ResponseTemplate) {
        self.savio.reset().await;
        self.savio_answers("/create-feedback/", &[request]).await;
        self.probe_answers(probe).await;
    }

    /// Lets the requests of an event fail until the breaker is open, and its next try is far away;
    /// returns the time just after the last one.
    async fn fail_for_a_day(&self, id: EventId) -> i64 {
        self.savio_becomes(status(503), status(503)).await;
        for now in (0..24 * HOUR).step_by(300) {
            self.deliver_all(now).await;
        }
        let due_at = self.record(id).await.due_at.unwrap();
        let last = due_at.as_second() - at(0).as_second() + 1;
        self.deliver_all(last).await;
        last + 1
    }
}

#[tokio::test]
async fn passing_probe_makes_events_due_that_wait_for_their_next_try() {
    let relay = Relay::new().await;
    let id = relay.keep(feedback()).await;
    let now = relay.fail_for_a_day(id).await;
    let due_at = relay.record(id).await.due_at.unwrap();
    assert!(due_at > at(now + HOUR / 2), "it would wait: {due_at}");

    relay.savio_becomes(created(), page()).await;
    let report = relay.delivery.probe(at(now)).await.unwrap();
    relay.deliver_all(now + 1).await;

    assert_eq!(report.answer, Ok(()));
    assert_eq!(relay.record(id).await.state, State::Delivered);
}

#[tokio::test]
async fn failing_probe_changes_no_wait() {
    let relay = Relay::new().await;
    let id = relay.keep(feedback()).await;
    let now = relay.fail_for_a_day(id).await;
    let due_at = relay.record(id).await.due_at;

    let report = relay.delivery.probe(at(now)).await.unwrap();

    assert!(report.answer.is_err());
    assert_eq!(relay.record(id).await.due_at, due_at);
    let status = relay.delivery.status(at(now)).await.unwrap();
    assert_eq!(status.paused_by, None, "that Savio is unavailable is no pause");
}

#[tokio::test]
async fn refused_token_pauses_a_failing_destination() {
    let relay = Relay::new().await;
    let id = relay.keep(feedback()).await;
    let now = relay.fail_for_a_day(id).await;
    assert!(relay.delivery.status(at(now)).await.unwrap().failing_since.is_some());

    relay.savio_becomes(status(401), status(401)).await;
    relay.delivery.probe(at(now)).await.unwrap();

    let state = relay.delivery.status(at(now)).await.unwrap();
    assert_eq!(state.paused_by, Some(PausedBy::Answer));
    let reason = state.waiting_for.unwrap().reason;
    assert!(reason.contains("Savio answered 401 (the token is not accepted)"), "{reason}");
    assert_eq!(relay.sent().await, [""; 0]);
}

#[tokio::test]
async fn refused_token_pauses_no_destination_that_works() {
    let relay = Relay::new().await;
    relay.savio_becomes(created(), status(401)).await;

    let report = relay.delivery.probe(at(0)).await.unwrap();

    assert!(report.answer.is_err());
    assert_eq!(relay.delivery.status(at(0)).await.unwrap().paused_by, None);
}
