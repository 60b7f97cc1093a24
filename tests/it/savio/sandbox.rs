//! Responses of the sandbox, compared with those of the real Savio.

mod faults;

use crate::support::relay::http;
use savio_relay::sandbox::{Faults, Settings, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Starts a sandbox on a free port, which accepts the token `T` only.
async fn start() -> String {
    start_with(Faults::default()).await
}

async fn start_with(faults: Faults) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = Settings { token: Some("T".into()), faults, ..Settings::default() };
    tokio::spawn(serve(listener, settings, std::future::pending()));
    format!("http://{address}")
}

async fn post(url: String, body: &Value) -> (u16, Value) {
    let call = http().post(url).header("authorization", "Token T").json(body);
    let response = call.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(url: String) -> Value {
    http().get(url).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn feedback_gets_an_id_and_is_stored() {
    let savio = start().await;
    let body = json!({ "problem": "It is slow", "tags": ["speed"] });

    let answer = post(format!("{savio}/app/api/create-feedback/"), &body).await;

    assert_eq!(answer, (201, json!({ "id": 1 })));
    let stored = get(format!("{savio}/sandbox/feedback")).await;
    let feedback =
        json!({ "id": 1, "problem": "It is slow", "tags": ["speed"], "state": "ACTIVE" });
    assert_eq!(stored, json!([feedback]));
}

#[tokio::test]
async fn feedback_without_a_problem_is_refused() {
    let savio = start().await;

    let answer = post(format!("{savio}/app/api/create-feedback/"), &json!({})).await;

    assert_eq!(answer, (400, json!({ "problem": ["This field is required."] })));
    assert_eq!(get(format!("{savio}/sandbox/feedback")).await, json!([]));
}

#[tokio::test]
async fn updated_contact_keeps_its_company() {
    let savio = start().await;
    let company = json!({ "internal_id": "6", "name": "Acme" });
    let contact = json!({ "internal_id": "7", "name": "Ann", "company_internal_id": "6" });
    post(format!("{savio}/app/api/companies/"), &company).await;
    post(format!("{savio}/app/api/users/"), &contact).await;

    let renamed = json!({ "internal_id": "7", "name": "Anna" });
    let (status, updated) = post(format!("{savio}/app/api/users/"), &renamed).await;

    assert_eq!(
        (status, &updated["name"], &updated["company_name"]),
        (201, &json!("Anna"), &json!("Acme"))
    );
    let stored = get(format!("{savio}/sandbox/contacts")).await;
    assert_eq!(stored, json!([updated]));
    assert_eq!(get(format!("{savio}/sandbox/companies")).await[0]["name"], json!("Acme"));
}

/// Requests a page of a list.
async fn listed(url: &str) -> Value {
    let call = http().get(url).header("authorization", "Token T");
    call.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn contacts_are_listed_in_pages_and_searched() {
    let savio = start().await;
    for number in 1..=26 {
        let contact = json!({ "internal_id": number.to_string(), "name": format!("Ann {number}") });
        post(format!("{savio}/app/api/users/"), &contact).await;
    }

    let first = listed(&format!("{savio}/app/api/users/?search=ann")).await;
    let second = listed(first["next"].as_str().unwrap()).await;
    let none = listed(&format!("{savio}/app/api/users/?search=nobody")).await;

    assert_eq!((&first["count"], &first["previous"]), (&json!(26), &Value::Null));
    assert_eq!(first["results"].as_array().unwrap().len(), 25);
    assert_eq!((&second["results"][0]["name"], &second["next"]), (&json!("Ann 26"), &Value::Null));
    assert_eq!((&none["count"], &none["results"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn sandbox_accepts_its_token_only() {
    let url = format!("{}/app/api/users/", start().await);
    for token in ["", "Token ", "Token X", "Bearer T", "TokenT", "T"] {
        let call = http().post(&url).header("authorization", token).json(&json!({}));
        assert_eq!(call.send().await.unwrap().status(), 401, "{token}");
    }
    assert_eq!(http().post(&url).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn wrong_paths_methods_and_bodies_have_own_statuses() {
    let savio = start().await;
    let check = async |method: &str, path: &str, body: &'static str, expected: u16| {
        let call = http().request(method.parse().unwrap(), format!("{savio}{path}"));
        let call =
            call.header("authorization", "Token T").header("content-type", "application/json");
        let status = call.body(body).send().await.unwrap().status();
        assert_eq!(status, expected, "{method} {path} {body}");
    };
    check("POST", "/app/api/nothing/", "{}", 404).await;
    check("GET", "/sandbox/nothing", "", 404).await;
    check("GET", "/app/api/create-feedback/", "", 405).await;
    check("POST", "/app/api/users/", "{", 400).await;
    check("POST", "/app/api/users/", "[]", 400).await;
    check("GET", "/app/api/users/?page=2", "", 404).await;
    check("GET", "/app/api/users/?page=x", "", 400).await;
}

#[tokio::test]
async fn body_that_is_no_json_or_too_large_is_refused() {
    let url = format!("{}/app/api/users/", start().await);
    let call = || http().post(&url).header("authorization", "Token T");

    let form = call().body("name=Ann").send().await.unwrap();
    let large = call().body(vec![b' '; 2 * 1024 * 1024]).send().await.unwrap();

    assert_eq!((form.status().as_u16(), large.status().as_u16()), (415, 413));
}
