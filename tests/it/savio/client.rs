//! Requests of the client of the Savio API, and their results.

use std::time::Duration;

use savio_relay::event::{Request, RequestKind};
use savio_relay::savio::{ApiResponse, BodyKind, Client, ClientError, SendResult, Settings};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const TOKEN: &str = "s3cret-token";

fn settings(base_url: &str) -> Settings {
    let base_url = base_url.parse().unwrap();
    Settings { base_url, token: TOKEN.into(), timeout: Duration::from_secs(20) }
}

fn client(base_url: &str) -> Client {
    Client::new(settings(base_url)).unwrap()
}

fn request(kind: RequestKind) -> Request {
    let body = json!({ "name": "Acme", "internal_id": "6" });
    Request { kind, body: body.as_object().unwrap().clone() }
}

/// Sends a request that Savio answers with this response, and returns what the client makes of it.
async fn reply_to(template: ResponseTemplate) -> ApiResponse {
    let savio = MockServer::start().await;
    Mock::given(method("POST")).respond_with(template).mount(&savio).await;
    match client(&savio.uri()).send(&request(RequestKind::Feedback)).await {
        SendResult::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// Action of a server on a connection after it has written its response.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Hang,
}

/// Starts a server that writes one of the responses on each connection, and reports when one was
/// closed.
async fn raw(answers: &'static [(&'static str, Then)]) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (report, closed) = channel(1);
    tokio::spawn(async move {
        let mut hanging = Vec::new();
        for (answer, then) in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            read_request(&mut connection).await;
            connection.write_all(answer.as_bytes()).await.unwrap();
            match then {
                Then::Close => {
                    connection.shutdown().await.unwrap();
                    drop(connection.read(&mut [0]).await);
                    report.send(()).await.ok();
                }
                Then::Hang => hanging.push(connection),
            }
        }
        std::future::pending::<()>().await;
    });
    (url, closed)
}

/// Reads a request to its end, which is the only `"}` in it.
async fn read_request(connection: &mut TcpStream) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\"}") {
        assert_ne!(connection.read_buf(&mut bytes).await.unwrap(), 0);
    }
}

async fn send_raw(answers: &'static [(&'static str, Then)]) -> SendResult {
    let (url, _) = raw(answers).await;
    send_within_a_second(&url).await
}

async fn send_within_a_second(base_url: &str) -> SendResult {
    let settings = Settings { timeout: Duration::from_secs(1), ..settings(base_url) };
    Client::new(settings).unwrap().send(&request(RequestKind::Company)).await
}

#[tokio::test]
async fn each_kind_is_posted_to_its_route() {
    let savio = MockServer::start().await;
    let routes = [
        (RequestKind::Company, "/app/api/companies/"),
        (RequestKind::Contact, "/app/api/users/"),
        (RequestKind::Feedback, "/app/api/create-feedback/"),
    ];
    for (kind, route) in routes {
        Mock::given(method("POST"))
            .and(path(route))
            .and(header("authorization", "Token s3cret-token"))
            .and(header("user-agent", concat!("savio-relay/", env!("CARGO_PKG_VERSION"))))
            .and(body_json(&request(kind).body))
            .respond_with(ResponseTemplate::new(201).set_body_json(json!({ "id": 7 })))
            .expect(1)
            .mount(&savio)
            .await;
        let answer = client(&format!("{}/app/api", savio.uri())).send(&request(kind)).await;
        let content = BodyKind::Object { id: Some(json!(7)) };
        let text = r#"{"id":7}"#.to_owned();
        assert_eq!(
            answer,
            SendResult::Reply(ApiResponse { status: 201, retry_after: None, content, text })
        );
    }
}

#[tokio::test]
async fn redirect_is_returned_and_not_followed() {
    let template = ResponseTemplate::new(302).insert_header("location", "/elsewhere/");
    assert_eq!(reply_to(template).await.status, 302);
}

#[tokio::test]
async fn retry_after_is_returned_unchanged() {
    let date = "Sun, 22 Nov 2026 10:00:00 GMT";
    let template = ResponseTemplate::new(503).insert_header("retry-after", date);
    assert_eq!(reply_to(template).await.retry_after.as_deref(), Some(date));
}

