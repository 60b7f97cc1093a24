//! The client against a server with malformed responses.

use std::time::Duration;

use savio_relay::savio::{
    Client, CompanyUpsert, Contact, Created, CustomerQuery, Error, NewFeedback, NextPageError,
    Page, Settings,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{method, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{TOKEN, client, feedback};

async fn answering(template: ResponseTemplate) -> (MockServer, Client) {
    let savio = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(template).mount(&savio).await;
    let client = client(&savio.uri(), TOKEN);
    (savio, client)
}

async fn page_of(template: ResponseTemplate) -> Result<Option<Page<Contact>>, Error> {
    let (_savio, client) = answering(template).await;
    client.contacts(&CustomerQuery::default()).next().await
}

fn json_page(next: Option<&str>) -> Value {
    json!({ "count": 1, "next": next, "previous": null, "results": [{ "id": 7 }] })
}

#[tokio::test]
async fn list_accepts_any_2xx() {
    for status in [200, 201, 202, 206] {
        let page = page_of(ResponseTemplate::new(status).set_body_json(json_page(None))).await;
        assert_eq!(page.unwrap().unwrap().results[0].id, 7, "{status}");
    }
}

async fn check_unreadable(template: ResponseTemplate, expected: &str) {
    let error = page_of(template).await.unwrap_err();
    assert!(matches!(error, Error::UnexpectedResponse { .. }), "{error:?}");
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn json_array_is_no_page_contact_or_tag() {
    let ok = |body: &Value| ResponseTemplate::new(200).set_body_json(body);
    let expected = "a JSON object is expected";
    check_unreadable(ok(&json!([1, null, null, []])), expected).await;
    check_unreadable(ok(&json!({ "results": [[7]] })), expected).await;

    for (tags, roadmaps) in [(json!([[7, "red"]]), json!([])), (json!([]), json!([["2027"]]))] {
        let found = json!({ "id": 7, "title": "A", "tags": tags, "roadmaps": roadmaps });
        let (_savio, client) = answering(ok(&found)).await;
        let error = client.feature_request(7).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let (_savio, client) = answering(ok(&json!([7]))).await;
    let error = client.create_feedback(&NewFeedback::default()).await.unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
}

#[tokio::test]
async fn unreadable_2xx_is_described() {
    let ok = || ResponseTemplate::new(200);
    let page = |results: Value| ok().set_body_json(json!({ "results": results }));
    check_unreadable(ok().set_body_raw("<html>Sign in</html>", "text/html"), "an HTML page").await;
    check_unreadable(ok().set_body_string("<!DOCTYPE html><p>"), "an HTML page").await;
    check_unreadable(ok(), "it is empty").await;
    check_unreadable(ResponseTemplate::new(204), "it is empty").await;
    check_unreadable(ok().set_body_string("{\"results\": ["), "it is not JSON").await;
    check_unreadable(ok().set_body_json(json!([])), "not as documented").await;
    check_unreadable(ok().set_body_json(json!({ "count": 1 })), "missing field `results`").await;
    check_unreadable(page(json!("none")), "not as documented").await;
    check_unreadable(page(json!([{ "name": "Ada" }])), "missing field `id`").await;
    check_unreadable(page(json!([{ "id": "seven" }])), "expected u64").await;
    check_unreadable(page(json!([{ "id": 7, "company": {} }])), "not as documented").await;
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let moved = ResponseTemplate::new(302).insert_header("location", "https://elsewhere.example/");
    check_unreadable(moved, "(302)").await;
}

#[tokio::test]
async fn huge_page_is_not_read_to_its_end() {
    let huge =
        ResponseTemplate::new(200).set_body_raw(vec![b' '; 9 * 1024 * 1024], "application/json");
    check_unreadable(huge, "longer than 8388608 bytes").await;
}

/// Starts a server that answers each connection with these bytes and closes it.
async fn raw(answer: &'static str) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()), TOKEN);
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
            }
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    });
    client
}

#[tokio::test]
async fn page_cut_off_is_reported() {
    let cut =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"res";

    let error = raw(cut).await.contacts(&CustomerQuery::default()).next().await.unwrap_err();

    assert!(error.to_string().contains("ended early"), "{error}");
}

#[tokio::test]
async fn response_that_never_begins_is_no_response() {
    let error = raw("").await.contacts(&CustomerQuery::default()).next().await.unwrap_err();

    assert!(matches!(error, Error::NoResponse { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn timeout_is_no_response() {
    let late = ResponseTemplate::new(200).set_delay(Duration::from_mins(1));
    let (savio, _) = answering(late).await;
    let base_url = savio.uri().parse().unwrap();
    let timeout = Duration::from_millis(100);
    let hasty = Client::new(Settings { base_url, token: TOKEN.into(), timeout }).unwrap();

    let error = hasty.feature_request(1).await.unwrap_err();

    assert!(matches!(error, Error::NoResponse { .. }), "{error:?}");
}

#[tokio::test]
async fn refused_connection_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&format!("http://{}", listener.local_addr().unwrap()), TOKEN);
    drop(listener);

    let error = client.create_feedback(&feedback::problem("Slow")).await.unwrap_err();

    assert!(matches!(error, Error::Unreachable { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn server_error_has_its_retry_after() {
    let page = "<html><h1>502 Bad Gateway</h1></html>";
    let down = ResponseTemplate::new(502).set_body_raw(page, "text/html");
    let error = page_of(down.insert_header("retry-after", "7")).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "Savio returned a server error (502), again in 7 s: an HTML page"
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.is_transient());
}

#[tokio::test]
async fn other_refusals_keep_their_status() {
    for (status, kind) in [(400, "refused"), (403, "refused"), (405, "refused"), (404, "no such")] {
        let error =
            page_of(ResponseTemplate::new(status).set_body_string("No.")).await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert!(error.to_string().contains(kind) && error.to_string().contains("No."), "{error}");
    }
}

#[tokio::test]
async fn repeated_token_is_not_shown() {
    let wrong_type = json!({ "results": [{ "id": TOKEN }] });
    for template in [
        ResponseTemplate::new(400).set_body_json(json!({ "detail": TOKEN, "name": [TOKEN] })),
        ResponseTemplate::new(401).set_body_string(TOKEN),
        ResponseTemplate::new(503).set_body_string(TOKEN),
        ResponseTemplate::new(200).set_body_json(wrong_type),
    ] {
        let error = page_of(template).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(TOKEN) && shown.contains("***"), "{shown}");
    }
}

#[tokio::test]
async fn feedback_with_an_empty_response_is_created() {
    let (_savio, client) = answering(ResponseTemplate::new(201)).await;

    let created = client.create_feedback(&feedback::problem("Slow")).await;

    assert_eq!(created, Ok(Created { id: None }));
}

#[tokio::test]
async fn upsert_with_an_empty_response_is_an_error() {
    let (_savio, client) = answering(ResponseTemplate::new(201)).await;

    let error = client.upsert_company(&CompanyUpsert::default()).await.unwrap_err();

    assert!(matches!(error, Error::UnexpectedResponse { status: 201, .. }), "{error:?}");
}

async fn next_page_error(next: &str) -> Error {
    page_of(ResponseTemplate::new(200).set_body_json(json_page(Some(next)))).await.unwrap_err()
}

#[tokio::test]
async fn token_is_sent_to_no_other_server() {
    for next in [
        "https://elsewhere.example/users/?page=2",
        "http://127.0.0.1:1/users/?page=2",
        "//elsewhere.example/users/",
        "ftp://127.0.0.1/users/",
        "http://me:pass@127.0.0.1:1/",
        "file:///etc/passwd",
    ] {
        let error = next_page_error(next).await;
        assert!(matches!(error, Error::NextPage(NextPageError::Foreign(_))), "{next}: {error}");
    }
    assert_eq!(next_page_error("http://[").await, Error::NextPage(NextPageError::NoUrl));
}

#[tokio::test]
async fn circular_pages_are_an_error() {
    let savio = MockServer::start().await;
    let answer = |next: &str| ResponseTemplate::new(200).set_body_json(json_page(Some(next)));
    let first = Mock::given(method("GET")).and(query_param_is_missing("page"));
    first.respond_with(answer("/users/?page=2")).expect(1).mount(&savio).await;
    let second = Mock::given(method("GET")).and(query_param("page", "2"));
    second.respond_with(answer("/users/")).expect(1).mount(&savio).await;

    let mut pages = client(&savio.uri(), TOKEN).contacts(&CustomerQuery::default());

    assert!(pages.next().await.unwrap().is_some());
    assert_eq!(pages.next().await, Err(Error::NextPage(NextPageError::Circle)));
    assert_eq!(pages.next().await, Ok(None));
}

#[tokio::test]
async fn endless_pages_are_an_error() {
    let savio = MockServer::start().await;
    let endless = |request: &Request| {
        let next = format!("{}?{}x", request.url.path(), request.url.query().unwrap_or_default());
        ResponseTemplate::new(200).set_body_json(json_page(Some(&next)))
    };
    Mock::given(method("GET")).respond_with(endless).expect(5).mount(&savio).await;

    let error =
        client(&savio.uri(), TOKEN).contacts(&CustomerQuery::default()).at_most(5).all().await;

    assert_eq!(error, Err(Error::NextPage(NextPageError::TooMany(5))));
}

#[tokio::test]
async fn failed_page_can_be_requested_again() {
    let savio = MockServer::start().await;
    let down = Mock::given(method("GET")).respond_with(ResponseTemplate::new(503));
    down.up_to_n_times(1).mount(&savio).await;
    let page = ResponseTemplate::new(200).set_body_json(json_page(None));
    Mock::given(method("GET")).respond_with(page).mount(&savio).await;

    let mut pages = client(&savio.uri(), TOKEN).contacts(&CustomerQuery::default());

    assert!(pages.next().await.unwrap_err().is_transient());
    assert_eq!(pages.next().await.unwrap().unwrap().results.len(), 1);
    assert_eq!(pages.next().await, Ok(None));
}
