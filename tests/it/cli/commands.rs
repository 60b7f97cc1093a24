//! Output and exit codes of the commands.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::relay::{Relay, SECRET, http, program};

const TYPEFORM: &str = r#"{
    "event_id": "e1", "event_type": "form_response",
    "form_response": {"form_id": "f", "answers": [
        {"type": "email", "email": "mia@example.com", "field": {"id": "1", "type": "email"}}
    ], "definition": {"fields": [{"id": "1", "title": "Your address?", "type": "email"}]}}
}"#;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().expect("the program runs")
}

fn folder_with(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    folder
}

#[test]
fn try_prints_the_requests_of_a_payload() {
    let folder = folder_with("payload.json", TYPEFORM);

    let output = run(folder.path(), &["try", "typeform", "payload.json", "--json"]);

    let requests: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(requests[0]["request"], "feedback");
    assert_eq!(requests[0]["body"]["person_email"], "mia@example.com");
}

#[test]
fn email_fields_use_the_charsets_of_the_form() {
    let part = |name: &str, content: &[u8]| {
        let head = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    };
    let charsets = br#"{"from": "iso-8859-1", "subject": "UTF-8", "text": "windows-1252"}"#;
    let body = [
        part("headers", b"Message-ID: <1@mail.example.com>"),
        part("from", b"J\xfcrgen <juergen@example.com>"),
        part("subject", "Größe".as_bytes()),
        part("text", b"Gr\xf6\xdfe: 5 \x80"),
        part("charsets", charsets),
        b"--b--".to_vec(),
    ];
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mail"), body.concat()).unwrap();
    let content_type = "content-type:multipart/form-data; boundary=b";

    let arguments = ["try", "sendgrid-inbound", "mail", "--json", "--header", content_type];
    let output = run(folder.path(), &arguments);

    let requests: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(requests[0]["body"]["problem"], "Größe\n\nGröße: 5 €");
    assert_eq!(requests[0]["body"]["person_name"], "Jürgen");
}

#[test]
fn try_explains_which_query_gave_a_value() {
    let folder = folder_with("payload.json", TYPEFORM);

    let output = run(folder.path(), &["try", "typeform", "payload.json", "--explain"]);

    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("$.form_response.answers[?@.type == 'email'].email"), "{shown}");
}

#[test]
fn try_of_an_ignored_event_prints_no_request() {
    let folder = folder_with("payload.json", r#"{"event_type": "other"}"#);

    let output = run(folder.path(), &["try", "typeform", "payload.json", "--json"]);

    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!([]));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn try_without_a_problem_names_the_empty_field() {
    let mapping =
        "provider = \"form\"\nsecrets = [\"env:X\"]\n[[feedback]]\nproblem = \"$.text\"\n";
    let folder = folder_with("one.toml", mapping);
    std::fs::write(folder.path().join("payload.json"), "{}").unwrap();

    let output = run(folder.path(), &["try", "one.toml", "payload.json"]);

    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(errors.contains("feedback[0].problem"), "{errors}");
}

#[test]
fn try_explains_the_queries_of_an_empty_problem() {
    let folder = folder_with("payload.json", "{}");

    let output = run(folder.path(), &["try", "zapier", "payload.json", "--explain"]);

    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(errors.contains("feedback[0].problem: empty: tried $."), "{errors}");
}

#[test]
fn try_says_that_a_header_may_be_missing() {
    let folder = folder_with("payload.json", r#"{"action": "opened"}"#);

    let output = run(folder.path(), &["try", "github", "payload.json"]);

    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("--header x-github-event:issues"), "{shown}");
}

#[test]
fn payload_cannot_control_the_terminal() {
    let folder = folder_with("payload.json", r#"{"event_type": "\u001b]0;\u0007", "a": 1}"#);

    let output = run(folder.path(), &["try", "typeform", "payload.json"]);

    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("]0;") && !shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
}

#[test]
fn closed_standard_output_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["demo", "--once"][..], &["schema"], &["check"], &["try", "x", "y"]] {
        let (gone, output) = std::io::pipe().unwrap();
        drop(gone);
        let mut command = program(folder.path());

        let ended = command.args(arguments).stdout(output.try_clone().unwrap()).stderr(output);

        let code = ended.status().unwrap().code();
        assert_eq!(code, Some(i32::from(arguments[0] == "try")), "{arguments:?}");
    }
}

#[tokio::test]
async fn relay_with_a_closed_log_keeps_running() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start_unread(folder.path(), &[("TYPEFORM_SECRET", SECRET)]);
    let url = format!("{}/hooks/typeform", relay.url);

    for _ in 0..3 {
        let answer = http().post(&url).body("{}").send().await.unwrap();
        assert_eq!(answer.status(), 401);
    }
}

#[test]
fn every_line_of_a_json_log_is_json() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/bad.toml"), "provider = \"typefrom\"").unwrap();
    let mut relay = program(folder.path());
    relay.arg("serve").stderr(std::process::Stdio::piped());
    relay.env("SAVIO_RELAY_LOG__FORMAT", "json").env("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0");
    relay.env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0");

    let mut child = relay.spawn().unwrap();

    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let message = |line: &Value| line["message"].as_str().unwrap().to_owned();
    let messages: Vec<String> =
        lines.map(|line| message(&line)).take_while(|it| !it.starts_with("listening on")).collect();
    child.kill().and_then(|()| child.wait()).unwrap();
    assert!(
        messages.iter().any(|line| line.contains("unknown provider `typefrom`")),
        "{messages:?}"
    );
    assert!(messages.iter().any(|line| line.starts_with("bad is off: ")), "{messages:?}");
}

