//! `import`: past responses become events, once and after live ones; mistakes of a file are shown
//! with their line.

mod formats;
mod hidden;
mod repeats;

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, http, program};
use crate::support::wait::{until, until_async};

const TYPEFORM: &str = "\
#,What is missing?,Your name,Email,Response Type,Start Date (UTC),Submit Date (UTC),Network ID,Tags
r1,\"Dark mode,\nplease\",Ada,ada@example.com,completed,2026-01-01 10:00:00,2026-01-01 10:01:00,n,
r2,It froze,,,partial,2026-01-01 10:00:00,,n,
r3,,,,completed,2026-01-01 10:00:00,2026-01-01 10:01:00,n,
";

fn folder(name: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).arg("import").args(arguments).output().expect("the program runs")
}

/// Runs the command, checks its exit code, and returns the counts.
#[track_caller]
fn counts(folder: &Path, arguments: &[&str], status: i32) -> Value {
    let output = run(folder, &[arguments, &["--json"]].concat());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn events(folder: &Path) -> Vec<Value> {
    let listed = program(folder).args(["events", "list", "--json"]).output().unwrap();
    let mut listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let ids: Vec<Value> = listed["events"].as_array_mut().unwrap().drain(..).collect();
    let show = |id: &Value| {
        let id = id["id"].as_str().unwrap();
        let shown = program(folder).args(["events", "show", id, "--json"]).output().unwrap();
        serde_json::from_slice(&shown.stdout).unwrap()
    };
    ids.iter().map(show).collect()
}

/// Returns the output of a dry run.
fn shown(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, &[arguments, &["--dry-run"]].concat());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn imported_results_equal_the_events_of_webhooks() {
    let folder = folder("results.csv", TYPEFORM);

    let counted = counts(folder.path(), &["typeform", "results.csv"], 0);

    assert_eq!(counted["records"], 3);
    assert_eq!((&counted["events"], &counted["ignored"]), (&json!(1), &json!(2)));
    let event = events(folder.path()).remove(0);
    assert_eq!((&event["delivery_id"], &event["state"]), (&json!("r1"), &json!("queued")));
    assert_eq!(event["type"], "form_response");
    assert_eq!(event["payload"]["form_response"]["answers"][0]["text"], "Dark mode,\nplease");
    assert!(event["imported_at"].is_string() && event["headers"]["x-relay-imported"].is_string());
}

#[test]
fn repeated_import_adds_nothing() {
    let text = "{\"message\":\"One\"}\n{\"message\":\"Two\"}\n";
    let folder = folder("old.ndjson", text);
    let first = counts(folder.path(), &["form", "old.ndjson"], 0);
    let more = format!("{text}{{\"message\":\"Three\"}}\n");
    std::fs::write(folder.path().join("old.ndjson"), more).unwrap();

    let second = counts(folder.path(), &["form", "old.ndjson"], 0);
    let again = counts(folder.path(), &["form", "old.ndjson", "--again"], 0);

    assert_eq!((&first["events"], &first["repeats"]), (&json!(2), &json!(0)));
    assert_eq!((&second["events"], &second["repeats"]), (&json!(1), &json!(2)));
    assert_eq!((&again["events"], &again["repeats"]), (&json!(3), &json!(0)));
}

// Later rows overwrite the fields of the same record that earlier ones set: the order decides which
// stay.
#[test]
fn imported_events_keep_the_order_of_the_file() {
    let lines = (0..200).map(|row| format!("{{\"message\":\"row {row:03}\"}}"));
    let folder = folder("old.ndjson", &lines.collect::<Vec<_>>().join("\n"));

    counts(folder.path(), &["form", "old.ndjson"], 0);

    let database = rusqlite::Connection::open(folder.path().join("relay.db")).unwrap();
    let mut bodies = database
        .prepare("SELECT webhooks.body FROM events JOIN webhooks ON webhooks.number = events.webhook ORDER BY events.number")
        .unwrap();
    let rows: Vec<String> = bodies
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .unwrap()
        .map(|body| String::from_utf8(body.unwrap()).unwrap())
        .collect();
    assert_eq!(rows.len(), 200);
    assert!(rows.is_sorted(), "{rows:?}");
}

#[test]
fn invalid_record_is_shown_with_its_line() {
    let text = "{\"message\":\"One\"}\n\n{\"message\":\n7\n{\"message\":\"Two\"}\n";
    let folder = folder("old.ndjson", text);

    let output = run(folder.path(), &["form", "old.ndjson"]);

    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for place in ["old.ndjson:3: not JSON: EOF", "old.ndjson:4: feedback[0].problem: "] {
        assert!(errors.contains(place), "{place} in {errors}");
    }
    assert_eq!(events(folder.path()).len(), 2);
}

#[test]
fn short_row_is_shown_with_its_line() {
    let folder = folder("old.csv", "message;email\n\"One\nline\";a@example.com\nTwo\nThree;\n");

    let output = run(folder.path(), &["form", "old.csv"]);

    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("old.csv:4: it has 1 cells, and there are 2 headings"), "{errors}");
    assert_eq!(events(folder.path()).len(), 2);
}

