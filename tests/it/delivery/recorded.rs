//! What counts only once it is stored: outcomes before a wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use savio_relay::delivery::{Settings, gate};
use savio_relay::event::{EventId, Outcome, State};

use super::faults::{CapturedLog, DatabaseFaults};
use super::{Relay, company_and_feedback, created, outcomes};
use crate::support::store::at;
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
    until(|| log.contains("savio answered 201")).await;
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