#[tokio::test]
async fn token_is_removed_from_the_stored_text() {
    let template = ResponseTemplate::new(400).set_body_string(format!("no: {TOKEN}, {TOKEN}"));
    assert_eq!(reply_to(template).await.text, "no: ***, ***");
}

#[tokio::test]
async fn long_response_is_cut_and_a_huge_one_not_read() {
    let long = reply_to(ResponseTemplate::new(400).set_body_string("ü".repeat(3_000))).await;
    assert_eq!(long.text, "ü".repeat(2_048));

    let huge = reply_to(ResponseTemplate::new(200).set_body_string("x".repeat(1_000_000))).await;
    assert_eq!(huge.content, BodyKind::Cut { is_declared_json: false });
    assert_eq!(huge.text.len(), 4_096);
}

#[tokio::test]
async fn refused_connection_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);

    let answer = client(&url).send(&request(RequestKind::Feedback)).await;

    assert!(matches!(answer, SendResult::NotSent { .. }), "{answer:?}");
}

#[tokio::test]
async fn unknown_host_is_not_sent() {
    let client = Client::new(settings("http://savio.invalid/")).unwrap();
    let company = request(RequestKind::Company);

    let withheld = client.send(&company).await;
    let answer = client.insecure(true).send(&company).await;

    assert!(matches!(withheld, SendResult::Withheld { .. }), "{withheld:?}");
    assert!(matches!(answer, SendResult::NotSent { .. }), "{answer:?}");
}

#[tokio::test]
async fn missing_or_incomplete_response_is_no_reply() {
    for answers in [
        &[("", Then::Close)],
        &[("", Then::Hang)],
        &[("HTTP/1.1 201 Cre", Then::Close)],
        &[("HTTP/1.1 201 Cre", Then::Hang)],
        &[("SSH-2.0-OpenSSH\r\n\r\n", Then::Close)],
    ] {
        let answer = send_raw(answers).await;
        assert!(matches!(answer, SendResult::NoReply { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn status_counts_even_if_the_body_is_cut() {
    const CREATED: &str = "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n\
                           content-length: 99\r\n\r\n{\"id\": 7";
    for answers in [&[(CREATED, Then::Close)], &[(CREATED, Then::Hang)]] {
        let SendResult::Reply(reply) = send_raw(answers).await else { panic!("no reply") };
        assert_eq!((reply.status, reply.content), (201, BodyKind::Cut { is_declared_json: true }));
    }
}

#[tokio::test]
async fn closed_idle_connection_is_replaced() {
    const EMPTY: &str = "HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
    let (url, mut closed) = raw(&[(EMPTY, Then::Close), (EMPTY, Then::Close)]).await;
    let client = client(&url);

    for _ in 0..2 {
        let answer = client.send(&request(RequestKind::Company)).await;
        assert!(matches!(answer, SendResult::Reply(ApiResponse { status: 201, .. })), "{answer:?}");
        closed.recv().await.unwrap();
    }
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_not_sent() {
    let (url, _) = raw(&[("", Then::Close)]).await;
    let https = settings(&url.replace("http://", "https://"));
    match Client::new(Settings { timeout: Duration::from_secs(1), ..https }) {
        Ok(client) => {
            let answer = client.send(&request(RequestKind::Company)).await;
            assert!(matches!(answer, SendResult::NotSent { .. }), "{answer:?}");
        }
        // On a machine without CA certificates.
        Err(error) => assert!(matches!(error, ClientError::NoTls { .. }), "{error}"),
    }
}

#[test]
fn token_that_is_no_header_value_is_an_error() {
    let with_token = |token: &str| {
        let settings = Settings { token: token.into(), ..settings("http://127.0.0.1/") };
        Client::new(settings).unwrap_err().to_string()
    };
    assert_eq!(with_token(""), "the Savio token is empty");
    assert!(with_token("a\nb").contains("no HTTP header"));
}
