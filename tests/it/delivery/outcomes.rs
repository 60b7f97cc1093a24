//! The outcome table with a real destination: which events wait or become dead, and what pauses the
//! destination.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use savio_relay::delivery::gate::{self, PausedBy};
use savio_relay::delivery::outcome::{self, UnansweredPolicy};
use savio_relay::delivery::source_pauses::SourcePauses;
use savio_relay::delivery::{Delivery, Destination, ProcessContext, Settings};
use savio_relay::event::{EventId, Outcome, State};
use serde_json::json;
use wiremock::ResponseTemplate;

use super::{
    Relay, client, company_and_feedback, created, cut_off, delivery_with, destination, feedback,
    outcomes, page, status,
};
use crate::support::store::at;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

impl Relay {
    pub(super) async fn keep_some(&self, events: usize) -> Vec<EventId> {
        let mut ids = Vec::new();
        for _ in 0..events {
            ids.push(self.keep(feedback()).await);
        }
        ids
    }

    /// Counts those of the events that are in the state.
    async fn count(&self, ids: &[EventId], state: State) -> usize {
        let mut count = 0;
        for id in ids {
            count += usize::from(self.record(*id).await.state == state);
        }
        count
    }

    /// Delivers every five minutes from one time to another.
    async fn deliver_between(&self, from: i64, to: i64) {
        for now in (from..to).step_by(300) {
            self.deliver_all(now).await;
        }
    }
}

fn holding() -> Settings {
    let retry =
        outcome::Settings { unanswered: UnansweredPolicy::Hold, ..outcome::Settings::default() };
    Settings { retry, ..Settings::default() }
}

#[tokio::test]
async fn three_days_of_503_make_no_event_dead() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[status(503)]).await;
    let ids = relay.keep_some(3).await;

    relay.deliver_between(0, 3 * DAY + 2 * HOUR).await;
    assert_eq!(relay.count(&ids, State::Queued).await, 3);
    relay.savio.reset().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    relay.deliver_between(3 * DAY + 2 * HOUR, 3 * DAY + 4 * HOUR).await;

    assert_eq!(relay.count(&ids, State::Delivered).await, 3);
}

#[tokio::test]
async fn four_days_without_a_connection_make_no_event_dead() {
    let relay = Relay::new().await;
    let ids = relay.keep_some(1).await;
    let nobody = client("http://127.0.0.1:1", Duration::from_secs(30));
    let nobody = destination(Ok(nobody), 8);
    let unreachable = delivery_with(Settings::default(), relay.store.clone(), nobody);

    for now in (0..4 * DAY).step_by(300) {
        unreachable.deliver_all(at(now)).await;
    }

    assert_eq!(relay.count(&ids, State::Queued).await, 1);
}

#[tokio::test]
async fn four_days_of_a_wrong_token_make_no_event_dead() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[status(401)]).await;
    relay.probe_answers(status(401)).await;
    let ids = relay.keep_some(3).await;

    relay.deliver_between(0, 4 * DAY).await;
    let status = relay.delivery.status(at(4 * DAY)).await.unwrap();
    assert_eq!(status.paused_by, Some(PausedBy::Answer));
    assert!(
        status
            .waiting_for
            .unwrap()
            .reason
            .contains("Savio answered 401 (the token is not accepted)")
    );
    assert_eq!(relay.sent().await.len(), 3, "a request was sent during the pause");

    relay.savio.reset().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    relay.probe_answers(page()).await;
    relay.deliver_all(4 * DAY + 60).await;

    assert_eq!(relay.count(&ids, State::Delivered).await, 3);
}

