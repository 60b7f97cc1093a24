//! `check`: shows all mistakes in one run, each in place and with advice.

use std::path::Path;
use std::process::Output;

use crate::support::relay::program;

/// Mistakes of a mapping file: line, message and advice.
const BAD: &str = r#"provider = "typefrom"
secrets = ["hunter2"]
evnts = ["form_response"]

[[feedback]]
problem = "$.form_response.answers[?@.type = 'text'].text"
person_email = "$.form_response.answers[0.email"
person_name = "{{ $.form_response.name }}"
company_name = "{{ payload.form_response.company | uper }}"
source_url = "{{ payload.form_response.url"
tags = { from = "$.a", mp = { a = "b" } }
when = "@.a.b[*].name == 'x'"

[[feedback]]
persn_email = "$.email"

[[company]]
name = "$.name"
internal_id = "$.id"
filterable_attributes = 7
"#;

const GOOD: &str =
    "provider = \"form\"\nsecrets = [\"env:SECRET\"]\n[[feedback]]\nproblem = \"$.text\"\n";

const PLACES: [(&str, &str); 13] = [
    ("bad.toml:1:12", "did you mean \"typeform\"?"),
    ("bad.toml:2:12", "write \"env:NAME\""),
    ("bad.toml:3:1", "did you mean `events`?"),
    ("bad.toml:6:", "=="),
    ("bad.toml:7:", "]"),
    ("bad.toml:8:", "payload"),
    ("bad.toml:9:", "upper"),
    ("bad.toml:10:", "}}"),
    ("bad.toml:11:", "`map`"),
    ("bad.toml:12:", "[?@.name == 'x']"),
    ("bad.toml:14:", "problem"),
    ("bad.toml:15:1", "`person_email`"),
    ("bad.toml:20:", "filterable_attributes"),
];

#[test]
fn mapping_with_event_id_and_time_passes_its_test() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "own.toml",
        r#"provider = "form"
        secrets = ["env:SECRET"]
        [[feedback]]
        problem = "{{ event.id }} at {{ event.received_at }}"
        [[test]]
        payload = "own.json"
        expect = "own.expect.json"
        "#,
    );
    write("own.json", "{}");
    let problem = "00000000-0000-0000-0000-000000000000 at 1970-01-01T00:00:00Z";
    let expected = serde_json::json!([{ "request": "feedback", "body": { "problem": problem } }]);
    write("own.expect.json", &expected.to_string());

    let output = check(folder.path(), &["own.toml"]);
    let tried = program(folder.path()).args(["try", "own.toml", "own.json", "--json"]).output();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let tried: serde_json::Value = serde_json::from_slice(&tried.unwrap().stdout).unwrap();
    assert_eq!(tried, expected);
}

#[test]
fn file_that_cannot_be_read_is_shown_beside_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let mappings = folder.path().join("mappings");
    std::fs::create_dir(&mappings).unwrap();
    std::fs::write(mappings.join("good.toml"), GOOD).unwrap();
    std::fs::write(mappings.join("bad.toml"), BAD).unwrap();
    std::fs::create_dir(mappings.join("folder.toml")).unwrap();
    std::os::unix::fs::symlink("gone/x.toml", mappings.join("link.toml")).unwrap();

    let output = check(folder.path(), &[]);

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    for expected in [
        "mappings/good.toml: ok",
        "mappings/bad.toml:3:1",
        "mappings/link.toml",
        "No such file or directory",
        "gone/x.toml",
        "mappings/folder.toml",
        "it is a folder, not a file",
    ] {
        assert!(shown.contains(expected), "{expected} in\n{shown}");
    }
    assert_eq!(shown.matches("cannot be read").count(), 2, "{shown}");
}