#[test]
fn strict_import_takes_all_or_nothing() {
    let folder = folder("old.ndjson", "{\"message\":\"One\"}\n{\n");

    let strict = run(folder.path(), &["form", "old.ndjson", "--strict"]);
    let from_input = run(folder.path(), &["form", "-", "--strict"]);

    assert_eq!(strict.status.code(), Some(1));
    assert!(!folder.path().join("relay.db").exists());
    assert_eq!(from_input.status.code(), Some(2));
}

#[test]
fn dry_run_shows_requests_and_stores_nothing() {
    let rows: Vec<String> = (0..10).map(|n| format!("Idea {n},p{n}@example.com")).collect();
    let folder = folder("old.csv", &format!("feedback,email\n{}\n", rows.join("\n")));

    let text = shown(folder.path(), &["form", "old.csv"]);

    for part in ["line 2\n", "Idea 0", "p2@example.com", "records 10: 10 events", "10 feedback"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("Idea 3") && !folder.path().join("relay.db").exists(), "{text}");
}

#[test]
fn answers_find_their_questions_in_the_form_definition() {
    let item = json!({
        "token": "t1", "response_id": "t1", "submitted_at": "2026-01-01T10:01:00Z",
        "hidden": { "company": "Example Ltd" },
        "answers": [{ "type": "text", "text": "An API", "field": { "id": "f1", "ref": "wish" } }],
    });
    let export = json!({ "total_items": 1, "items": [item] });
    let folder = folder("responses.json", &export.to_string());
    let form =
        json!({ "id": "F", "title": "Survey", "fields": [{ "id": "f1", "title": "A wish?" }] });
    std::fs::write(folder.path().join("form.json"), form.to_string()).unwrap();

    let without = shown(folder.path(), &["typeform", "responses.json"]);
    let with = shown(folder.path(), &["typeform", "responses.json", "--form", "form.json"]);

    assert!(without.contains("wish\n") && without.contains("Example Ltd"), "{without}");
    assert!(with.contains("A wish?\n") && with.contains("Survey"), "{with}");
}

#[test]
fn checkboxes_of_a_question_are_not_repeated() {
    let text = "Submission ID,Respondent ID,Submitted at,Email,Areas,Areas (Search),Areas (Export)\n\
                s1,p1,2026-01-01,dora@example.com,\"Search, Export\",true,true\n";
    let folder = folder("tally.csv", text);

    let shown = shown(folder.path(), &["tally", "tally.csv"]);

    assert!(shown.contains("Search, Export") && shown.contains("dora@example.com"), "{shown}");
    assert!(!shown.contains("Areas (") && !shown.contains("s1"), "{shown}");
}

#[test]
fn webhook_payloads_are_imported_unchanged() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (source, sample) in
        [("typeform", "typeform.form_response"), ("tally", "tally.FORM_RESPONSE")]
    {
        let path = root.join(format!("mappings/samples/{sample}.json"));
        let folder = tempfile::tempdir().unwrap();

        let counted = counts(folder.path(), &[source, path.to_str().unwrap()], 0);

        assert_eq!(counted["events"], 1, "{source}");
        let sent: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(events(folder.path())[0]["payload"], sent);
    }
}

#[test]
fn records_are_read_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let mut import = program(folder.path());
    import.args(["import", "form", "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());

    let mut child = import.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"[{\"message\":\"One\"},\n{\"message\":\"Two\"}]")
        .unwrap();

    let counted: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(counted["events"], 2);
}

