//! Waits of the commands `savio-relay savio ...`: none before the first page, and a person is told
//! of each.

use std::path::Path;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use wiremock::matchers::{method, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::program;

/// Runs a command against the server, and returns its exit code, output and errors.
async fn run(savio: &MockServer, arguments: &[&str], folder: &Path) -> (i32, String, String) {
    let mut command = program(folder);
    command.arg("savio").args(arguments).args(["--base-url", &savio.uri()]);
    command.env("SAVIO_API_TOKEN", "token");
    let output = spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

async fn answer_once(savio: &MockServer, verb: &str, answer: ResponseTemplate) {
    Mock::given(method(verb)).respond_with(answer).up_to_n_times(1).mount(savio).await;
}

fn page(next: Option<&str>) -> ResponseTemplate {
    let results: Vec<Value> = Vec::new();
    ResponseTemplate::new(200).set_body_json(json!({ "next": next, "results": results }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_page_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for things in ["contacts", "companies", "feature-requests"] {
        for options in [&["list"][..], &["list", "--all"], &["list", "--all", "--json"]] {
            let savio = MockServer::start().await;
            let failed = ResponseTemplate::new(500).insert_header("retry-after", "60");
            Mock::given(method("GET")).respond_with(failed).mount(&savio).await;

            let arguments = [&[things], options].concat();
            let (status, _, errors) = run(&savio, &arguments, folder.path()).await;

            assert_eq!(status, 3, "{arguments:?}: {errors}");
            assert!(errors.contains("server error (500)"), "{arguments:?}: {errors}");
            assert_eq!(savio.received_requests().await.unwrap().len(), 1, "{arguments:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_for_a_later_page_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for output in [&["--all"][..], &["--all", "--json"]] {
        let savio = MockServer::start().await;
        let second = format!("{}/users/?page=2", savio.uri());
        answer_once(&savio, "GET", page(Some(&second))).await;
        answer_once(&savio, "GET", ResponseTemplate::new(500)).await;
        Mock::given(query_param("page", "2")).respond_with(page(None)).mount(&savio).await;

        let arguments = [&["contacts", "list"], output].concat();
        let (status, _, errors) = run(&savio, &arguments, folder.path()).await;

        assert_eq!(status, 0, "{errors}");
        assert_eq!(errors, "Savio answered 500, retrying in 1 s (2 of 8)\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wait_of_a_bulk_upsert_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> =
        (1..=5).map(|id| json!({ "internal_id": id, "name": "Ada" }).to_string()).collect();
    std::fs::write(folder.path().join("five.ndjson"), lines.join("\n")).unwrap();
    let savio = MockServer::start().await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "2");
    answer_once(&savio, "POST", busy).await;
    let taken = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
    Mock::given(method("POST")).respond_with(taken).mount(&savio).await;

    let arguments = ["contacts", "upsert", "five.ndjson", "--max-in-flight", "1"];
    let (status, shown, errors) = run(&savio, &arguments, folder.path()).await;

    assert_eq!((status, shown.as_str()), (0, "contacts at savio: 5\n"), "{errors}");
    assert!(errors.starts_with("line 1: Savio answered 429, retrying in "), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}