// The bundled files, or the default settings, would be used instead, without a word.
#[test]
fn link_to_nothing_is_not_replaced_by_defaults() {
    for name in ["mappings", "relay.toml"] {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("gone", folder.path().join(name)).unwrap();

        let output = check(folder.path(), &[]);

        let shown = String::from_utf8(output.stderr).unwrap();
        assert_ne!(output.status.code(), Some(0), "{shown}");
        assert!(shown.contains(&format!("{name}: No such file or directory")), "{shown}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_shown_in_place_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), BAD).unwrap();

    let output = check(folder.path(), &["bad.toml"]);

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    for (place, advice) in PLACES {
        let mistakes: Vec<&str> = shown.split("\n\n").filter(|it| it.contains(place)).collect();
        assert!(mistakes.iter().any(|it| it.contains(advice)), "{place} {advice} in\n{shown}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn unfit_key_of_a_provider_is_shown_at_the_files_own_table() {
    let folder = tempfile::tempdir().unwrap();
    let text = "provider = \"hubspot\"\nsecrets = \"env:S\"\n\n[signature]\nsigned = \"{body}\"\n\n\
                [[feedback]]\nproblem = \"$.x\"\n";
    std::fs::write(folder.path().join("hubspot.toml"), text).unwrap();

    let shown = String::from_utf8(check(folder.path(), &["hubspot.toml"]).stdout).unwrap();

    let message = "`url_decoded` has no effect where {url} is not signed";
    let place = "--> hubspot.toml:4:2";
    assert!(shown.contains(&format!("error: {message}\n {place}\n")), "{shown}");
}

#[test]
fn header_name_that_no_request_can_have_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let signature = |signed: &str| {
        format!(
            "secrets = \"env:S\"\n[signature]\nscheme = \"hmac\"\nheader = \"X\"\nsigned = \"{signed}\"\n"
        )
    };
    let plain = signature("{body}");
    for (text, message) in [
        (signature("{header:X Y}"), "unknown part `{header:X Y}`"),
        (format!("{plain}[event]\nid = \"header:X Y\"\n"), "`X Y` is not the name of a header"),
        (format!("{plain}[event]\ntype = \"header:\"\n"), "`` is not the name of a header"),
        (
            format!("{plain}[[handshake]]\nmethod = \"GET\"\nhas = \"header:X Y\"\n"),
            "`header:X Y` is not a part of a request",
        ),
    ] {
        let text = format!("{text}[[feedback]]\nproblem = \"$.x\"\n");
        std::fs::write(folder.path().join("own.toml"), &text).unwrap();

        let shown = String::from_utf8(check(folder.path(), &["own.toml"]).stdout).unwrap();

        assert!(shown.starts_with(&format!("error: {message}\n")), "{text}{shown}");
    }
}

#[test]
fn bundled_mapping_files_pass_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(root.join("mappings")).unwrap().map(|it| it.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    let mut files: Vec<String> = files.map(|it| it.display().to_string()).collect();
    files.sort();

    let output = check(root, &files.iter().map(String::as_str).collect::<Vec<_>>());

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert_eq!(shown.matches(".toml: ok").count(), files.len(), "{shown}");
    // These tools sign no more than that, and no mapping can change it.
    let warnings: Vec<&str> = shown.lines().filter(|line| line.contains("warning")).collect();
    assert_eq!(warnings, SHIPPED_WARNINGS, "{shown}");
}

const SHIPPED_WARNINGS: [&str; 2] = [
    // canny.toml
    "  warning: its proof is weak: only a random number is signed, not the body: who has seen one request \
     can send any other",
    // segment.toml
    "  warning: its proof is weak: of a batch only the first element is signed",
];

/// Checks the warnings for a source with these keys, beside a secret and a block.
const WEAK: [(&str, &str); 15] = [
    ("[signature]\nscheme = \"none\"", "anybody can send to it"),
    ("[signature]\nscheme = \"jwt\"\nbearer = true", "a token without `exp` never expires"),
    ("[signature]\nscheme = \"jwt\"\nbearer = true", "its token covers no body"),
    ("provider = \"crisp\"", "no window is set for its time"),
    ("provider = \"canny\"", "only a random number is signed"),
    ("provider = \"segment\"", "of a batch only the first element is signed"),
    ("provider = \"github\"\n[signature]\nsigned = \"{method}\"", "its message covers no body"),
    (
        "provider = \"github\"\n[signature]\nsigned = \"{field:$.token}\"",
        "its message covers only some fields of the body",
    ),
    (
        "provider = \"github\"\n[signature]\nsigned = \"{first}\"",
        "of a list only the first element is signed",
    ),
    (
        "provider = \"github\"\n[[handshake]]\nmethod = \"GET\"\nbody = \"{hmac:query:a}\"",
        "an unsigned handshake signs",
    ),
    (
        "provider = \"github\"\n[[handshake]]\nmethod = \"GET\"\nbody = \"{query:a}\"\n\
         content_type = \"text/HTML; charset=utf-8\"",
        "an unsigned handshake repeats what a stranger sends as text/html",
    ),
    (
        "provider = \"github\"\n[[handshake]]\nmethod = \"GET\"\nbody = \"{query:a}\"\n\
         headers = { Content-Type = \"image/svg+xml\" }",
        "as image/svg+xml",
    ),
    (
        "provider = \"github\"\n[[handshake]]\nmethod = \"GET\"\njson = { a = \"b\", c = \"{query:a}\" }\n\
         content_type = \"text/html\"",
        "an unsigned handshake repeats what a stranger sends as text/html",
    ),
    (
        "provider = \"github\"\n[[handshake]]\nmethod = \"GET\"\nbody = \"{query:a}\"\n\
         content_type = \"application/rss+xml\"",
        "as application/rss+xml",
    ),
    (
        "provider = \"github\"\n[[handshake]]\nmethod = \"GET\"\nbody = \"{query:a}\"\n\
         headers = { Content-Type = \"{query:type}\" }",
        "as a content type that the stranger chooses",
    ),
];

#[test]
fn weak_signature_or_handshake_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weak.toml");
    let run = |keys: &str| {
        let file = format!("secrets = [\"env:A\"]\n{keys}\n[[feedback]]\nproblem = \"$.a\"\n");
        std::fs::write(&path, file).unwrap();
        let output = check(folder.path(), &["weak.toml"]);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{shown}");
        shown
    };

    for (keys, warning) in WEAK {
        let shown = run(keys);
        let is_it = |line: &str| line.starts_with("  warning: ") && line.contains(warning);
        assert!(shown.lines().any(is_it), "{keys}: {shown}");
    }
    for strong in ["typeform", "slack", "twilio", "zoom", "standard-webhooks", "form", "discord"] {
        let shown = run(&format!("provider = \"{strong}\""));
        assert!(!shown.contains("warning"), "{strong}: {shown}");
    }
}

#[test]
fn live_sources_come_first_and_the_ready_ones_are_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let mut check = program(folder.path());
        check.arg("check").env("TYPEFORM_SECRET", "a secret of the test");
        String::from_utf8(check.output().unwrap().stdout).unwrap()
    };

    let without_folder = run();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/acme.toml"), GOOD).unwrap();
    let with_folder = run();

    let live = "typeform.toml (bundled): ok, 4 tests\n";
    let ready = "34 more are ready: `savio-relay providers`\n";
    assert_eq!(without_folder, format!("{live}{ready}"));
    let off =
        "mappings/acme.toml: ok, no tests (off: the environment variable SECRET is not set)\n";
    assert_eq!(with_folder, format!("{live}{off}{ready}"));
}