#[test]
fn failed_import_says_why_and_sets_the_exit_code() {
    let folder = folder("book.csv", "PK\u{3}\u{4}");
    std::fs::write(folder.path().join("one.csv"), "message\nOne\n").unwrap();
    std::fs::write(
        folder.path().join("endless.csv"),
        format!("message\n\"{}", "x\n".repeat(6_000_000)),
    )
    .unwrap();
    let check = |arguments: &[&str], code, message: &str| {
        let output = run(folder.path(), arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(message), "{errors}");
    };

    check(&["form", "missing.csv"], 1, "missing.csv: No such file");
    check(&["nothing", "one.csv"], 1, "no source `nothing`");
    check(&["form", "book.csv"], 1, "save it as CSV");
    check(&["form", "endless.csv", "--dry-run"], 1, "endless.csv:2: the quotation mark");
    check(&["form", "one.csv", "--form", "one.csv"], 1, "one.csv:1:1: not JSON");
    check(&["form", "one.csv", "--rate", "fast"], 2, "--rate");
    std::fs::write(folder.path().join("relay.db"), "no database".repeat(99)).unwrap();
    check(&["form", "one.csv"], 3, "relay.db");
    check(&["form", "one.csv", "--dry-run"], 3, "relay.db");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imported_events_are_delivered_after_live_ones() {
    let rows: Vec<String> = (0..400).map(|n| format!("Old {n}")).collect();
    let folder = folder("old.csv", &format!("message\n{}\n", rows.join("\n")));
    let savio = MockServer::start().await;
    let answer = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
    Mock::given(method("POST")).respond_with(answer).mount(&savio).await;
    let url = format!("{}/app/api/", savio.uri());
    let variables = [
        ("FORM_SECRET", "secret"),
        ("SAVIO_API_TOKEN", "token"),
        ("ADMIN_TOKEN", "a token of the test"),
        ("SAVIO_RELAY_SAVIO__BASE_URL", url.as_str()),
        ("SAVIO_RELAY_SAVIO__MAX_IN_FLIGHT", "1"),
    ];
    let relay = Relay::start(folder.path(), &variables);
    // All events have the tag of the form. Until Savio has it, they would be sent one by one, in
    // order of receipt.
    post(&relay, "First").await;
    until(|| relay.logged("is delivered") == 1).await;
    order(&relay, "pause").await;

    let counted = counts(folder.path(), &["form", "old.csv"], 0);
    post(&relay, "New").await;
    order(&relay, "resume").await;
    let problems = problems(&savio, 402).await;

    assert_eq!(counted["events"], 400);
    // The live event is claimed first. Others that are claimed with it are mapped on other threads,
    // and may be faster.
    let place = problems[1..].iter().position(|problem| problem == "New").unwrap();
    assert!(place < CLAIMED_TOGETHER, "{place}");
    assert!(relay.stop().success());
}

/// Number of events that are claimed at a time with one slot in flight.
const CLAIMED_TOGETHER: usize = 3;

async fn post(relay: &Relay, message: &str) {
    let sent = http().post(format!("{}/hooks/form?token=secret", relay.url));
    sent.json(&json!({ "message": message })).send().await.unwrap().error_for_status().unwrap();
}

async fn order(relay: &Relay, order: &str) {
    let url = format!("{}/api/v1/destinations/default/{order}", relay.admin_url);
    let call = http().post(url).bearer_auth("a token of the test").json(&json!({}));
    call.send().await.unwrap().error_for_status().unwrap();
}

/// Waits until Savio has this many problems, and returns them.
async fn problems(savio: &MockServer, count: usize) -> Vec<String> {
    let problem = |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap();
        body["problem"].as_str().unwrap().to_owned()
    };
    until_async(async || savio.received_requests().await.unwrap().len() >= count).await;
    let requests = savio.received_requests().await.unwrap();
    requests.iter().map(|request| problem(&request.body)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhook_cannot_claim_to_be_imported() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(folder.path(), &[("FORM_SECRET", "secret")]);

    let sent = http().post(format!("{}/hooks/form?token=secret", relay.url));
    let sent = sent.header("X-Relay-Imported", "2026-01-01").json(&json!({ "message": "New" }));
    sent.send().await.unwrap().error_for_status().unwrap();

    let event = &events(folder.path())[0];
    assert_eq!(
        (&event["imported_at"], &event["headers"]["x-relay-imported"]),
        (&Value::Null, &Value::Null)
    );
}
