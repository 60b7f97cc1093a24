//! The clock is set back by a day in the midst: what waits, waits as long as it was meant to, and no longer.

use std::time::Duration;

use savio_relay::delivery::{Settings, gate};
use savio_relay::event::State;
use wiremock::ResponseTemplate;

use super::{Relay, client, created, delivery_with, destination, feedback, page, status};

const DAY: i64 = 24 * 3_600;

/// Events are kept and fail a day ahead; by the right clock they are delivered within the time.
#[derive(Default)]
struct Case {
    settings: Settings,
    events: usize,
    answers: Vec<ResponseTemplate>,
    /// A restart after the clock was set back.
    restart: bool,
    /// No event is delivered at this second, all are at the other.
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
    assert_eq!(sent, case.answers.len(), "all of them failed");

    if case.restart {
        relay.restart();
    }
    relay.deliver_all(0).await;
    relay.deliver_all(case.not_at).await;
    assert_eq!(relay.sent().await.len(), sent, "it waits as long as it was meant to");
    for seconds in case.not_at..=case.all_at {
        relay.deliver_all(seconds).await;
    }

    for id in ids {
        assert_eq!(relay.record(id).await.state, State::Delivered);
    }
}

#[tokio::test]
async fn a_retry_waits_no_longer() {
    let case = || Case { events: 1, answers: vec![status(503)], ..Case::default() };
    check(Case { not_at: 4, all_at: 8, ..case() }).await;
    check(Case { not_at: 4, all_at: 8, restart: true, ..case() }).await;
}

#[tokio::test]
async fn retry_after_holds_back_no_longer() {
    let later = || status(429).insert_header("retry-after", "60");
    let case = || Case { events: 1, answers: vec![later()], ..Case::default() };
    check(Case { not_at: 58, all_at: 64, ..case() }).await;
    check(Case { not_at: 58, all_at: 64, restart: true, ..case() }).await;
}

#[tokio::test]
async fn an_open_breaker_waits_no_longer() {
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
async fn a_probe_is_due_no_later() {
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
async fn a_rate_goes_on() {
    let gate = gate::Settings { rate: Some("1/m".parse().unwrap()), ..gate::Settings::default() };
    let settings = Settings { gate, ..Settings::default() };
    let mut relay = Relay::with(settings.clone()).await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    relay.keep(feedback()).await;
    relay.deliver_all(DAY).await;
    let id = relay.keep(feedback()).await;

    relay.deliver_all(0).await;
    relay.deliver_all(58).await;
    assert_eq!(relay.record(id).await.state, State::Queued, "a minute is between two requests");
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
async fn what_a_running_relay_has_in_hand_goes_on_though_the_clock_goes_forth_and_back() {
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
