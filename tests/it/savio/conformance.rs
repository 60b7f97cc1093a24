//! The client against the sandbox: every endpoint, parameter, field and code of Savio's reference.

mod feedback;
mod malformed;

use std::time::Duration;

use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::sandbox::{self, Faults, Seed};
use savio_relay::savio::{
    Client, CompanyUpsert, ContactUpsert, CustomerQuery, Error, FeatureRequest,
    FeatureRequestQuery, Settings,
};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

const TOKEN: &str = "s3cret-token";

fn seed() -> Value {
    json!({
        "feature_requests": [
            {
                "title": "Weekly export", "description": "As CSV.", "state": "PLANNED",
                "product": "mobile", "product_display": "Mobile app", "product_area": "reports",
                "tags": ["red", "green"], "roadmaps": [{ "roadmap": "2027", "column": "Next" }],
                "priority": "HIGH", "effort": "S", "is_public": true, "Votes": 3, "MRR": 120.5,
                "created": "2026-01-01T00:00:00Z", "updated": "2026-03-01T00:00:00Z"
            },
            {
                "title": "Dark mode", "state": "SHIPPED", "shipped_at": "2026-02-01",
                "tags": ["red"], "MRR": 7,
                "created": "2026-01-02T00:00:00Z", "updated": "2026-02-01T00:00:00Z"
            }
        ]
    })
}

/// Starts a sandbox, and returns a client for it and its URL.
async fn start_with(seed: &Value, faults: Faults) -> (Client, String) {
    let document = Document { name: "seed.json".to_owned(), text: seed.to_string() };
    let seed = Seed::read(&document).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = sandbox::Settings { token: Some(TOKEN.into()), faults, seed };
    tokio::spawn(sandbox::serve(listener, settings, std::future::pending()));
    (client(&format!("{url}/app/api/"), TOKEN), url)
}

async fn start(seed: &Value) -> Client {
    start_with(seed, Faults::default()).await.0
}

fn client(base_url: &str, token: &str) -> Client {
    let base_url = base_url.parse().unwrap();
    let timeout = Duration::from_secs(20);
    Client::new(Settings { base_url, token: token.into(), timeout }).unwrap()
}

/// A text that is present.
#[expect(clippy::unnecessary_wraps, reason = "it is written where an optional field is")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn contact(internal_id: &str, name: &str) -> ContactUpsert {
    let (internal_id, name) = (internal_id.to_owned(), name.to_owned());
    ContactUpsert { internal_id, name, ..ContactUpsert::default() }
}

fn company(internal_id: &str, name: &str) -> CompanyUpsert {
    let (internal_id, name) = (internal_id.to_owned(), name.to_owned());
    CompanyUpsert { internal_id, name, ..CompanyUpsert::default() }
}