#[tokio::test]
async fn first_failure_after_a_pause_waits_like_any_first() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[status(401)]).await;
    relay.probe_answers(status(401)).await;
    let id = relay.keep(feedback()).await;
    relay.deliver_all(0).await;

    relay.savio.reset().await;
    relay.savio_answers("/create-feedback/", &[status(503)]).await;
    relay.probe_answers(page()).await;
    relay.deliver_all(600).await;

    let record = relay.record(id).await;
    assert_eq!(outcomes(&record), [(0, Outcome::Paused, false), (0, Outcome::Retry, false)]);
    let wait = record.due_at.unwrap().duration_since(record.attempts[1].at);
    assert!(wait.as_secs() < 9, "the first wait is 5 to 7.5 seconds, the second 10 to 15: {wait}");
}

#[tokio::test]
async fn forbidden_endpoint_does_not_stop_the_others() {
    let relay = Relay::new().await;
    relay.savio_answers("/companies/", &[status(403).set_body_string("no plan")]).await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    relay.probe_answers(page()).await;
    let forbidden = relay.keep(company_and_feedback()).await;
    let others = relay.keep_some(3).await;

    relay.deliver_all(0).await;

    let record = relay.record(forbidden).await;
    assert_eq!(record.state, State::Dead);
    let reason = "Savio answered 403 (not permitted), though the token works: no plan";
    assert_eq!(record.reason.as_deref(), Some(reason));
    assert_eq!(outcomes(&record), [(0, Outcome::Retry, false), (0, Outcome::Refused, false)]);
    assert_eq!(relay.count(&others, State::Delivered).await, 3);
}

#[tokio::test]
async fn five_refusals_despite_a_valid_token_pause_the_destination() {
    let mut relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[status(404)]).await;
    relay.probe_answers(page()).await;
    for _ in 0..5 {
        relay.keep_some(1).await;
        relay.deliver_all(0).await;
    }
    let ids = relay.keep_some(2).await;

    relay.restart();
    relay.deliver_between(0, DAY).await;
    assert_eq!(relay.count(&ids, State::Queued).await, 2);
    relay.delivery.resume(at(DAY)).await.unwrap();
    relay.deliver_all(DAY).await;

    assert_eq!(relay.count(&ids, State::Dead).await, 2);
}

#[tokio::test]
async fn html_page_pauses_and_counts_as_unanswered() {
    let relay = Relay::new().await;
    let html = status(200).set_body_string("<html>Please sign in</html>");
    relay.savio_answers("/create-feedback/", &[html, created()]).await;
    relay.probe_answers(page()).await;
    let id = relay.keep(feedback()).await;

    relay.deliver_all(0).await;
    relay.deliver_all(59).await;
    assert_eq!(relay.sent().await.len(), 1);
    relay.deliver_all(61).await;

    let record = relay.record(id).await;
    assert_eq!(outcomes(&record), [(0, Outcome::Unanswered, false), (0, Outcome::Done, true)]);
}

/// 201 responses that Savio does not send.
fn foreign() -> [ResponseTemplate; 4] {
    [
        status(201).set_body_json(json!([])),
        status(201).set_body_json(json!("ok")),
        status(201).set_body_string("ok"),
        status(201).set_body_string("<html>Created</html>"),
    ]
}

#[tokio::test]
async fn created_without_an_object_or_an_earlier_id_is_held() {
    for answer in foreign() {
        let relay = Relay::new().await;
        relay.savio_answers("/create-feedback/", &[answer, created()]).await;
        relay.probe_answers(page()).await;
        let id = relay.keep(feedback()).await;

        relay.deliver_all(0).await;
        let status = relay.delivery.status(at(0)).await.unwrap();
        assert_eq!(status.paused_by, Some(PausedBy::Answer));
        relay.deliver_between(600, 2 * HOUR).await;

        let record = relay.record(id).await;
        assert_eq!(record.state, State::Held);
        assert_eq!(outcomes(&record), [(0, Outcome::Unanswered, false)], "it is never retried");
        let reason = record.reason.unwrap();
        assert!(reason.starts_with("it was sent, and may have arrived: "), "{reason}");
    }
}

