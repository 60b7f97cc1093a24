//! `draft`: generates a first mapping file from a payload, which works unchanged.

mod unknown_tools;

use std::path::Path;
use std::process::Output;

use crate::support::relay::program;

fn samples() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/mappings"))
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().expect("the program runs")
}

fn draft(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &[&["draft"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A bundled sample whose provider is not given, and texts that its draft must contain.
#[track_caller]
fn check(sample: &str, headers: &[&str], expected: &[&str]) {
    let path = samples().join("samples").join(sample);
    let headers = headers.iter().flat_map(|header| ["--header", header]);
    let arguments: Vec<&str> = [path.to_str().unwrap()].into_iter().chain(headers).collect();

    let drafted = draft(&arguments);

    for line in expected {
        assert!(drafted.lines().any(|drafted| drafted == *line), "no `{line}` in:\n{drafted}");
    }
}

/// Returns payload, headers and provider of every test of the bundled mapping files.
fn shipped() -> Vec<(String, Vec<String>, String)> {
    let mut found = Vec::new();
    for entry in samples().read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "toml") {
            continue;
        }
        let file: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let provider = file.get("provider").and_then(toml::Value::as_str).unwrap_or_default();
        for test in file["test"].as_array().unwrap() {
            let headers = test.get("headers").and_then(toml::Value::as_table);
            let header = |(name, value): (&String, &toml::Value)| {
                format!("{name}:{}", value.as_str().unwrap())
            };
            let headers = headers.into_iter().flatten().map(header).collect();
            let payload = samples().join(test["payload"].as_str().unwrap());
            found.push((payload.display().to_string(), headers, provider.to_owned()));
        }
    }
    found
}

#[test]
fn draft_of_every_bundled_sample_passes_check() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = vec!["check".to_owned()];
    for (number, (payload, headers, provider)) in shipped().into_iter().enumerate() {
        let name = format!("draft-{number}.toml");
        let mut arguments = vec!["draft", &payload, "--output", &name];
        if !provider.is_empty() {
            arguments.extend(["--provider", &provider]);
        }
        arguments.extend(headers.iter().flat_map(|header| ["--header", header]));
        let output = run(folder.path(), &arguments);
        assert!(output.status.success(), "{payload}: {}", String::from_utf8_lossy(&output.stderr));
        files.push(name);
    }

    let output = run(folder.path(), &files.iter().map(String::as_str).collect::<Vec<_>>());

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(files.len() > 100, "the samples were not found");
}

#[test]
fn draft_of_a_form_uses_its_answers() {
    let problem = "problem = \"{{ answers }}\"";
    check(
        "typeform.form_response.json",
        &[],
        &[
            "provider = \"typeform\"",
            "secrets  = [\"env:TYPEFORM_SECRET\"]",
            "events   = [\"form_response\"]",
            problem,
            "person_email = \"{{ answers['Where can we reach you?'] }}\"",
            "company_name = \"$.form_response.hidden.company\"",
        ],
    );
    check("tally.FORM_RESPONSE.json", &[], &["provider = \"tally\"", problem]);
    check("wufoo.entry.form", &[], &["provider = \"wufoo\"", problem]);
    check("jotform.submission.multipart", &[], &["provider = \"jotform\"", problem]);
}

#[test]
fn heading_precedes_the_text() {
    check(
        "github.issues.opened.json",
        &["X-GitHub-Event:issues"],
        &[
            "provider = \"github\"",
            "events   = [\"issues.opened\"]",
            "problem = \"{{ payload.issue.title }}\\n\\n{{ payload.issue.body }}\"",
            "person_name = \"$.issue.user.login\"",
            "source_url = \"$.issue.html_url\"",
        ],
    );
}

#[test]
fn plain_fields_are_found_by_name() {
    check(
        "zapier.feedback.json",
        &[],
        &[
            "problem = \"$.problem\"",
            "person_email = \"$.person_email\"",
            "person_name = \"$.person_name\"",
            "company_name = \"$.company_name\"",
        ],
    );
}

#[test]
fn header_that_several_providers_read_does_not_tell_the_provider() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.json"), r#"{"opinion": "It froze again today"}"#).unwrap();

    let output = run(folder.path(), &["draft", "p.json", "--header", "X-Relay-Token: t"]);

    let drafted = String::from_utf8(output.stdout).unwrap();
    assert!(drafted.contains("scheme = \"token\"") && !drafted.contains("\nprovider"), "{drafted}");
}