fn attributes(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn feature_request_has_all_its_fields() {
    let client = start(&seed()).await;

    let got = client.feature_request(1).await.unwrap();

    let expected: FeatureRequest = serde_json::from_value(json!({
        "id": 1, "title": "Weekly export", "description": "As CSV.", "state": "PLANNED",
        "state_display": "Planned", "product": "mobile", "product_display": "Mobile app",
        "product_area": "reports", "product_area_display": "Reports", "shipped_at": null,
        "tags": [{ "id": 1, "title": "red" }, { "id": 2, "title": "green" }],
        "roadmaps": [{ "roadmap": "2027", "column": "Next" }], "is_public": true,
        "priority": "HIGH", "priority_display": "High", "effort": "S", "effort_display": "S",
        "Requests": 0, "Feedback": 0, "Companies": 0, "Votes": 3, "MRR": 120.5,
        "created": "2026-01-01T00:00:00Z", "updated": "2026-03-01T00:00:00Z"
    }))
    .unwrap();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn custom_columns_are_kept() {
    let got = start(&seed()).await.feature_request(1).await.unwrap();

    assert_eq!((got.count("Votes"), got.count("Nothing")), (Some(3), None));
    assert_eq!(got.number("MRR"), Some(120.5));
    assert_eq!(serde_json::to_value(&got).unwrap()["MRR"], json!(120.5));
}

#[tokio::test]
async fn missing_feature_request_is_404() {
    let error = start(&seed()).await.feature_request(99).await.unwrap_err();

    assert_eq!(error, Error::NotFound { details: "Not found.".to_owned() });
}

async fn check_titles(client: &Client, filter: FeatureRequestQuery, expected: &[&str]) {
    let found = client.feature_requests(&filter).all().await.unwrap();
    let titles: Vec<&str> = found.iter().map(|one| one.title.as_str()).collect();
    assert_eq!(titles, expected, "{filter:?}");
}

#[tokio::test]
async fn feature_requests_are_filtered_by_each_parameter() {
    let client = start(&seed()).await;
    let none = FeatureRequestQuery::default;
    for (filter, expected) in [
        (none(), &["Weekly export", "Dark mode"][..]),
        (FeatureRequestQuery { search: some("DARK m"), ..none() }, &["Dark mode"]),
        (FeatureRequestQuery { state: some("PLANNED"), ..none() }, &["Weekly export"]),
        (FeatureRequestQuery { state: some("planned"), ..none() }, &[]),
        (FeatureRequestQuery { product: some("mobile"), ..none() }, &["Weekly export"]),
        (FeatureRequestQuery { product_area: some("reports"), ..none() }, &["Weekly export"]),
        (
            FeatureRequestQuery { tag: some("red"), state: some("SHIPPED"), ..none() },
            &["Dark mode"],
        ),
        (FeatureRequestQuery { tag: some("re"), ..none() }, &[]),
        (FeatureRequestQuery { roadmap: some("2027"), ..none() }, &["Weekly export"]),
    ] {
        check_titles(&client, filter, expected).await;
    }
}

#[tokio::test]
async fn feature_requests_are_ordered_up_and_down() {
    let client = start(&seed()).await;
    for (ordering, expected) in [
        ("updated", ["Dark mode", "Weekly export"]),
        ("-updated", ["Weekly export", "Dark mode"]),
        ("title", ["Dark mode", "Weekly export"]),
        ("-created", ["Dark mode", "Weekly export"]),
        ("-MRR", ["Weekly export", "Dark mode"]),
        ("no-such-field", ["Weekly export", "Dark mode"]),
    ] {
        let filter =
            FeatureRequestQuery { ordering: some(ordering), ..FeatureRequestQuery::default() };
        check_titles(&client, filter, &expected).await;
    }
}

#[tokio::test]
async fn product_filter_is_ignored_without_products() {
    let client = start(&json!({ "feature_requests": [{ "title": "Dark mode" }] })).await;
    let filter = FeatureRequestQuery {
        product: some("mobile"),
        product_area: some("x"),
        ..FeatureRequestQuery::default()
    };

    check_titles(&client, filter, &["Dark mode"]).await;
    assert_eq!(client.feature_request(1).await.unwrap().product, None);
}

#[tokio::test]
async fn pages_of_feature_requests_have_no_count() {
    let titles = (1..=60).map(|number| json!({ "title": format!("Wish {number}") }));
    let client = start(&json!({ "feature_requests": titles.collect::<Vec<_>>() })).await;
    let mut pages = client.feature_requests(&FeatureRequestQuery {
        search: some("wish"),
        ..FeatureRequestQuery::default()
    });

    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        assert_eq!((page.count, page.previous.is_none()), (None, sizes.is_empty()));
        sizes.push(page.results.len());
    }

    assert_eq!(sizes, [25, 25, 10]);
    assert_eq!(pages.next().await, Ok(None));
}

#[tokio::test]
async fn contact_is_created_with_all_its_fields() {
    let client = start(&json!({})).await;
    client.upsert_company(&company("6", "Acme")).await.unwrap();
    let given = json!({ "region": "na", "mrr": 49.5, "vip": true });
    let upsert = ContactUpsert {
        email: some("ada@example.com"),
        company_internal_id: some("6"),
        filterable_attributes: attributes(&given),
        ..contact("7", "Ada Rossi")
    };

    let kept = client.upsert_contact(&upsert).await.unwrap();

    assert_eq!((kept.id, kept.name.as_deref(), kept.company), (1, Some("Ada Rossi"), Some(1)));
    assert_eq!((kept.email, kept.company_name), (some("ada@example.com"), some("Acme")));
    assert_eq!(kept.filterable_attributes, Some(attributes(&given)));
    assert!(kept.created.is_some() && kept.updated.is_some());
    assert_eq!(kept.other["internal_id"], json!("7"));
}

#[tokio::test]
async fn contact_is_updated_by_internal_id_or_address() {
    let client = start(&json!({})).await;
    let ada = ContactUpsert { email: some("ada@example.com"), ..contact("7", "Ada") };
    client.upsert_contact(&ada).await.unwrap();

    let by_id = client.upsert_contact(&contact("7", "Ada Rossi")).await.unwrap();
    let renumbered = ContactUpsert { email: some("ADA@example.com"), ..contact("8", "Ada R.") };
    let by_address = client.upsert_contact(&renumbered).await.unwrap();

    assert_eq!((by_id.id, by_id.email), (1, some("ada@example.com")));
    assert_eq!((by_address.id, by_address.name), (1, some("Ada R.")));
    assert_eq!(client.contacts(&CustomerQuery::default()).all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn contact_joins_a_company_by_savios_id() {
    let client = start(&json!({})).await;
    let acme = client.upsert_company(&company("6", "Acme")).await.unwrap();
    let upsert = |company| ContactUpsert { company: Some(company), ..contact("7", "Ada") };

    let kept = client.upsert_contact(&upsert(acme.id)).await.unwrap();
    let error = client.upsert_contact(&upsert(99)).await.unwrap_err();

    assert_eq!(kept.company_name, some("Acme"));
    let expected = "Savio refused it (400): company: Invalid pk \"99\" - object does not exist.";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn company_is_created_and_updated_by_internal_id() {
    let client = start(&json!({})).await;
    let with = |name: &str, given: Value| CompanyUpsert {
        filterable_attributes: attributes(&given),
        ..company("6", name)
    };

    let first = client.upsert_company(&with("Acme", json!({ "plan": "pro" }))).await.unwrap();
    let second = client.upsert_company(&with("Acme Corp", json!({ "mrr": 9 }))).await.unwrap();

    assert_eq!((first.id, second.id, second.name), (1, 1, some("Acme Corp")));
    assert_eq!(second.internal_id, some("6"));
    let both = attributes(&json!({ "plan": "pro", "mrr": 9 }));
    assert_eq!(second.filterable_attributes, Some(both));
}

#[tokio::test]
async fn contacts_are_searched_and_ordered() {
    let client = start(&json!({})).await;
    for (id, name, email) in [("1", "Bea", "bea@example.com"), ("2", "Ada", "ada@example.org")] {
        let upsert = ContactUpsert { email: some(email), ..contact(id, name) };
        client.upsert_contact(&upsert).await.unwrap();
    }
    let check = async |search: Option<&str>, ordering: Option<&str>, expected: &[&str]| {
        let (search, ordering) = (search.map(str::to_owned), ordering.map(str::to_owned));
        let found = client.contacts(&CustomerQuery { search, ordering }).all().await.unwrap();
        let names: Vec<String> = found.into_iter().filter_map(|one| one.name).collect();
        assert_eq!(names, expected);
    };

    check(None, Some("name"), &["Ada", "Bea"]).await;
    check(None, Some("-email"), &["Bea", "Ada"]).await;
    check(Some("example.org"), None, &["Ada"]).await;
    check(Some("BEA"), Some("-updated"), &["Bea"]).await;
}

#[tokio::test]
async fn companies_are_searched_ordered_and_counted() {
    let companies =
        (10..40).map(|number| json!({ "internal_id": number, "name": format!("Acme {number}") }));
    let client = start(&json!({ "companies": companies.collect::<Vec<_>>() })).await;
    let search = CustomerQuery { search: some("acme"), ordering: some("-name") };
    let mut pages = client.companies(&search);

    let first = pages.next().await.unwrap().unwrap();
    let second = pages.next().await.unwrap().unwrap();

    assert_eq!((first.count, first.results.len(), second.results.len()), (Some(30), 25, 5));
    assert_eq!(first.results[0].name, some("Acme 39"));
    assert!(first.previous.is_none() && second.next.is_none());
    assert_eq!(second.previous.is_some(), first.next.is_some());
}

#[tokio::test]
async fn wrong_token_is_401_on_every_endpoint() {
    let (_, url) = start_with(&json!({}), Faults::default()).await;
    let wrong = client(&format!("{url}/app/api/"), "wrong-token");

    for error in [
        wrong.feature_request(1).await.unwrap_err(),
        wrong.feature_requests(&FeatureRequestQuery::default()).next().await.unwrap_err(),
        wrong.contacts(&CustomerQuery::default()).next().await.unwrap_err(),
        wrong.upsert_contact(&contact("7", "Ada")).await.unwrap_err(),
        wrong.companies(&CustomerQuery::default()).next().await.unwrap_err(),
        wrong.upsert_company(&company("6", "Acme")).await.unwrap_err(),
        wrong.create_feedback(&feedback::problem("Slow")).await.unwrap_err(),
    ] {
        assert_eq!(error, Error::Unauthorized { details: "Invalid token.".to_owned() });
        assert!(!format!("{error} {error:?} {wrong:?}").contains("wrong-token"));
    }
}

#[tokio::test]
async fn invalid_upsert_names_each_field() {
    let client = start(&json!({})).await;
    let wrong = ContactUpsert { email: some("nobody"), ..contact(" ", "Ada") };

    let error = client.upsert_contact(&wrong).await.unwrap_err();

    let Error::Refused { status: 400, refusal } = &error else { panic!("{error}") };
    let message = |text: &str| vec![text.to_owned()];
    let expected = [
        ("internal_id".to_owned(), message("This field may not be blank.")),
        ("email".to_owned(), message("Enter a valid email address.")),
    ];
    assert_eq!(refusal.fields, expected);
    assert!(!error.is_transient());
}

#[tokio::test]
async fn request_beyond_the_rate_is_429_with_a_wait() {
    let faults = Faults { rate: "1/h".parse().ok(), ..Faults::default() };
    let (client, _) = start_with(&json!({}), faults).await;
    client.upsert_company(&company("6", "Acme")).await.unwrap();

    let error = client.upsert_company(&company("6", "Acme")).await.unwrap_err();

    assert!(matches!(error, Error::Throttled { .. }) && error.is_transient(), "{error}");
    assert!(error.retry_after().is_some_and(|wait| wait > Duration::from_mins(50)));
}