#[test]
fn exit_status_depends_on_the_mistake() {
    let folder = folder_with("relay.toml", "[server]\nlisten = \"nowhere\"\n");

    let check = |arguments: &[&str], expected| {
        let output = run(folder.path(), arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    };

    check(&["serve", "--nonsense"], 2);
    check(&["serve"], 1);
    check(&["check"], 1);
    check(&["serve", "--config", "missing.toml"], 1);
    check(&["--version"], 0);
    check(&["schema"], 0);
    check(&["schema", "relay"], 0);
    check(&["providers"], 0);
    check(&["providers", "github", "--json"], 0);
    check(&["providers", "githib"], 1);
    check(&["completions", "bash"], 0);
}

#[test]
fn version_names_the_build() {
    let folder = tempfile::tempdir().unwrap();
    let shown = |option| String::from_utf8(run(folder.path(), &[option]).stdout).unwrap();
    let number = env!("CARGO_PKG_VERSION");

    assert_eq!(shown("-V"), format!("savio-relay {number}\n"));
    assert_eq!(shown("--version"), format!("savio-relay {}\n", env!("BUILD_VERSION")));
    assert!(shown("--version").starts_with(&format!("savio-relay {number} (")));
}

#[test]
fn impossible_faults_are_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], expected: &str| {
        let output =
            run(folder.path(), &[&["sandbox", "--listen", "127.0.0.1:0"], arguments].concat());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    };

    check(&["--fail", "500"], "a status from 300 to 599 and the share");
    check(&["--fail", "200:0.1"], "a status from 300 to 599 and the share");
    check(&["--fail", "500:2"], "a number from 0 to 1");
    check(&["--hang", "10%"], "a number from 0 to 1");
    check(&["--reset=-1"], "a number from 0 to 1");
    check(&["--latency", "200"], "such as 200ms");
    check(&["--latency", "2h"], "a time up to an hour");
    check(&["--rate-limit", "0/s"], "a rate is a number and a time, such as");
    check(&["--hang", "0.6", "--reset", "0.6"], "more than 1 together");
}

#[test]
fn providers_lists_bundled_sources_with_their_secrets_and_the_other_tools() {
    let folder = tempfile::tempdir().unwrap();

    let shown = String::from_utf8(run(folder.path(), &["providers"]).stdout).unwrap();
    let json = run(folder.path(), &["providers", "--json"]).stdout;

    let (bundled, others) = shown.split_once("Other tools").unwrap();
    let has = |text: &str, first: &str, second: &str| {
        text.lines().any(|line| line.split_whitespace().take(2).eq([first, second]))
    };
    assert!(has(bundled, "typeform", "TYPEFORM_SECRET"), "{shown}");
    assert!(has(bundled, "sendgrid-inbound", "SENDGRID_INBOUND_SECRET"), "{shown}");
    assert!(has(others, "notion", "Notion") && !others.contains("typeform"), "{shown}");
    assert!(bundled.contains("`savio-relay init SOURCE`"), "{shown}");
    let json: Value = serde_json::from_slice(&json).unwrap();
    let form = json.as_array().unwrap().iter().find(|it| it["name"] == "form").unwrap();
    let customers = json!({ "name": "customers", "secrets": ["env:CUSTOMERS_SECRET"] });
    assert_eq!((&form["sources"][0], &form["mapping"]), (&customers, &json!(true)));
}

#[test]
fn url_of_a_source_is_shown_without_its_secret() {
    let folder = tempfile::tempdir().unwrap();

    let relay = Relay::start(folder.path(), &[("TYPEFORM_SECRET", SECRET)]);

    let shown = |row: &str| relay.startup_output.contains(row);
    assert!(shown("/hooks/typeform\n"), "{}", relay.startup_output);
    assert!(shown("\n  34 more are ready: `savio-relay providers`\n"));
    assert!(!shown("zapier"), "{}", relay.startup_output);
}

#[tokio::test]
async fn send_signs_a_payload_like_its_provider() {
    let folder = folder_with("payload.json", TYPEFORM);
    let relay = Relay::start(folder.path(), &[("TYPEFORM_SECRET", SECRET)]);
    let to = format!("{}/hooks/typeform", relay.url);

    let send = |secret| {
        let mut command = program(folder.path());
        command.args(["send", "typeform", "payload.json", "--to", &to]);
        command.env("TYPEFORM_SECRET", secret).output().unwrap()
    };
    let right = send(SECRET);
    let wrong = send("another");

    assert_eq!(right.status.code(), Some(0));
    assert!(String::from_utf8(right.stdout).unwrap().starts_with("202 "));
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn send_distinguishes_invalid_input_from_failures() {
    let folder = folder_with("payload.json", TYPEFORM);
    let send = |arguments: &[&str]| {
        let mut command = program(folder.path());
        command.args(["send", "typeform", "payload.json"]).args(arguments);
        command.env("TYPEFORM_SECRET", SECRET).output().unwrap().status.code()
    };
    assert_eq!(send(&["--to", "relay.example.com"]), Some(1));
    assert_eq!(send(&["--to", "ftp://relay.example.com"]), Some(1));
    assert_eq!(send(&["--to", "http://127.0.0.1:1", "--header", "a b: c"]), Some(1));
    assert_eq!(send(&["--to", "http://127.0.0.1:1"]), Some(3));
}
