//! Texts of mapping files that look like paths into the payload.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::relay::program;

const PAYLOAD: &str = r#"{
  "event": "form_response",
  "message": "Slow",
  "company": "Example Bakeries",
  "form_response": {
    "hidden": { "account_id": "acc-1", "name": "Ada" },
    "answers": [{ "text": "A weekly export." }]
  },
  "items": [{ "user": { "name": "Ada" } }]
}"#;

/// Makes a folder with a mapping file whose block has these lines.
fn folder(lines: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = format!(
        "provider = \"form\"\nsecrets = [\"env:S\"]\n\n{lines}\n\
         [[test]]\npayload = \"own.json\"\nexpect = \"own.expected.json\"\n"
    );
    fs::write(folder.path().join("own.toml"), file).unwrap();
    fs::write(folder.path().join("own.json"), PAYLOAD).unwrap();
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = program(folder).args(arguments).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn company(id: &str) -> String {
    format!("[[company]]\ninternal_id = {id}\nname = \"$.company\"\n")
}

fn items(name: &str) -> String {
    format!("[[feedback]]\nfor_each = \"$.items[*]\"\nproblem = \"x\"\nperson_name = {name}\n")
}

/// Returns blocks with a text that is meant as a path, the text, and the query to write instead.
fn meant_as_paths() -> Vec<(String, &'static str, &'static str)> {
    vec![
        (
            company("\"form_response.hidden.account_id\""),
            "form_response.hidden.account_id",
            "$.form_response.hidden.account_id",
        ),
        (
            company("\"form_response.hidden.accountid\""),
            "form_response.hidden.accountid",
            "$.form_response.hidden.accountid",
        ),
        (
            company("\".form_response.hidden.account_id\""),
            ".form_response.hidden.account_id",
            "$.form_response.hidden.account_id",
        ),
        (
            company("\"/form_response/hidden/account_id\""),
            "/form_response/hidden/account_id",
            "$.form_response.hidden.account_id",
        ),
        (
            company("[\"$.x\", \"form_response.hidden.name\"]"),
            "form_response.hidden.name",
            "$.form_response.hidden.name",
        ),
        (
            company("{ from = \"form_response.answers[0].text\", max = 9 }"),
            "form_response.answers[0].text",
            "$.form_response.answers[0].text",
        ),
        (company("\"company\""), "company", "$.company"),
        (items("\"user.name\""), "user.name", "@.user.name"),
        (
            items("\"form_response.hidden.name\""),
            "form_response.hidden.name",
            "$.form_response.hidden.name",
        ),
        (
            "[[feedback]]\nproblem = \"x\"\ntags = [\"form_response.hidden.name\"]\n".to_owned(),
            "form_response.hidden.name",
            "$.form_response.hidden.name",
        ),
    ]
}

#[test]
fn text_that_is_a_path_into_the_payload_is_warned_about() {
    for (lines, text, query) in meant_as_paths() {
        let folder = folder(&lines);
        run(folder.path(), &["check", "--update", "own.toml"]);

        for shown in [
            run(folder.path(), &["check", "own.toml"]),
            run(folder.path(), &["try", "own.toml", "own.json"]),
        ] {
            let warning = format!("warning: `{text}` is sent as this text\n");
            assert_eq!(shown.matches("warning: ").count(), 1, "{lines}{shown}");
            assert!(shown.contains(&warning), "{lines}{shown}");
            assert!(shown.contains(&format!("help: write \"{query}\" ")), "{lines}{shown}");
        }
        assert!(run(folder.path(), &["check", "own.toml"]).contains("own.toml: ok, 1 test"));
    }
}

#[test]
fn text_that_is_no_path_into_the_payload_is_not_warned_about() {
    for text in [
        "Unknown",
        "example.com",
        "form",
        "v1.2",
        "company.com",
        "message.",
        "A weekly export.",
        "hidden.name",
        "1.2",
        "form_response is here",
        "other_key.name",
        "message.text",
    ] {
        let lines = format!(
            "[[feedback]]\nproblem = \"$.message\"\nperson_name = \"{text}\"\ntags = [\"{text}\", \"company\", \"event\"]\nstate = \"event\"\n"
        );
        let folder = folder(&lines);
        run(folder.path(), &["check", "--update", "own.toml"]);

        let shown = run(folder.path(), &["check", "own.toml"]);

        assert!(!shown.contains("warning"), "{text}: {shown}");
    }
}

#[test]
fn text_in_place_of_a_query_is_a_mistake_where_no_text_makes_sense() {
    for (keys, message, help) in [
        (
            "[event]\nid = \"event_id\"\n",
            "every event would have the text `event_id`",
            "write \"$.event_id\"",
        ),
        (
            "[event]\ntype = \"event\"\n",
            "every event would have the text `event`",
            "write \"$.event\"",
        ),
        (
            "[answers]\neach = \"$.items[*]\"\nquestion = \"title\"\nanswer = \"@.a\"\n",
            "every question would have the text `title`",
            "write \"@.title\"",
        ),
    ] {
        let folder = folder(&format!("{keys}[[feedback]]\nproblem = \"$.message\"\n"));

        let shown = run(folder.path(), &["check", "own.toml"]);

        assert_eq!(shown.matches("error: ").count(), 1, "{shown}");
        assert!(shown.contains(message) && shown.contains(help), "{shown}");
    }
}

#[test]
fn warnings_of_several_tests_are_shown_once() {
    let folder = folder(&company("\"form_response.hidden.account_id\""));
    let path = folder.path().join("own.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (_, first) = text.split_once("[[test]]").unwrap();
    fs::write(&path, format!("{text}[[test]]{first}")).unwrap();
    let body =
        json!({ "internal_id": "form_response.hidden.account_id", "name": "Example Bakeries" });
    let expected = json!([{ "request": "company", "body": body }]);
    fs::write(folder.path().join("own.expected.json"), expected.to_string()).unwrap();

    let shown = run(folder.path(), &["check", "own.toml"]);

    assert_eq!(shown.matches("warning: ").count(), 1, "{shown}");
}
