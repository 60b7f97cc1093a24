//! A store in a folder of its own, and events and steps for it.

use jiff::Timestamp;
use rusqlite::Connection;
use savio_relay::event::{EventId, Outcome, Request, RequestKind, SourceName, State};
use savio_relay::store::sqlite::{Settings, Sqlite};
use savio_relay::store::{
    Actor, Arrival, Attempt, AuditVia, Claim, ClaimRequest, ClaimedEvent, EventRecord,
    HoldDecision, NewEvent, NextStep, PlannedRequest, Progress, ReleaseRequest, Renewal,
    RequestState, Store, Webhook, WebhookOrigin,
};
use serde_json::json;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The folder of a store, which can be opened again.
pub(crate) struct TestStore(TempDir);

impl TestStore {
    pub(crate) fn new() -> TestStore {
        TestStore(TempDir::new().unwrap())
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(self.0.path().join("relay.db"))
    }

    pub(crate) fn open(&self) -> Arc<dyn Store> {
        Arc::new(Sqlite::open(&self.settings()).unwrap())
    }
}

/// Makes a store one of an older program, as far as its version says, and takes back what the migrations
/// since the sixteenth add.
pub(crate) fn set_version(store: &Connection, version: u32) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    for file in files.split_off(16).iter().rev() {
        let sql = fs::read_to_string(file).unwrap();
        let code: Vec<&str> = sql.lines().map(|it| it.split("--").next().unwrap()).collect();
        code.join(" ").split(';').rev().for_each(|statement| take_back(store, statement));
    }
    store.execute_batch("DROP TABLE IF EXISTS schema_version").unwrap();
    store.pragma_update(None, "user_version", version).unwrap();
}

fn take_back(store: &Connection, statement: &str) {
    let words: Vec<&str> = statement.split([' ', '(']).filter(|it| !it.is_empty()).collect();
    match words[..] {
        ["ALTER", "TABLE", table, "ADD", "COLUMN", column, ..]
            if store.column_exists(None, table, column).unwrap() =>
        {
            store.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}")).unwrap();
        }
        ["CREATE", kind @ ("TABLE" | "INDEX"), name, ..] => {
            store.execute_batch(&format!("DROP {kind} IF EXISTS {name}")).unwrap();
        }
        _ => {}
    }
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// Returns somebody who acts on events.
pub(crate) fn somebody() -> Actor {
    Actor::new("somebody", AuditVia::Token)
}

pub(crate) fn release(id: EventId, decision: HoldDecision, at: Timestamp) -> ReleaseRequest {
    ReleaseRequest { id, decision, at, by: somebody() }
}

pub(crate) fn name(source: &str) -> SourceName {
    source.parse().unwrap()
}

/// Returns a webhook of the source `form` with one event without a delivery id.
pub(crate) fn webhook(received_at: Timestamp) -> Webhook {
    let body = br#"{"text":"It is slow"}"#.to_vec();
    let payload = 0..body.len();
    let id = EventId::new(received_at);
    Webhook {
        source: name("form"),
        received_at,
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        body,
        decoded: None,
        notes: Vec::new(),
        events: vec![NewEvent { id, event_type: None, delivery_id: None, payload }],
        origin: WebhookOrigin::Sent,
        arrival: Arrival::default(),
    }
}

/// Returns renewals of events that wait for no other.
pub(crate) fn renewals(claims: &[Claim]) -> Vec<Renewal> {
    claims.iter().map(|claim| Renewal { claim: *claim, waits_for: None }).collect()
}

pub(crate) fn from(source: &str, received_at: Timestamp) -> Webhook {
    Webhook { source: name(source), ..webhook(received_at) }
}

/// Returns a webhook with one event for each delivery id.
pub(crate) fn deliveries(ids: &[&str]) -> Webhook {
    let mut webhook = webhook(at(0));
    let payload = webhook.events[0].payload.clone();
    let event = |id: &&str| NewEvent {
        id: EventId::new(at(0)),
        event_type: Some("answer".to_owned()),
        delivery_id: Some((*id).to_owned()),
        payload: payload.clone(),
    };
    webhook.events = ids.iter().map(event).collect();
    webhook
}

pub(crate) async fn store_one(store: &dyn Store, webhook: Webhook) -> EventId {
    store.store(webhook).await.unwrap().events[0]
}

/// Claims events of `form` with a lease of one minute.
pub(crate) async fn claim(store: &dyn Store, now: Timestamp, slots: usize) -> Vec<ClaimedEvent> {
    claim_from(store, &["form"], now, slots).await
}

pub(crate) async fn claim_from(
    store: &dyn Store,
    sources: &[&str],
    now: Timestamp,
    slots: usize,
) -> Vec<ClaimedEvent> {
    let sources = sources.iter().map(|source| name(source)).collect();
    store
        .claim(ClaimRequest {
            sources,
            slots,
            bytes_max: usize::MAX,
            now,
            lease: Duration::from_mins(1),
        })
        .await
        .unwrap()
}

pub(crate) async fn claim_one(store: &dyn Store, now: Timestamp) -> ClaimedEvent {
    let mut claimed = claim(store, now, 1).await;
    claimed.pop().expect("an event is due")
}

pub(crate) fn ids(claimed: &[ClaimedEvent]) -> Vec<EventId> {
    claimed.iter().map(|one| one.claim.event).collect()
}

pub(crate) async fn record(store: &dyn Store, id: EventId) -> EventRecord {
    store.event(id).await.unwrap().expect("the event is kept")
}

pub(crate) fn request(problem: &str) -> Request {
    let body = json!({ "problem": problem }).as_object().unwrap().clone();
    Request { kind: RequestKind::Feedback, body }
}

pub(crate) fn waiting(problem: &str) -> PlannedRequest {
    let (state, savio_id, may_repeat) = (RequestState::Waiting, None, false);
    PlannedRequest { request: request(problem), state, savio_id, may_repeat, left_out: Vec::new() }
}

pub(crate) fn attempt(position: usize, outcome: Outcome) -> Attempt {
    Attempt {
        position,
        at: at(1),
        outcome,
        status: None,
        ms: 12,
        detail: None,
        savio_id: None,
        may_repeat: false,
        replay: false,
    }
}

/// Returns a step that records nothing but what is next.
pub(crate) fn step(next: NextStep) -> Progress {
    Progress::to(next)
}

pub(crate) fn send(position: usize) -> NextStep {
    NextStep::Send { position, at: at(1) }
}

pub(crate) fn wait(seconds: i64) -> NextStep {
    NextStep::Wait { until: at(seconds), reason: "savio said 503".to_owned() }
}

pub(crate) fn settle(state: State) -> NextStep {
    NextStep::Settle { state, reason: None, at: at(9) }
}

pub(crate) fn plan_and_send(problems: &[&str]) -> Progress {
    let planned = Some(problems.iter().map(|problem| request(problem)).collect());
    Progress { planned, ..step(send(0)) }
}

pub(crate) fn after(attempt: Attempt, next: NextStep) -> Progress {
    Progress { attempt: Some(attempt), ..step(next) }
}
