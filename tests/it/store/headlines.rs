//! What lists say of an event: the headline that is made of its requests.

use savio_relay::event::{Outcome, Request, RequestKind, State};
use savio_relay::store::{
    EventFilter, EventSummary, NextStep, PageRequest, Progress, ShortenedRequest, Store,
};
use serde_json::{Value, json};

use crate::support::store::{
    TestStore, at, attempt, claim_one, record, send, settle, step, store_one, webhook,
};

fn feedback(body: &Value) -> Request {
    Request { kind: RequestKind::Feedback, body: body.as_object().unwrap().clone() }
}

async fn found(store: &dyn Store, text: Option<&str>) -> Vec<EventSummary> {
    let filter = EventFilter { text: text.map(str::to_owned), ..EventFilter::default() };
    store.list(filter, PageRequest { limit: 9, after: None }).await.unwrap().events
}

fn words(line: &EventSummary) -> [Option<&str>; 3] {
    [line.summary.as_deref(), line.who.as_deref(), line.company.as_deref()]
}

/// Maps the event that is due to one feedback.
async fn map(store: &dyn Store, body: &Value, next: NextStep) -> savio_relay::store::Claim {
    let claim = claim_one(store, at(20)).await.claim;
    let planned = Some(vec![feedback(body)]);
    store.advance(claim, Progress { planned, ..step(next) }).await.unwrap();
    claim
}

#[tokio::test]
async fn mapped_event_is_listed_and_found_by_its_headline() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    assert_eq!(words(&found(store, None).await[0]), [None; 3]);

    let said = json!({ "problem": "Slow\nExport", "person_name": "Äda", "company_name": "Acme" });
    map(store, &said, send(0)).await;

    let expected = [Some("Slow"), Some("Äda"), Some("Acme")];
    assert_eq!(words(&found(store, None).await[0]), expected);
    assert_eq!(words(&record(store, id).await.summary()), expected);
    for text in ["slOW", "äDA", "acm"] {
        assert_eq!(found(store, Some(text)).await.len(), 1, "{text}");
    }
    assert_eq!(found(store, Some("export")).await, [], "only the first line is searched");
}

#[tokio::test]
async fn answer_of_a_form_is_its_summary() {
    let place = TestStore::new();
    let store = &*place.open();
    let id = store_one(store, webhook(at(0))).await;
    let claim = claim_one(store, at(20)).await.claim;
    let form = json!({ "problem": "What is missing?\nAn export", "person_email": "a@example.com" });
    let (planned, said) = (Some(vec![feedback(&form)]), Some("An export\nby week".to_owned()));
    store.advance(claim, Progress { planned, said, ..step(send(0)) }).await.unwrap();
    let expected = [Some("An export"), Some("a@example.com"), None];
    assert_eq!(words(&found(store, Some("an export")).await[0]), expected);

    let left_out = vec!["person_email".to_owned()];
    let shortened = Some(ShortenedRequest { position: 0, left_out });
    let attempt = Some(attempt(0, Outcome::Refused));
    store.advance(claim, Progress { attempt, shortened, ..step(send(0)) }).await.unwrap();
    assert_eq!(words(&record(store, id).await.summary()), [Some("An export"), None, None]);
}

#[tokio::test]
async fn headline_follows_the_requests() {
    let place = TestStore::new();
    let store = &*place.open();
    store_one(store, webhook(at(0))).await;
    let said = json!({ "problem": "Slow", "person_email": "ada@example.com" });
    let claim = map(store, &said, send(0)).await;

    let left_out = vec!["person_email".to_owned()];
    let shortened = Some(ShortenedRequest { position: 0, left_out });
    let attempt = Some(attempt(0, Outcome::Refused));
    store.advance(claim, Progress { attempt, shortened, ..step(send(0)) }).await.unwrap();
    assert_eq!(words(&found(store, None).await[0]), [Some("Slow"), None, None]);
}

#[tokio::test]
async fn plan_of_an_older_program_is_read_for_its_headline() {
    let place = TestStore::new();
    let store = &*place.open();
    for second in 0..3 {
        store_one(store, webhook(at(second))).await;
        map(store, &json!({ "problem": "Slow", "person_name": "Ada" }), settle(State::Dead)).await;
    }
    let file = rusqlite::Connection::open(&place.settings().path).unwrap();
    file.execute("UPDATE plans SET headline = NULL", []).unwrap();
    let large = "UPDATE plans SET requests = json_set(requests, '$[0].body.person_email', printf('%70000c', 'a'))
                 WHERE event = 2";
    file.execute(large, []).unwrap();
    file.execute("UPDATE plans SET requests = '[{' WHERE event = 3", []).unwrap();

    let listed = found(store, None).await;

    let expected = [Some("Slow"), Some("Ada"), None];
    assert_eq!(listed.iter().map(words).collect::<Vec<_>>(), [[None; 3], [None; 3], expected]);
    assert_eq!(found(store, Some("ada")).await.len(), 1);
}