#[tokio::test]
async fn created_without_an_object_after_an_id_is_done() {
    for answer in foreign() {
        let mut relay = Relay::new().await;
        relay.savio_answers("/create-feedback/", &[created(), answer]).await;
        relay.keep(feedback()).await;
        relay.deliver_all(0).await;
        let id = relay.keep(feedback()).await;

        relay.restart();
        relay.deliver_all(0).await;

        let record = relay.record(id).await;
        assert_eq!(record.state, State::Delivered);
        assert_eq!(outcomes(&record), [(0, Outcome::Done, false)]);
    }
}

#[tokio::test]
async fn retry_after_holds_back_all_events_of_the_destination() {
    let mut relay = Relay::new().await;
    let later = status(429).insert_header("Retry-After", "600");
    relay.savio_answers("/create-feedback/", &[later, created()]).await;
    relay.keep_some(1).await;
    relay.deliver_all(0).await;
    let ids = relay.keep_some(2).await;

    relay.restart();
    relay.deliver_all(590).await;
    assert_eq!(relay.count(&ids, State::Queued).await, 2);
    relay.deliver_all(602).await;

    assert_eq!(relay.count(&ids, State::Delivered).await, 2);
}

#[tokio::test]
async fn longest_of_two_retry_after_headers_counts() {
    let relay = Relay::new().await;
    let later = status(429).append_header("Retry-After", "10").append_header("Retry-After", "600");
    relay.savio_answers("/create-feedback/", &[later, created()]).await;
    let ids = relay.keep_some(1).await;

    relay.deliver_all(0).await;
    relay.deliver_all(590).await;
    assert_eq!(relay.count(&ids, State::Queued).await, 1);
    relay.deliver_all(602).await;

    assert_eq!(relay.count(&ids, State::Delivered).await, 1);
}

#[tokio::test]
async fn open_breaker_admits_one_event_at_a_time() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[status(500)]).await;
    relay.keep_some(50).await;

    relay.deliver_all(0).await;
    let first = relay.sent().await.len();
    relay.deliver_all(31).await;

    assert!((5..=12).contains(&first), "those in flight when it opened: {first}");
    assert_eq!(relay.sent().await.len(), first + 1);
}

#[tokio::test]
async fn pause_by_a_person_survives_a_restart() {
    let mut relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    relay.probe_answers(page()).await;
    let ids = relay.keep_some(2).await;
    relay.delivery.pause(at(0)).await.unwrap();

    relay.restart();
    relay.deliver_between(0, DAY).await;
    let status = relay.delivery.status(at(DAY)).await.unwrap();
    assert_eq!(status.paused_by, Some(PausedBy::Person));
    assert_eq!(relay.count(&ids, State::Queued).await, 2);
    relay.delivery.resume(at(DAY)).await.unwrap();
    relay.deliver_all(DAY).await;

    assert_eq!(relay.count(&ids, State::Delivered).await, 2);
}

#[tokio::test]
async fn events_of_a_paused_source_wait_over_a_restart() {
    let mut relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let form = "form".parse().unwrap();
    let ids = relay.keep_some(2).await;
    relay.delivery.pause_source("form".parse().unwrap(), at(0)).await.unwrap();

    relay.restart();
    assert_eq!(relay.deliver_all(1).await, 0);
    assert!(relay.delivery.paused_sources().await.unwrap().contains_key(&form));
    relay.delivery.resume_source(&form).await.unwrap();
    relay.deliver_all(3).await;

    assert_eq!(relay.count(&ids, State::Delivered).await, 2);
}

#[tokio::test]
async fn pause_of_a_source_is_kept_when_another_destination_resumes() {
    let mut relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let pauses = Arc::<SourcePauses>::default();
    let sharing = |relay: &Relay, name: &str| {
        let client = client(&relay.savio.uri(), Duration::from_secs(30));
        let destination =
            Destination { name: name.to_owned(), client: Ok(client), max_in_flight: 8 };
        let settings = Settings::default();
        let process = ProcessContext { pauses: Arc::clone(&pauses), ..ProcessContext::default() };
        Delivery::sharing(process, relay.store.clone(), destination, settings)
    };
    let (one, other) = (sharing(&relay, "default"), sharing(&relay, "eu"));
    other.pause(at(0)).await.unwrap();
    one.pause_source("form".parse().unwrap(), at(0)).await.unwrap();
    other.resume(at(1)).await.unwrap();

    relay.restart();
    let ids = relay.keep_some(1).await;
    relay.deliver_all(2).await;

    assert_eq!(relay.count(&ids, State::Queued).await, 1);
}

