//! Files as programs write them: line ends, separators, byte order marks, halves of characters; and
//! broken ones, whose mistakes are shown in place.

use std::path::Path;
use std::process::Output;

use serde_json::json;

use super::{counts, events, folder, run};
use crate::support::relay::{Relay, http, program};

fn errors(output: Output, code: i32) -> String {
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    errors
}

#[test]
fn line_of_a_row_is_right_for_every_line_end() {
    let text =
        "message;email\n\"One\nline\";a@example.com\n\nTwo\n\"Three\n\n\";nobody\nFour;x;y\n";
    for (name, end) in [("LF", "\n"), ("CRLF", "\r\n"), ("CR", "\r")] {
        let folder = folder("old.csv", &text.replace('\n', end));

        let output = run(folder.path(), &["form", "old.csv"]);

        let shown = String::from_utf8(output.stdout.clone()).unwrap();
        let errors = errors(output, 1);
        for place in ["old.csv:5: it has 1 cells", "old.csv:9: it has 3 cells"] {
            assert!(errors.contains(place), "{name}: {place} in {errors}");
        }
        assert!(shown.contains("person_email") && shown.contains("(line 6)"), "{name}: {shown}");
    }
}

#[test]
fn lines_of_dropped_values_are_listed() {
    let rows: Vec<String> = (0..8).map(|row| format!("Idea {row},nobody")).collect();
    let folder = folder("old.csv", &format!("message,email\n{}\n", rows.join("\n")));

    let output = run(folder.path(), &["form", "old.csv", "--dry-run"]);

    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("noted 8: ") && shown.contains("(lines 2, 3, 4, 5, 6 and 3 more)"),
        "{shown}"
    );
}

#[test]
fn line_of_excel_with_the_separator_is_no_row() {
    for text in [
        "sep=;\r\nmessage;email\r\nOne, two;a@example.com\r\n",
        "\"sep=|\"\nmessage|email\nOne, two|a@example.com\n",
    ] {
        let folder = folder("old.csv", &format!("\u{feff}{text}"));

        counts(folder.path(), &["form", "old.csv"], 0);

        let payload = json!({ "message": "One, two", "email": "a@example.com" });
        assert_eq!(events(folder.path())[0]["payload"], payload);
    }
}

#[test]
fn line_numbers_count_the_line_of_excel() {
    let folder = folder("old.csv", "sep=;\nmessage;email\nOne;\nTwo\n");

    let errors = errors(run(folder.path(), &["form", "old.csv"]), 1);

    assert!(errors.contains("old.csv:4: it has 1 cells"), "{errors}");
}

#[test]
fn csv_that_ends_in_quotes_is_an_error_at_the_quote() {
    let rows =
        "message,email\nOne,a@example.com\nTwo,\"b@example.com\nThree,c@example.com\nFour,\n";
    for end in ["\n", "\r\n", "\r"] {
        let folder = folder("old.csv", &rows.replace('\n', end));

        let errors = errors(run(folder.path(), &["form", "old.csv"]), 1);

        let expected = "old.csv:3: the quotation mark that opens a cell here is not closed";
        assert!(errors.contains(expected), "{errors}");
        assert_eq!(events(folder.path()).len(), 1);
    }
    let folder = folder("old.csv", "message,\"email\nOne,a@example.com\n");
    let errors = errors(run(folder.path(), &["form", "old.csv", "--dry-run"]), 1);
    assert!(errors.contains("old.csv:1: the quotation mark"), "{errors}");
}

#[test]
fn half_of_an_emoji_does_not_cost_the_record() {
    for (name, text) in [
        ("old.ndjson", "{\"message\":\"cut \\ud83d\"}\n{\"message\":\"\\ud83d\\ude00\"}\n"),
        ("old.json", "[{\"message\":\"cut \\ud83d\"},\n{\"message\":\"\\ud83d\\ude00\"}]"),
    ] {
        let folder = folder(name, text);

        assert_eq!(counts(folder.path(), &["form", name], 0)["events"], 2, "{name}");

        let mut messages: Vec<_> =
            events(folder.path()).iter().map(|it| it["payload"]["message"].to_string()).collect();
        messages.sort();
        assert_eq!(messages, ["\"cut \u{fffd}\"", "\"\u{1f600}\""], "{name}");
    }
}

