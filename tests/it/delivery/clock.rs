//! The clock is set back by a day during a wait, which keeps its length.

use std::time::Duration;

use savio_relay::delivery::{Settings, gate};
use savio_relay::event::State;
use wiremock::ResponseTemplate;

use super::{Relay, client, created, delivery_with, destination, feedback, page, status};

const DAY: i64 = 24 * 3_600;

/// Events that are stored and fail while the clock is a day ahead, and are delivered in time by the
/// corrected clock.
#[derive(Default)]
struct Case {
    settings: Settings,
    events: usize,
    answers: Vec<ResponseTemplate>,
    /// Restarts the relay after the clock was set back.
    restart: bool,
    /// Second at which no event is delivered yet, and second at which all are.
    not_at: i64,
    all_at: i64,
}

async fn check(case: Case) {
    let mut relay = Relay::with(case.settings.clone()).await;
    relay.savio_answers("/create-feedback/", &[&case.answers[..], &[created()]].concat()).await;
    relay.probe_answers(page()).await;
    let mut ids = Vec::new();
    for _ in 0..case.events {
        ids.push(relay.keep(feedback()).await);
    }
    relay.deliver_all(DAY).await;
    let sent = relay.sent().await.len();
    assert_eq!(sent, case.answers.len(), "not all of them failed");

    if case.restart {
        relay.restart();
    }
    relay.deliver_all(0).await;
    relay.deliver_all(case.not_at).await;
    assert_eq!(relay.sent().await.len(), sent, "the wait was cut short");
    for seconds in case.not_at..=case.all_at {
        relay.deliver_all(seconds).await;
    }

    for id in ids {
        assert_eq!(relay.record(id).await.state, State::Delivered);
    }
}

#[tokio::test]
async fn retry_keeps_its_length_when_the_clock_is_set_back() {
    let case = || Case { events: 1, answers: vec![status(503)], ..Case::default() };
    check(Case { not_at: 4, all_at: 8, ..case() }).await;
    check(Case { not_at: 4, all_at: 8, restart: true, ..case() }).await;
}

#[tokio::test]
async fn retry_after_keeps_its_length_when_the_clock_is_set_back() {
    let later = || status(429).insert_header("retry-after", "60");
    let case = || Case { events: 1, answers: vec![later()], ..Case::default() };
    check(Case { not_at: 58, all_at: 64, ..case() }).await;
    check(Case { not_at: 58, all_at: 64, restart: true, ..case() }).await;
}

#[tokio::test]
async fn breaker_keeps_its_wait_when_the_clock_is_set_back() {
    let gate = gate::Settings { breaker_failures: 2, ..gate::Settings::default() };
    let settings = Settings { gate, ..Settings::default() };
    let case = || Case {
        settings: settings.clone(),
        events: 2,
        answers: vec![status(503), status(503)],
        not_at: 28,
        all_at: 40,
        ..Case::default()
    };
    check(case()).await;
    check(Case { restart: true, ..case() }).await;
}

#[tokio::test]
async fn probe_keeps_its_wait_when_the_clock_is_set_back() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[status(401), created()]).await;
    relay.probe_answers(status(401)).await;
    let id = relay.keep(feedback()).await;
    relay.deliver_all(DAY).await;
    relay.savio.reset().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    relay.probe_answers(page()).await;

    relay.deliver_all(0).await;
    relay.deliver_all(58).await;
    assert_eq!(relay.record(id).await.state, State::Queued);
    relay.deliver_all(61).await;
    relay.deliver_all(62).await;

    assert_eq!(relay.record(id).await.state, State::Delivered);
}

#[tokio::test]
async fn rate_keeps_its_interval_when_the_clock_is_set_back() {
    let gate = gate::Settings { rate: Some("1/m".parse().unwrap()), ..gate::Settings::default() };
    let settings = Settings { gate, ..Settings::default() };
    let mut relay = Relay::with(settings.clone()).await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    relay.keep(feedback()).await;
    relay.deliver_all(DAY).await;
    let id = relay.keep(feedback()).await;

    relay.deliver_all(0).await;
    relay.deliver_all(58).await;
    assert_eq!(relay.record(id).await.state, State::Queued, "sent within a minute of the first");
    relay.deliver_all(61).await;
    assert_eq!(relay.record(id).await.state, State::Delivered);

    let id = relay.keep(feedback()).await;
    let again = destination(Ok(client(&relay.savio.uri(), Duration::from_secs(30))), 8);
    relay.delivery = delivery_with(settings, relay.store.clone(), again);
    relay.deliver_all(-DAY).await;
    relay.deliver_all(-DAY + 58).await;
    assert_eq!(relay.record(id).await.state, State::Queued);
    relay.deliver_all(-DAY + 61).await;
    assert_eq!(relay.record(id).await.state, State::Delivered);
}

#[tokio::test]
async fn claimed_event_is_retried_though_the_clock_jumps() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[status(503), created()]).await;
    let id = relay.keep(feedback()).await;

    for now in [0, DAY, 1, -DAY, 2, DAY, 3, -DAY, 4] {
        relay.deliver_all(now).await;
    }
    relay.deliver_all(30).await;

    let record = relay.record(id).await;
    assert_eq!(record.state, State::Delivered);
    assert_eq!(record.attempts.len(), 2);
}
