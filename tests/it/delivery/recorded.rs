//! What counts only once it is stored: outcomes before a wait, left-out fields, and pauses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use savio_relay::delivery::gate::PausedBy;
use savio_relay::delivery::{Delivery, ProcessContext, Settings, gate};
use savio_relay::event::{EventId, Outcome, State};
use savio_relay::telemetry::metrics::{Counters, Gauges, Metrics, TextFormat};
use serde_json::json;

use super::faults::{CapturedLog, DatabaseFaults};
use super::in_flight::Gate;
use super::{
    Relay, client, company_and_feedback, created, destination, event, feedback, mappings_of,
    outcomes,
};
use crate::support::store::{TestStore, at, name, store_one};
use crate::support::wait::until;

/// Rate at which the second request of an event waits for its turn in its slot.
const RATE: &str = "1/s";
const TURN_WAIT: Duration = Duration::from_secs(1);

/// Kills the relay when the second request of an event is to be marked as being sent. Returns none
/// if the machine was so slow that the request did not have to wait for its turn.
async fn killed_at_the_second_request() -> Option<(Relay, EventId)> {
    let gate = gate::Settings { rate: Some(RATE.parse().unwrap()), ..gate::Settings::default() };
    let relay = Relay::with(Settings { gate, ..Settings::default() }).await;
    for route in ["/companies/", "/create-feedback/"] {
        relay.savio_answers(route, &[created()]).await;
    }
    let id = relay.keep(company_and_feedback()).await;
    let (log, faults) = (CapturedLog::start(), DatabaseFaults::of(&relay.place));
    faults.fail_second_sends();
    let (delivery, start) = (Arc::clone(&relay.delivery), Instant::now());
    let delivering = tokio::spawn(async move { delivery.deliver_all(at(0)).await });
    until(|| log.contains("Savio answered 201")).await;
    // The turn comes a second after the first request was admitted, which was after `start`.
    let has_to_wait = start.elapsed() < TURN_WAIT;
    until(|| log.contains("cannot record progress of event")).await;
    delivering.abort();
    assert!(delivering.await.unwrap_err().is_cancelled());
    faults.clear();
    has_to_wait.then_some((relay, id))
}

#[tokio::test]
async fn outcome_is_recorded_before_the_wait_for_the_next_turn() {
    let (mut relay, id) = loop {
        if let Some(killed) = killed_at_the_second_request().await {
            break killed;
        }
    };

    relay.restart();
    relay.deliver_all(120).await;

    assert_eq!(relay.sent().await, ["/companies/", "/create-feedback/"]);
    let record = relay.record(id).await;
    assert_eq!(record.state, State::Delivered);
    assert_eq!(outcomes(&record), [(0, Outcome::Done, false), (1, Outcome::Done, false)]);
}

const LEFT_OUT: &str = r#"
    [[feedback]]
    problem = "$.text"
    feature_request_title = "Dark mode"
    source_url = "$.url"
"#;

#[tokio::test]
async fn fields_left_out_are_counted_once_for_an_event_that_was_parked() {
    let (place, (savio, url)) = (TestStore::new(), Gate::start().await);
    let (store, process) = (place.open(), ProcessContext::default());
    let destination = destination(Ok(client(&url, Duration::from_secs(30))), 2);
    let metrics =
        Metrics::new(&Counters { attempts: process.attempts.clone(), ..Counters::default() });
    let delivery = Delivery::sharing(process, store.clone(), destination, Settings::default());
    delivery.replace_mappings(mappings_of(LEFT_OUT));
    let delivery = Arc::new(delivery);
    for _ in 0..2 {
        store_one(&*store, event(&json!({ "text": "hang", "url": "/pricing" }))).await;
    }

    let all = Arc::clone(&delivery);
    let all = tokio::spawn(async move { all.deliver_all(at(0)).await });
    savio.wait_for(1).await;
    until(|| delivery.waiting() == [(name("form"), 1)].into()).await;
    savio.release(2);
    assert_eq!(all.await.unwrap(), 2);

    let text = metrics.text(&Gauges::default(), TextFormat::Prometheus);
    let line = r#"savio_relay_fields_left_out_total{destination="default",field="source_url"} 2"#;
    assert!(text.lines().any(|it| it == line), "{text}");
}

#[tokio::test]
async fn pause_or_resume_that_cannot_be_stored_changes_nothing() {
    let relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let delivery = &relay.delivery;
    let paused_by = async || delivery.status(at(0)).await.unwrap().paused_by;
    delivery.pause(at(0)).await.unwrap();
    let faults = DatabaseFaults::of(&relay.place);

    faults.fail_gate_writes();
    let resumed = delivery.resume(at(0)).await;
    faults.clear();
    assert!(resumed.is_err(), "it was stored");
    assert_eq!(paused_by().await, Some(PausedBy::Person));

    delivery.resume(at(0)).await.unwrap();
    faults.fail_gate_writes();
    let paused = delivery.pause(at(0)).await;
    faults.clear();
    assert!(paused.is_err(), "it was stored");
    assert_eq!(paused_by().await, None);
    relay.keep(feedback()).await;
    assert_eq!((relay.deliver_all(0).await, relay.sent().await.len()), (1, 1));
}
