//! Texts of strangers on a terminal: no control or bidi character is printed, and no text makes a
//! line of its own.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, program};

/// Terminal control characters: C0 except line ends and tabs, DEL, C1, and those that change the
/// direction of text.
fn control_characters() -> String {
    let c0 = (0..0x20_u32).filter(|code| ![0x0a, 0x09, 0x0d].contains(code));
    let c1 = 0x7f..0xa0_u32;
    let marks = [0x061c, 0x200e, 0x200f];
    let bidi = (0x202a..=0x202e).chain(0x2066..=0x2069);
    let separators = [0x2028, 0x2029];
    let all = c0.chain(c1).chain(marks).chain(bidi).chain(separators);
    all.map(|code| char::from_u32(code).unwrap()).collect()
}

/// The same characters as escapes in TOML.
fn escaped_control_characters() -> String {
    let escaped = |c: char| format!("\\u{:04X}", u32::from(c));
    control_characters().chars().map(escaped).collect::<Vec<_>>().concat()
}

/// Neighbouring characters, which are printed unchanged.
const HARMLESS: &str = "\u{a0}\u{e9}\u{200c}\u{200d}\u{2010}\u{202f}\u{2065}\u{206a}\u{1f600}";

#[track_caller]
fn check_harmless(shown: &str) {
    let controls = control_characters();
    let found: Vec<char> = shown.chars().filter(|c| controls.contains(*c)).collect();
    assert!(found.is_empty(), "{found:?} in {shown:?}");
    assert!(!shown.contains('\r'), "{shown:?}");
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

const MAPPING: &str = r#"
secrets = ["env:SECRET"]
events  = ["wanted"]
[signature]
scheme = "token"
query  = "token"
[event]
type = "$.type"
[[feedback]]
problem      = "$.text"
tags         = "$.tags"
"#;

fn folder(payload: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("form.toml"), MAPPING).unwrap();
    std::fs::write(folder.path().join("payload.json"), payload.to_string()).unwrap();
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).env("SECRET", "a secret").output().unwrap()
}

fn try_of(payload: &Value, more: &[&str]) -> (String, String) {
    let folder = folder(payload);
    let output = run(folder.path(), &[&["try", "form.toml", "payload.json"], more].concat());
    (text(output.stdout), text(output.stderr))
}

#[test]
fn try_keeps_foreign_text_on_its_own_line() {
    let forged = format!("x\nfeedback\n  problem  forged{}", control_characters());
    for more in [&[][..], &["--explain"]] {
        let noted =
            json!({ "type": "wanted", "text": "It is slow", "tags": { forged.as_str(): 1 } });
        let (shown, _) = try_of(&noted, more);
        check_harmless(&shown);
        assert_eq!(shown.matches("\n  problem  ").count(), 1, "{shown}");
        assert_eq!(shown.lines().filter(|line| *line == "feedback").count(), 1, "{shown}");
        assert!(shown.contains("note: "), "{shown}");

        let ignored = json!({ "type": forged, "text": "It is slow" });
        let (shown, _) = try_of(&ignored, more);
        check_harmless(&shown);
        assert!(!shown.contains("\nfeedback"), "{shown}");

        let failed = json!({ "type": "wanted", "text": { forged.as_str(): 1 } });
        let (_, errors) = try_of(&failed, more);
        check_harmless(&errors);
        assert!(!errors.contains("\nfeedback"), "{errors}");
        assert_eq!(errors.lines().last().map(|line| line.starts_with("savio-relay: ")), Some(true));
    }
}

#[test]
fn try_keeps_line_ends_and_harmless_characters() {
    let payload = json!({ "type": "wanted", "text": format!("one\ntwo {HARMLESS}") });
    let (shown, _) = try_of(&payload, &[]);
    assert!(shown.contains(&format!("  problem  one\n           two {HARMLESS}\n")), "{shown:?}");
}