#[test]
fn whole_folder_of_copies_is_summed_up_but_few_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let mappings = folder.path().join("mappings");
    std::fs::create_dir(&mappings).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let copy = |name: &str| std::fs::copy(root.join(name), mappings.join(name)).unwrap();
    copy("typeform.toml");

    let one = String::from_utf8(check(folder.path(), &[]).stdout).unwrap();
    for name in ["asana.toml", "canny.toml", "form.toml"] {
        copy(name);
    }
    let four = String::from_utf8(check(folder.path(), &[]).stdout).unwrap();

    assert!(one.contains("(off: the environment variable TYPEFORM_SECRET is not set)"), "{one}");
    assert!(one.contains("34 more are ready"), "{one}");
    assert_eq!(four, "35 more are ready: `savio-relay providers`\n");
}

#[test]
fn test_file_that_is_not_in_the_folder_is_read_from_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let mappings = folder.path().join("mappings");
    std::fs::create_dir_all(mappings.join("samples")).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    std::fs::copy(root.join("typeform.toml"), mappings.join("typeform.toml")).unwrap();

    let bundled = check(folder.path(), &[]);
    let expect = mappings.join("samples/typeform.form_response.expected.json");
    std::fs::write(expect, "[]").unwrap();
    let own = check(folder.path(), &[]);

    assert_eq!(bundled.status.code(), Some(0));
    assert_eq!(own.status.code(), Some(1));
    let shown = String::from_utf8(own.stdout).unwrap();
    assert!(
        shown.contains("typeform.form_response.json gives other requests than expected"),
        "{shown}"
    );
}

