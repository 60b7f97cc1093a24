//! What is passed on of the fields that events have.

use std::time::Duration;

use savio_relay::delivery::{Delivery, EventObserver, ObservedEvent, ProcessContext, Settings};
use savio_relay::event::{EventId, IMPORTED_HEADER};
use savio_relay::store::{CopyRequest, Webhook};
use serde_json::json;
use tokio::sync::mpsc::Receiver;

use super::faults::{CapturedLog, DatabaseFaults};
use super::{Relay, client, created, destination, event, mappings_of};
use crate::support::store::{at, name, somebody, store_one};
use crate::support::wait::until;

const MAPPING: &str = "[[feedback]]\nproblem = \"$.text\"\nperson_email = \"$.email\"\n";

/// Makes the relay pass on its events.
async fn watched() -> (Relay, Receiver<ObservedEvent>) {
    let mut relay = Relay::new().await;
    relay.savio_answers("/create-feedback/", &[created()]).await;
    let (observer, events) = EventObserver::watched();
    let process = ProcessContext { observer, ..ProcessContext::default() };
    let to = destination(Ok(client(&relay.savio.uri(), Duration::from_secs(30))), 8);
    let delivery = Delivery::sharing(process, relay.store.clone(), to, Settings::default());
    delivery.replace_mappings(mappings_of(MAPPING));
    relay.delivery = delivery.into();
    (relay, events)
}

fn ids(events: &mut Receiver<ObservedEvent>) -> Vec<EventId> {
    std::iter::from_fn(|| events.try_recv().ok()).map(|event| event.id).collect()
}

#[tokio::test]
async fn events_of_the_sender_are_passed_on_and_no_others() {
    let (relay, mut events) = watched().await;
    let sent = relay.keep(json!({ "text": "It is slow" })).await;
    let with = |name: &str, value: &str| {
        let mut webhook = event(&json!({ "text": "It is slow" }));
        webhook.headers.insert(name.to_owned(), value.to_owned());
        webhook
    };
    for webhook in [
        with(IMPORTED_HEADER, "2026-11-30T00:00:00Z"),
        with("user-agent", "savio-relay/0.1.0 (send)"),
    ] {
        store_one(&*relay.store, webhook).await;
    }
    let copy = Webhook { received_at: at(1), ..event(&json!({ "text": "It is slow" })) };
    let copy = CopyRequest { original: sent, webhook: copy, by: somebody() };
    relay.store.copy(copy).await.unwrap();

    assert_eq!(relay.deliver_all(5).await, 4);

    let passed_on = events.try_recv().unwrap();
    assert_eq!((passed_on.id, passed_on.source), (sent, name("form")));
    let block = &passed_on.blocks[0];
    assert!(block.filled.has(0) && !block.filled.has(5) && block.missing.has(5), "{block:?}");
    assert_eq!(ids(&mut events), []);
    // It is what a restart would read.
    let stored = relay.store.filled_events(name("form")).await.unwrap();
    let stored: Vec<EventId> = stored.iter().map(|event| event.id).collect();
    assert_eq!(stored, [sent]);
}

#[tokio::test]
async fn event_is_passed_on_only_once_it_is_recorded() {
    let (relay, mut events) = watched().await;
    let id = relay.keep(json!({ "text": "It is slow" })).await;
    let (log, faults) = (CapturedLog::start(), DatabaseFaults::of(&relay.place));
    faults.fail_plans();
    let delivery = relay.delivery.clone();
    let delivering = tokio::spawn(async move { delivery.deliver_all(at(0)).await });
    until(|| log.contains("cannot record progress of event")).await;
    assert_eq!(ids(&mut events), []);
    faults.clear();
    delivering.await.unwrap();

    assert_eq!(ids(&mut events), [id]);
}