#[test]
fn try_shows_queries_and_warnings_without_control_characters() {
    let escaped = escaped_control_characters();
    let payload = json!({ "type": "wanted", "text": "It is slow" });
    let folder = folder(&payload);
    let mapping =
        MAPPING.replace("\"$.tags\"", "QUERY").replace("\"$.text\"", "[QUERY, \"$.text\"]");
    let query = format!("\"{{{{ payload['{escaped}'] }}}}\"");
    let mapping = mapping.replace("QUERY", &query);
    let mapping =
        mapping.replace("[signature]", &format!("[signature]\nweak = \"it is {escaped}\""));
    std::fs::write(folder.path().join("form.toml"), mapping).unwrap();
    for arguments in
        [&["try", "form.toml", "payload.json", "--explain"][..], &["check", "form.toml"]]
    {
        let output = run(folder.path(), arguments);
        let (shown, errors) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{shown}{errors}");
        check_harmless(&shown);
        check_harmless(&errors);
    }
}

#[test]
fn log_of_serve_has_no_control_characters_of_a_mapping_file() {
    let escaped = escaped_control_characters();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    let mapping =
        MAPPING.replace("[signature]", &format!("[signature]\nweak = \"it is {escaped}\""));
    std::fs::write(folder.path().join("mappings/form.toml"), mapping).unwrap();
    let relay = Relay::start(folder.path(), &[("SECRET", "a secret")]);
    let introduction = relay.startup_output.clone();
    let log = introduction + &relay.log_at_stop();
    assert!(log.contains("its proof is weak: it is "), "{log}");
    check_harmless(&log);
}

#[test]
fn draft_works_on_keys_with_replacement_characters() {
    let folder = folder(&Value::Null);
    for key in ["k\\ud83d", "k\\ufffd", "k\u{fffd}"] {
        let payload =
            format!("{{\"{key} feedback\": \"{WORDS}\", \"email\": \"ada@example.com\"}}");
        std::fs::write(folder.path().join("payload.json"), payload).unwrap();
        check_draft_in(folder.path());
    }
}

#[test]
fn json_escapes_terminal_control_characters() {
    let foreign = format!("a{}b{HARMLESS}", control_characters());
    let payload = json!({ "type": "wanted", "text": foreign, "tags": [foreign] });
    for more in [&["--json"][..], &["--json", "--explain"]] {
        let (shown, _) = try_of(&payload, more);
        check_harmless(&shown);
        let parsed: Value = serde_json::from_str(&shown).unwrap();
        let request = if more.len() == 1 { &parsed[0] } else { &parsed["requests"][0] };
        // Savio's database cannot store NUL, so none is sent.
        assert_eq!(request["body"]["tags"][0], foreign.replace('\0', ""));
        assert!(shown.contains(HARMLESS), "{shown}");
    }
}

/// Checks that a draft has no control characters, and finds the text of its payload.
#[track_caller]
fn check_draft(payload: &Value) {
    check_draft_in(folder(payload).path());
}

#[track_caller]
fn check_draft_in(folder: &Path) {
    let output = run(folder, &["draft", "payload.json"]);
    let (draft, errors) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{errors}");
    check_harmless(&draft);
    check_harmless(&errors);
    std::fs::write(folder.join("drafted.toml"), draft).unwrap();
    let output = run(folder, &["try", "drafted.toml", "payload.json", "--json"]);
    let requests: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(requests[0]["body"]["problem"], WORDS, "{}", text(output.stderr));
    assert_eq!(requests[0]["body"]["person_email"], "ada@example.com");
}

const WORDS: &str = "The export is slow, and I would like it to be quicker.";

#[test]
fn draft_escapes_terminal_control_characters_of_keys() {
    let all = control_characters() + "\r\n\t'\"\\" + HARMLESS;
    let (words, email) = (format!("feedback {all} text"), format!("email {all}"));
    check_draft(&json!({ words.as_str(): WORDS, email.as_str(): "ada@example.com" }));
}

#[test]
fn draft_escapes_terminal_control_characters_of_keys_in_lists() {
    for c in ["\u{1b}", "\u{9b}", "\u{202e}", "'", "\"", "\\"] {
        let (kind, words) = (format!("text {c}"), format!("feedback {c}"));
        let items =
            json!([{ "type": "id", "value": "7" }, { "type": kind, words.as_str(): WORDS }]);
        check_draft(&json!({ "items": items, "email": "ada@example.com" }));
    }
}

