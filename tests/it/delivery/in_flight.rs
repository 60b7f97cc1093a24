//! Events in flight: a hanging request, an event that is claimed twice, and the worker loop and its
//! shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use savio_relay::clock;
use savio_relay::delivery::{Delivery, Mappings, Settings};
use savio_relay::event::{Outcome, State};
use savio_relay::store::Webhook;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::faults::{CapturedLog, DatabaseFaults};
use super::{
    client, company_and_feedback, delivery, delivery_with, destination, event, feedback, mappings,
    outcomes,
};
use crate::support::store::{TestStore, at, store_one};
use crate::support::wait::until;

/// A Savio that counts requests, and answers one with the problem "hang" only when it is released.
#[derive(Clone)]
pub(super) struct Gate {
    received: Arc<Semaphore>,
    released: Arc<Semaphore>,
}

impl Gate {
    pub(super) async fn start() -> (Gate, String) {
        let gate =
            Gate { received: Arc::new(Semaphore::new(0)), released: Arc::new(Semaphore::new(0)) };
        let answer = async |Shared(gate): Shared<Gate>, Json(body): Json<Value>| {
            gate.received.add_permits(1);
            if body["problem"] == "hang" {
                gate.released.acquire().await.unwrap().forget();
            }
            (StatusCode::CREATED, Json(json!({ "id": 1 })))
        };
        let router = Router::new().route("/create-feedback/", post(answer));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = router.with_state(gate.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (gate, url)
    }

    pub(super) async fn wait_for(&self, requests: u32) {
        self.received.acquire_many(requests).await.unwrap().forget();
    }

    pub(super) fn release(&self, requests: usize) {
        self.released.add_permits(requests);
    }
}

#[tokio::test]
async fn hanging_request_delays_no_other() {
    let (place, (gate, savio)) = (TestStore::new(), Gate::start().await);
    let store = place.open();
    let delivery = delivery(store.clone(), &savio, 2);
    let hanging = store_one(&*store, event(&json!({ "text": "hang" }))).await;
    for _ in 0..10 {
        store_one(&*store, event(&feedback())).await;
    }
    let all = tokio::spawn(async move { delivery.deliver_all(at(0)).await });

    gate.wait_for(11).await;
    gate.release(1);

    assert_eq!(all.await.unwrap(), 11);
    assert_eq!(store.event(hanging).await.unwrap().unwrap().state, State::Delivered);
}

#[tokio::test]
async fn event_claimed_again_during_its_send_is_sent_once() {
    let (place, (gate, savio)) = (TestStore::new(), Gate::start().await);
    let store = place.open();
    let delivery = delivery(store.clone(), &savio, 2);
    let id = store_one(&*store, event(&json!({ "text": "hang" }))).await;
    let first = delivery.clone();
    let first = tokio::spawn(async move { first.deliver_all(at(0)).await });
    gate.wait_for(1).await;

    let again = delivery.deliver_all(at(61)).await;
    gate.release(2);

    assert_eq!((again, first.await.unwrap()), (0, 1));
    assert_eq!(gate.received.available_permits(), 0);
    let record = store.event(id).await.unwrap().unwrap();
    assert_eq!(outcomes(&record), [(0, Outcome::Done, false)]);
}

/// Runs the delivery; the sender stops it.
fn run(delivery: &Arc<Delivery>) -> (tokio::task::JoinHandle<()>, oneshot::Sender<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    (tokio::spawn(delivery.clone().run(shutdown)), stop)
}

#[tokio::test]
async fn stop_does_not_wait_for_the_store_without_an_attempt() {
    let (place, (_, savio)) = (TestStore::new(), Gate::start().await);
    let store = place.open();
    let (log, faults) = (CapturedLog::start(), DatabaseFaults::of(&place));
    faults.fail_upsert_lookups();
    let settings = Settings { shutdown_timeout: Duration::from_hours(1), ..Settings::default() };
    let client = client(&savio, Duration::from_secs(30));
    let delivery = delivery_with(settings, store.clone(), destination(Ok(client), 1));
    let (running, stop) = run(&delivery);
    let id = store_one(&*store, just_now(&company_and_feedback())).await;
    until(|| log.contains("cannot read how far events are")).await;

    stop.send(()).unwrap();

    timeout(Duration::from_mins(1), running).await.expect("it stops").unwrap();
    assert_eq!(store.event(id).await.unwrap().unwrap().attempts, []);
}

fn just_now(payload: &Value) -> Webhook {
    Webhook { received_at: clock::now(), ..event(payload) }
}

#[tokio::test]
async fn loop_delivers_new_events_and_finishes_those_in_flight() {
    let (place, (gate, savio)) = (TestStore::new(), Gate::start().await);
    let store = place.open();
    let (running, stop) = run(&delivery(store.clone(), &savio, 1));
    store_one(&*store, just_now(&feedback())).await;
    gate.wait_for(1).await;
    let hanging = store_one(&*store, just_now(&json!({ "text": "hang" }))).await;
    gate.wait_for(1).await;
    // Not before: of two events that are mapped at the same time, either may get the only slot.
    let late = store_one(&*store, just_now(&feedback())).await;

    stop.send(()).unwrap();
    gate.release(1);
    running.await.unwrap();

    assert_eq!(store.event(hanging).await.unwrap().unwrap().state, State::Delivered);
    assert_eq!(store.event(late).await.unwrap().unwrap().state, State::Queued);
}

#[tokio::test]
async fn new_mapping_wakes_the_loop() {
    let (place, (gate, savio)) = (TestStore::new(), Gate::start().await);
    let store = place.open();
    let delivery = delivery(store.clone(), &savio, 1);
    delivery.replace_mappings(Mappings::new());
    store_one(&*store, just_now(&feedback())).await;
    let (running, stop) = run(&delivery);

    delivery.replace_mappings(mappings());
    gate.wait_for(1).await;

    stop.send(()).unwrap();
    running.await.unwrap();
}