#[test]
fn headers_saved_with_the_payload_tell_the_provider_and_the_type() {
    let folder = tempfile::tempdir().unwrap();
    let headers = "POST /hooks/x HTTP/1.1\r\nHost: relay.example.com\r\nX-GitHub-Event: watch\r\n\
                   X-GitHub-Delivery: 7f0e\r\nX-Hub-Signature-256: sha256=00\r\n\r\n";
    let body = r#"{"action": "started", "message": "Please show the tide on the map"}"#;
    std::fs::write(folder.path().join("saved.txt"), format!("{headers}{body}")).unwrap();

    let output = run(folder.path(), &["draft", "saved.txt", "--output", "gh.toml"]);

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let drafted = std::fs::read_to_string(folder.path().join("gh.toml")).unwrap();
    assert!(drafted.contains("provider = \"github\""), "{drafted}");
    assert!(drafted.contains("events   = [\"watch.started\"]"), "{drafted}");
    // What the mapping does not read may be secret.
    assert!(drafted.contains("x-github-delivery") && !drafted.contains("sha256=00"), "{drafted}");
    assert!(run(folder.path(), &["check", "gh.toml"]).status.success());
}

#[test]
fn header_of_the_type_alone_tells_the_provider() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.json"), r#"{"action": "started"}"#).unwrap();

    let output = run(folder.path(), &["draft", "p.json", "--header", "X-GitHub-Event: watch"]);

    let messages = String::from_utf8(output.stderr).unwrap();
    let drafted = String::from_utf8(output.stdout).unwrap();
    assert!(drafted.contains("provider = \"github\""), "{drafted}");
    assert!(messages.contains("no other tool sends the header x-github-event"), "{messages}");
}

#[test]
fn shipped_mapping_is_named_if_it_fits_better() {
    let folder = tempfile::tempdir().unwrap();
    let sample = samples().join("samples/typeform.form_response.json");

    let output = run(folder.path(), &["draft", sample.to_str().unwrap()]);

    let messages = String::from_utf8(output.stderr).unwrap();
    let drafted = String::from_utf8(output.stdout).unwrap();
    assert!(
        messages.contains("taken for Typeform") && messages.contains("init typeform"),
        "{messages}"
    );
    assert!(drafted.contains("savio-relay init typeform"), "{drafted}");
}

#[test]
fn header_of_the_type_is_asked_for_if_it_was_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let sample = samples().join("samples/github.issues.opened.json");

    let output = run(folder.path(), &["draft", sample.to_str().unwrap()]);

    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(messages.contains("--header 'X-Github-Event: ...'"), "{messages}");
}

#[test]
fn draft_for_an_unknown_tool_requires_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let payload = r#"{"visitor": {"mail": "mia@example.com", "name": "Mia"},
        "wish": "We would like a weekly export"}"#;
    std::fs::write(folder.path().join("payload.json"), payload).unwrap();

    let drafted = run(folder.path(), &["draft", "payload.json", "--output", "acme.toml"]);
    let checked = run(folder.path(), &["check", "acme.toml"]);
    let tried = run(folder.path(), &["try", "acme.toml", "payload.json", "--json"]);

    assert_eq!((drafted.status.code(), checked.status.code()), (Some(0), Some(0)));
    let tried = String::from_utf8(tried.stdout).unwrap();
    assert!(tried.contains("We would like a weekly export") && tried.contains("mia@"), "{tried}");
}

#[test]
fn payload_without_text_gives_a_valid_skeleton() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("payload.json"), r#"{"id": 7, "ok": true}"#).unwrap();

    let drafted = run(folder.path(), &["draft", "payload.json", "--output", "acme.toml"]);
    let checked = run(folder.path(), &["check", "acme.toml"]);

    let messages = String::from_utf8(drafted.stderr).unwrap();
    assert!(messages.contains("nothing in it reads like a person's words"), "{messages}");
    assert_eq!((drafted.status.code(), checked.status.code()), (Some(0), Some(0)));
}

#[test]
fn existing_file_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("payload.json"), r#"{"text": "Too slow"}"#).unwrap();
    std::fs::write(folder.path().join("acme.toml"), "mine").unwrap();

    let output = run(folder.path(), &["draft", "payload.json", "--output", "acme.toml"]);

    let kept = std::fs::read_to_string(folder.path().join("acme.toml")).unwrap();
    assert_eq!((output.status.code(), kept.as_str()), (Some(1), "mine"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("acme.toml is there already"));
}
