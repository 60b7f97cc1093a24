//! What `send` says to its user: which shell lacks a secret, where it posts to, who has the reason.

use std::fs;

use tempfile::TempDir;

use crate::support::relay::{Relay, program};

const SECRET: (&str, &str) = ("FORM_SECRET", "the secret of the form");

/// Runs `send` and returns its exit code and all that it printed.
fn send(folder: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut send = program(folder.path());
    let output = send.arg("send").args(arguments).envs(variables.iter().copied()).output().unwrap();
    let shown = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(shown).unwrap())
}

#[track_caller]
fn check((code, shown): &(Option<i32>, String), expected: i32, parts: &[&str]) {
    assert_eq!(*code, Some(expected), "{shown}");
    for part in parts {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn missing_secret_is_said_to_be_missing_in_this_shell() {
    let folder = tempfile::tempdir().unwrap();

    let sent = send(&folder, &["form"], &[]);

    check(&sent, 1, &["this shell lacks the secret", "FORM_SECRET is not set"]);
    assert!(!sent.1.contains("the source is off"), "{}", sent.1);
}

#[test]
fn source_without_a_payload_sends_a_sample_of_its_mapping() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(folder.path(), &[SECRET]);

    let sent = send(&folder, &["form", "--to", &relay.url], &[SECRET]);
    let posts_to = format!("posts to {}/hooks/form", relay.url);
    check(&sent, 0, &["202 ", "sends the sample form.", "others, by --sample: form.", &posts_to]);

    let unknown = send(&folder, &["form", "--sample", "nothing"], &[SECRET]);
    check(&unknown, 1, &["no sample of form.toml is called nothing; there are: form."]);
}

#[test]
fn address_without_a_path_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens on port 1: the message says where it would have been sent.
    let to = |to: &str| send(&folder, &["form", "--to", to], &[SECRET]);
    for (short, whole) in [
        ("http://127.0.0.1:1", "http://127.0.0.1:1/hooks/form"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/hooks/form"),
        ("http://127.0.0.1:1/base", "http://127.0.0.1:1/base/hooks/form"),
        ("http://127.0.0.1:1/base/hooks/", "http://127.0.0.1:1/base/hooks/form"),
        ("http://127.0.0.1:1?a=b", "http://127.0.0.1:1/hooks/form?a=b"),
    ] {
        check(&to(short), 3, &[&format!("posts to {whole}\n")]);
    }
    let complete = to("http://127.0.0.1:1/hooks/other");
    check(&complete, 3, &["nothing listens at http://127.0.0.1:1: start the relay"]);
    assert!(!complete.1.contains("posts to"), "{}", complete.1);
    for wrong in ["relay.example.com", "localhost:8080", "/hooks/form"] {
        check(&to(wrong), 1, &["is not a URL: write it whole, such as https://"]);
    }
}

#[test]
fn refusal_says_what_the_relay_answered_and_where_the_hint_is() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(folder.path(), &[SECRET]);
    let to = ["--to", &relay.url];

    let wrong = [("FORM_SECRET", "another secret")];
    let refused = send(&folder, &["form", to[0], to[1]], &wrong);
    check(&refused, 1, &["401 {", "answered 401: the signature does not fit", "/api/v1/rejected"]);
    assert!(relay.log().contains("refused a webhook for form"));

    let off = send(&folder, &["jotform", to[0], to[1]], &[("JOTFORM_SECRET", "a secret of it")]);
    check(&off, 3, &["503 {", "jotform is off there"]);

    fs::create_dir(folder.path().join("other")).unwrap();
    let mapping = "provider = \"form\"\nsecrets = [\"env:FORM_SECRET\"]\n[[feedback]]\n\
                   problem = \"$.text\"\n";
    fs::write(folder.path().join("other/own.toml"), mapping).unwrap();
    fs::write(folder.path().join("payload.json"), "{}").unwrap();
    let unknown = send(&folder, &["other/own.toml", "payload.json", to[0], to[1]], &[SECRET]);
    check(&unknown, 1, &["404 {", "it has no source own"]);
    let without = send(&folder, &["other/own.toml"], &[SECRET]);
    check(&without, 1, &["has no [[test]] with a sample: name a file with a payload"]);
}