const MARK: &str = "\u{feff}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn byte_order_mark_is_accepted_wherever_json_is() {
    let folder = folder("one.json", &format!("{MARK}{{\"message\":\"One\"}}\n"));
    std::fs::write(folder.path().join("one.csv"), format!("{MARK}message\nTwo\n")).unwrap();
    std::fs::write(folder.path().join("list.json"), format!("{MARK}[{{\"message\":\"Three\"}}]"))
        .unwrap();
    let relay = Relay::start(folder.path(), &[("FORM_SECRET", "secret")]);
    let run = |arguments: &[&str]| {
        let output = program(folder.path()).args(arguments).env("FORM_SECRET", "secret").output();
        let output = output.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    };

    assert!(run(&["try", "form", "one.json"]).contains("One"));
    assert!(run(&["draft", "one.json"]).contains("$.message"));
    for file in ["one.json", "one.csv", "list.json"] {
        assert!(run(&["import", "form", file, "--dry-run"]).contains("1 event would"), "{file}");
    }
    let to = format!("{}/hooks/form", relay.url);
    assert!(run(&["send", "form", "one.json", "--to", &to]).starts_with("202 "));
    let body = format!("{MARK}{{\"message\":\"Four\"}}");
    let sent = http().post(format!("{to}?token=secret")).header("content-type", "application/json");
    sent.body(body).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(events(folder.path()).len(), 2);
}

#[test]
fn utf16_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };
    for mark in ["", MARK] {
        write("one.json", &format!("{mark}{{\"message\":\"One\"}}"));
        write("one.csv", &format!("{mark}message\nOne\n"));
        for arguments in [
            &["try", "form", "one.json"][..],
            &["draft", "one.json"],
            &["import", "form", "one.json"],
            &["import", "form", "one.csv"],
            &["savio", "contacts", "upsert", "one.json", "--base-url", "http://127.0.0.1:1/"],
        ] {
            let mut command = program(folder.path());
            command.args(arguments).env("SAVIO_API_TOKEN", "token");
            let errors = errors(command.output().unwrap(), 1);
            assert!(
                errors.contains("UTF-16") && errors.contains("UTF-8"),
                "{arguments:?}: {errors}"
            );
        }
    }
}

#[test]
fn ndjson_is_read_line_by_line_although_its_first_line_is_broken() {
    for broken in ["{\"message\":\"One\"", "{\"message\":", "\"message\":\"One\"}"] {
        let text = format!("{broken}\n{{\"message\":\"Two\"}}\n{{\"message\":\"Three\"}}\n");
        let folder = folder("old.json", &text);

        let errors = errors(run(folder.path(), &["form", "old.json"]), 1);

        assert!(errors.contains("old.json:1: not JSON: "), "{broken}: {errors}");
        assert_eq!(events(folder.path()).len(), 2, "{broken}");
    }
}

#[test]
fn file_that_is_not_json_is_named_with_line_and_column() {
    let folder = folder("payload.json", "{\n  \"message\": One\n}\n");
    std::fs::write(folder.path().join("cut.json"), "{\"message\":").unwrap();
    std::fs::write(folder.path().join("empty.json"), "").unwrap();
    let check = |arguments: &[&str], message: &str| {
        let output = program(folder.path()).args(arguments).output().unwrap();
        let errors = errors(output, 1);
        assert!(errors.contains(message), "{arguments:?}: {errors}");
    };

    let cut = "cut.json:1:11: not JSON: it ends in the middle of a value";
    check(&["try", "form", "payload.json"], "payload.json:2:14: not JSON: ");
    check(&["try", "form", "cut.json"], cut);
    check(&["try", "form", "empty.json"], "empty.json: the body is empty");
    check(&["draft", "payload.json"], "payload.json:2:14: not JSON: ");
    check(&["draft", "cut.json"], cut);
    check(&["import", "typeform", "payload.json", "--form", "cut.json"], cut);
    check(&["import", "form", "."], ".: it is a folder");
    assert!(!Path::new("relay.db").exists());
}