#[test]
fn unchanged_copy_of_an_earlier_bundled_file_is_noted() {
    let folder = tempfile::tempdir().unwrap();
    let mappings = folder.path().join("mappings");
    std::fs::create_dir(&mappings).unwrap();
    let former = include_str!("check/former_canny.toml");
    std::fs::write(mappings.join("canny.toml"), former).unwrap();
    let note = "it is a copy of an earlier bundled file: delete it";

    let unchanged = String::from_utf8(check(folder.path(), &[]).stdout).unwrap();
    let mut doctor = program(folder.path());
    let doctor = String::from_utf8(doctor.arg("doctor").output().unwrap().stdout).unwrap();
    std::fs::write(mappings.join("canny.toml"), former.to_owned() + "# mine\n").unwrap();
    let changed = String::from_utf8(check(folder.path(), &[]).stdout).unwrap();

    assert!(unchanged.contains(&format!("  note: {note}")), "{unchanged}");
    assert!(doctor.contains(&format!("mappings/canny.toml: {note}")), "{doctor}");
    assert!(!changed.contains("copy of an earlier"), "{changed}");
}

#[test]
fn test_with_other_requests_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = r#"
        provider = "form"
        secrets = ["env:FORM_SECRET"]
        [[feedback]]
        problem = "$.message"
        [[test]]
        payload = "one.json"
        expect = "one.expected.json"
    "#;
    let expected = r#"[{"request": "feedback", "body": {"problem": "Slow"}}]"#;
    std::fs::write(folder.path().join("one.toml"), mapping).unwrap();
    std::fs::write(folder.path().join("one.json"), r#"{"message": "Fast"}"#).unwrap();
    std::fs::write(folder.path().join("one.expected.json"), expected).unwrap();

    let output = check(folder.path(), &["one.toml"]);

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    let difference = "  feedback[0]\n    - problem: \"Slow\"\n    + problem: \"Fast\"\n";
    assert!(shown.contains(difference), "{shown}");
    assert!(shown.ends_with("accept it: savio-relay check --update one.toml\n"), "{shown}");
}

#[test]
fn configuration_mistakes_do_not_hide_mapping_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("relay.toml"), "mapings = \"x\"\n").unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/bad.toml"), BAD).unwrap();

    let output = check(folder.path(), &[]);

    let errors = String::from_utf8(output.stderr).unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(errors.contains("did you mean `mappings`?"), "{errors}");
    assert!(shown.contains("did you mean `events`?"), "{shown}");
}

#[test]
fn missing_file_does_not_hide_mistakes_of_others() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bad.toml"), BAD).unwrap();

    let output = check(folder.path(), &["gone.toml", "bad.toml"]);

    let errors = String::from_utf8(output.stderr).unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(errors.contains("gone.toml: No such file"), "{errors}");
    assert!(shown.contains("did you mean `events`?"), "{shown}");
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).arg("check").args(arguments).output().expect("the program runs")
}

#[test]
fn bundled_files_that_wait_to_be_set_up_are_counted_in_json() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mappings")).unwrap();
    std::fs::write(folder.path().join("mappings/form.toml"), GOOD).unwrap();
    let check = |arguments: &[&str]| {
        let mut command = program(folder.path());
        let output = command.args(["check", "--json"]).args(arguments).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };

    let all = check(&[]);

    let names: Vec<&str> =
        all["files"].as_array().unwrap().iter().filter_map(|it| it["source"].as_str()).collect();
    assert_eq!(names, ["form"]);
    assert!(all["ready"].as_u64().unwrap() > 20, "{all}");
    let one = check(&["mappings/form.toml"]);
    assert_eq!((one["files"].as_array().unwrap().len(), &one["ready"]), (1, &0.into()));
}