#[tokio::test]
async fn three_days_of_retries_begin_after_a_pause_of_the_source() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[status(503), created()]).await;
    let ids = relay.keep_some(1).await;

    relay.deliver_all(9 * DAY).await;
    assert_eq!(relay.count(&ids, State::Queued).await, 1);
    relay.deliver_all(9 * DAY + 10).await;

    assert_eq!(relay.count(&ids, State::Delivered).await, 1);
}

#[tokio::test]
async fn events_without_a_token_wait_for_a_start_with_one() {
    let mut relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let ids = relay.keep_some(1).await;
    let nobody = destination(Err("SAVIO_API_TOKEN is not set".to_owned()), 8);
    relay.delivery = delivery_with(Settings::default(), relay.store.clone(), nobody);

    assert_eq!(relay.deliver_all(0).await, 0);
    let waiting = relay.delivery.status(at(0)).await.unwrap().waiting_for;
    let reason = waiting.map(|it| it.reason);
    assert_eq!(reason.as_deref(), Some("delivery is paused: SAVIO_API_TOKEN is not set"));
    relay.restart();
    relay.deliver_all(9 * DAY).await;

    assert_eq!(relay.count(&ids, State::Delivered).await, 1);
}

#[tokio::test]
async fn unanswered_event_is_held_by_policy() {
    let relay = Relay::with(holding()).await;
    let late = created().set_delay(Duration::from_mins(1));
    relay.savio_answers("/create-feedback/", &[late]).await;
    let id = relay.keep(feedback()).await;
    let impatient = destination(Ok(client(&relay.savio.uri(), Duration::from_secs(1))), 8);
    let impatient = delivery_with(holding(), relay.store.clone(), impatient);

    impatient.deliver_all(at(0)).await;
    impatient.deliver_all(at(DAY)).await;

    let record = relay.record(id).await;
    assert_eq!((record.state, record.due_at), (State::Held, None));
    assert!(record.reason.as_ref().unwrap().starts_with("it was sent, and may have arrived: "));
    assert_eq!(outcomes(&record), [(0, Outcome::Unanswered, false)]);
    assert!(record.requests[0].may_repeat);
}

#[tokio::test]
async fn send_interrupted_by_a_crash_is_held_by_policy() {
    let relay = Relay::with(holding()).await;
    let id = relay.keep(feedback()).await;
    cut_off(&*relay.store).await;

    relay.deliver_all(61).await;

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Held);
    assert_eq!(outcomes(&record), [(0, Outcome::Interrupted, false)]);
    assert_eq!(relay.sent().await.len(), 0);
}

#[tokio::test]
async fn rate_spreads_requests_over_time() {
    let rate = Some("2/s".parse().unwrap());
    let gate = gate::Settings { rate, ..gate::Settings::default() };
    let relay = Relay::with(Settings { gate, ..Settings::default() }).await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let ids = relay.keep_some(4).await;

    // Requests whose turn is more than a second later stay in the store. Turns count from the first
    // request on.
    for hour in 0..4 {
        relay.deliver_all(hour * 3_600).await;
    }

    let mut sent = Vec::new();
    for id in ids {
        let record = relay.record(id).await;
        assert_eq!((record.state, record.attempts.len()), (State::Delivered, 1));
        sent.push(record.attempts[0].at);
    }
    sent.sort();
    for (turn, sent) in (0..).zip(sent) {
        assert!(sent >= at(0) + SignedDuration::from_millis(500) * turn, "{turn}: {sent}");
    }
    assert_eq!(relay.sent().await, ["/create-feedback/"; 4]);
}