#[test]
fn check_shows_a_mapping_file_without_control_characters() {
    let folder = tempfile::tempdir().unwrap();
    for foreign in control_characters().chars() {
        for mapping in [
            format!("[[feedback]]\nbad{foreign} = 1\n"),
            format!("[[feedback]]\n\"bad{foreign}\" = 1 # {foreign}é\n"),
            format!("provider = 'typefrom{foreign}'\n[[feedback]]\nproblem = '$.a{foreign}['\n"),
        ] {
            std::fs::write(folder.path().join("form.toml"), &mapping).unwrap();
            let output = run(folder.path(), &["check", "form.toml"]);
            assert_eq!(output.status.code(), Some(1), "{mapping:?}");
            for shown in [output.stdout, output.stderr].map(text) {
                check_harmless(&shown);
            }
        }
    }
}

#[test]
fn check_underlines_the_mistake_behind_a_control_character() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = "[[feedback]]\n\"a\u{9b}\u{9b}\u{9b}\" = 1\n";
    std::fs::write(folder.path().join("form.toml"), mapping).unwrap();

    let shown = text(run(folder.path(), &["check", "form.toml"]).stdout);

    assert!(shown.contains("\"a\u{fffd}\u{fffd}\u{fffd}\" = 1\n"), "{shown}");
    assert!(shown.contains(" | ^^^^^^\n") || shown.contains(" | ^^^^^^ "), "{shown}");
}

async fn savio(status: u16, body: &Value) -> MockServer {
    let savio = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(any()).respond_with(answer).mount(&savio).await;
    savio
}

fn ask(savio: &MockServer, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path());
    command.arg("savio").args(arguments).env("SAVIO_API_TOKEN", "token");
    command.env("SAVIO_RELAY_SAVIO__BASE_URL", format!("{}/app/api/", savio.uri()));
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_of_savio_is_one_line_without_control_characters() {
    let forged = format!("no\nsavio-relay: forged\r\n{}{HARMLESS}", control_characters());
    let create = ["feedback", "create", "--problem", "It is slow"];
    for (status, body) in [
        (400, json!({ "detail": forged })),
        (400, json!({ "problem": [forged, forged] })),
        (400, json!({ forged.as_str(): ["no"] })),
        (401, json!({ "detail": forged })),
        (404, json!(forged)),
    ] {
        let output = ask(&savio(status, &body).await, &create);
        let errors = text(output.stderr);
        check_harmless(&errors);
        assert_eq!(errors.lines().count(), 1, "{status} {body}: {errors}");
        assert!(errors.starts_with("savio-relay: "), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_of_savio_escape_terminal_control_characters() {
    let foreign = format!("a\nb{}{HARMLESS}", control_characters());
    let contact =
        json!({ "id": 7, "name": foreign, "filterable_attributes": { foreign.as_str(): foreign } });
    let list = json!({ "count": 1, "next": null, "previous": null, "results": [contact] });
    let savio = savio(200, &list).await;

    let shown = text(ask(&savio, &["contacts", "list", "--json"]).stdout);
    check_harmless(&shown);
    let parsed: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(parsed["results"][0]["name"], foreign.as_str());

    let shown = text(ask(&savio, &["contacts", "list"]).stdout);
    check_harmless(&shown);
    assert_eq!(shown.lines().count(), 2, "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn field_names_of_savio_are_escaped() {
    let foreign = format!("a\nb{}", control_characters());
    let one = json!({ "id": 7, "title": foreign, foreign.as_str(): "x" });
    let savio = savio(200, &one).await;

    for more in [&[][..], &["--json"]] {
        let shown = text(ask(&savio, &[&["feature-requests", "get", "7"], more].concat()).stdout);
        check_harmless(&shown);
        assert!(!shown.contains("\nb"), "{shown}");
    }
}
