//! Feedback, which finds or creates people, companies, tags and feature requests.

use savio_relay::sandbox::Faults;
use savio_relay::savio::{CustomerQuery, Error, FeatureRequestQuery, NewFeedback};
use serde_json::{Value, json};

use super::{some, start, start_with};
use crate::support::relay::http;

pub(super) fn problem(problem: &str) -> NewFeedback {
    NewFeedback { problem: problem.to_owned(), ..NewFeedback::default() }
}

async fn stored(url: &str, what: &str) -> Value {
    let answer = http().get(format!("{url}/sandbox/{what}")).send().await.unwrap();
    answer.json().await.unwrap()
}

#[tokio::test]
async fn feedback_is_created_with_each_parameter() {
    let (client, url) = start_with(&json!({}), Faults::default()).await;
    let feedback: NewFeedback = serde_json::from_value(json!({
        "problem": "It is slow", "feedback_type": "ACTIVE", "state": "SNOOZED",
        "source_url": "https://crm.example.com/7", "source_username": "Bea",
        "person_email": "ada@example.com", "person_name": "Ada Rossi", "company_name": "Acme",
        "feature_request_title": "Speed", "tags": ["red", "green"]
    }))
    .unwrap();

    let created = client.create_feedback(&feedback).await.unwrap();

    let mut expected = serde_json::to_value(&feedback).unwrap();
    for name in ["id", "person", "company", "feature_request"] {
        expected[name] = json!(1);
    }
    assert_eq!((created.id, stored(&url, "feedback").await), (Some(1), json!([expected])));
}

#[tokio::test]
async fn missing_state_is_active() {
    let (client, url) = start_with(&json!({}), Faults::default()).await;

    client.create_feedback(&problem("It is slow")).await.unwrap();

    let expected = json!([{ "id": 1, "problem": "It is slow", "state": "ACTIVE" }]);
    assert_eq!(stored(&url, "feedback").await, expected);
}

fn by(email: Option<&str>, name: Option<&str>) -> NewFeedback {
    let (person_email, person_name) = (email.map(str::to_owned), name.map(str::to_owned));
    NewFeedback { person_email, person_name, ..problem("It is slow") }
}

#[tokio::test]
async fn person_is_found_by_address_or_name_or_created() {
    let client = start(&json!({})).await;
    for feedback in [
        by(Some("ada@example.com"), Some("Ada")),
        by(Some("ADA@example.com"), None),
        by(None, Some("Ada")),
        by(Some("other@example.com"), Some("Ada")),
        by(None, Some("Bea")),
    ] {
        client.create_feedback(&feedback).await.unwrap();
    }

    let people = client.contacts(&CustomerQuery::default()).all().await.unwrap();
    let people: Vec<_> = people.into_iter().map(|one| (one.name, one.email)).collect();
    let (ada, other) = (some("ada@example.com"), some("other@example.com"));
    assert_eq!(people, [(some("Ada"), ada), (some("Ada"), other), (some("Bea"), None)]);
}

#[tokio::test]
async fn company_is_ignored_without_a_person() {
    let client = start(&json!({})).await;
    let of = |person_name: Option<&str>, company: &str| NewFeedback {
        person_name: person_name.map(str::to_owned),
        company_name: some(company),
        ..problem("It is slow")
    };
    for feedback in [of(None, "Nobody's"), of(Some("Ada"), "Acme"), of(Some("Bea"), "Acme")] {
        client.create_feedback(&feedback).await.unwrap();
    }

    let companies = client.companies(&CustomerQuery::default()).all().await.unwrap();
    let people = client.contacts(&CustomerQuery::default()).all().await.unwrap();
    assert_eq!((companies.len(), &companies[0].name), (1, &some("Acme")));
    assert!(people.iter().all(|one| one.company_name == some("Acme")), "{people:?}");
}

#[tokio::test]
async fn feature_request_is_found_by_exact_title_or_created() {
    let client = start(&json!({ "feature_requests": [{ "title": "Speed" }] })).await;
    for (title, name) in [("Speed", "Ada"), ("Speed", "Ada"), ("speed", "Bea")] {
        let (feature_request_title, company_name) = (some(title), some("Acme"));
        let from = by(None, Some(name));
        let feedback = NewFeedback { feature_request_title, company_name, ..from };
        client.create_feedback(&feedback).await.unwrap();
    }

    let found = client.feature_requests(&FeatureRequestQuery::default()).all().await.unwrap();
    let counts: Vec<_> = found
        .iter()
        .map(|one| ["Feedback", "Requests", "Companies"].map(|it| one.count(it)))
        .collect();
    assert_eq!(found[1].title, "speed");
    assert_eq!(counts, [[Some(2), Some(1), Some(1)], [Some(1), Some(1), Some(1)]]);
}

#[tokio::test]
async fn invalid_feedback_names_each_field() {
    let client = start(&json!({})).await;
    let wrong = NewFeedback { person_email: some("nobody"), ..problem(" ") };

    let error = client.create_feedback(&wrong).await.unwrap_err();

    assert!(matches!(error, Error::Refused { status: 400, .. }));
    assert_eq!(
        error.to_string(),
        "Savio refused it (400): problem: This field may not be blank.; \
         person_email: Enter a valid email address."
    );
}
