//! `check --update`: writes what the tests of mapping files give now as what they expect.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::relay::program;

const MAPPING: &str = r#"provider = "form"
secrets = ["env:FORM_SECRET"]

[[feedback]]
problem = "$.message"
tags = ["form"]

[[test]]
payload = "samples/one.json"
expect = "samples/one.expected.json"

[[test]]
payload = "samples/two.json"
expect = "samples/two.expected.json"
"#;

/// Makes a folder with a mapping file whose second test expects other requests.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("mappings/samples")).unwrap();
    write(&folder, "mappings/own.toml", MAPPING);
    write(&folder, "mappings/samples/one.json", r#"{"message": "Slow"}"#);
    write(&folder, "mappings/samples/two.json", r#"{"message": "Dark mode"}"#);
    write(&folder, "mappings/samples/one.expected.json", &expected("Slow"));
    write(&folder, "mappings/samples/two.expected.json", &expected("Night mode"));
    folder
}

fn write(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).unwrap();
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

fn expected(problem: &str) -> String {
    let body = json!({ "problem": problem, "tags": ["form"] });
    json!([{ "request": "feedback", "body": body }]).to_string()
}

#[track_caller]
fn check(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = program(folder).arg("check").args(arguments).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{shown}{errors}");
    shown
}

#[test]
fn changed_result_is_shown_and_accepted_by_the_command_that_is_named() {
    let folder = folder();
    let two = "mappings/samples/two.expected.json";
    let before = read(&folder, two);

    let shown = check(folder.path(), &[], 1);

    let difference = "  feedback[0]\n    - problem: \"Night mode\"\n    + problem: \"Dark mode\"\n";
    assert!(shown.contains(&format!("{two}: - expected, + given now\n{difference}")), "{shown}");
    let (_, command) = shown.trim_end().rsplit_once("accept it: savio-relay check ").unwrap();
    assert_eq!(command, "--update mappings/own.toml");
    assert_eq!(read(&folder, two), before);

    let shown = check(folder.path(), &command.split(' ').collect::<Vec<_>>(), 0);

    assert!(shown.contains(difference), "{shown}");
    assert!(shown.contains(&format!("wrote {two}\nmappings/own.toml: ok, 2 tests")), "{shown}");
    assert!(!shown.contains("accept it"), "{shown}");
    check(folder.path(), &[], 0);
}

#[test]
fn accepted_result_changes_only_the_lines_that_differ() {
    let folder = folder();
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/mappings");
    for name in ["typeform.toml", "samples/typeform.form_response.json"] {
        fs::copy(Path::new(bundled).join(name), folder.path().join("mappings").join(name)).unwrap();
    }
    let text = read(&folder, "mappings/typeform.toml");
    let (text, _) = text.split_once("# No hidden fields").unwrap();
    write(&folder, "mappings/typeform.toml", text);
    let expect = "samples/typeform.form_response.expected.json";
    let right = fs::read_to_string(Path::new(bundled).join(expect)).unwrap();
    for (from, to) in [
        ("\"plan\": \"pro\"", "\"plan\": \"free\""),
        ("        \"typeform\",\n", ""),
        ("\"problem\": \"What", "\"problem\": \"When"),
    ] {
        let before = right.replace(from, to);
        assert_ne!(before, right, "{from}");
        write(&folder, &format!("mappings/{expect}"), &before);

        check(folder.path(), &["--update", "mappings/typeform.toml"], 0);

        assert_eq!(read(&folder, &format!("mappings/{expect}")), right, "{from}");
    }
}

#[test]
fn accepted_file_keeps_its_mode_and_others_are_not_touched() {
    let folder = folder();
    let path = |name: &str| folder.path().join("mappings/samples").join(name);
    fs::set_permissions(path("two.expected.json"), fs::Permissions::from_mode(0o640)).unwrap();
    let kept = fs::metadata(path("one.expected.json")).unwrap();
    let names = || fs::read_dir(path("")).unwrap().count();
    let files = names();

    check(folder.path(), &["--update"], 0);

    let mode = fs::metadata(path("two.expected.json")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o640);
    let one = fs::metadata(path("one.expected.json")).unwrap();
    assert_eq!((one.ino(), one.mtime_nsec()), (kept.ino(), kept.mtime_nsec()));
    assert_eq!(names(), files);
}

#[test]
fn missing_or_empty_expectation_is_written() {
    let folder = folder();
    fs::remove_file(folder.path().join("mappings/samples/one.expected.json")).unwrap();
    write(&folder, "mappings/samples/two.expected.json", "\n");

    let shown = check(folder.path(), &[], 1);

    assert!(shown.contains("error: samples/one.expected.json is not written yet"), "{shown}");
    assert!(shown.contains("error: samples/two.expected.json is not written yet"), "{shown}");
    assert!(shown.contains("  + feedback[0]\n    + problem: \"Slow\"\n"), "{shown}");

    check(folder.path(), &["--update"], 0);

    let written: Value =
        serde_json::from_str(&read(&folder, "mappings/samples/one.expected.json")).unwrap();
    assert_eq!(written.to_string(), expected("Slow"));
    check(folder.path(), &[], 0);
}

#[test]
fn nothing_is_accepted_for_a_file_with_mistakes() {
    let folder = folder();
    let two = read(&folder, "mappings/samples/two.expected.json");
    for (from, to, mistake) in [
        ("problem =", "problm =", "unknown key `problm`"),
        ("two.json", "gone.json", "the payload cannot be read"),
        ("tags = [\"form\"]", "when = \"@.message == 'x\"", "unclosed string"),
    ] {
        write(&folder, "mappings/own.toml", &MAPPING.replace(from, to));
        // Without the mistake, this test would be accepted.
        write(&folder, "mappings/samples/one.expected.json", "[]");

        let shown = check(folder.path(), &["--update"], 1);

        assert!(shown.contains(mistake), "{shown}");
        assert!(!shown.contains("wrote"), "{shown}");
        assert_eq!(read(&folder, "mappings/samples/one.expected.json"), "[]");
        assert_eq!(read(&folder, "mappings/samples/two.expected.json"), two);
    }
}

#[test]
fn other_files_are_accepted_beside_one_with_mistakes() {
    let folder = folder();
    write(&folder, "mappings/bad.toml", &MAPPING.replace("problem", "problm"));

    let shown = check(folder.path(), &["--update"], 1);

    assert!(shown.contains("wrote mappings/samples/two.expected.json"), "{shown}");
    assert!(shown.contains("mappings/own.toml: ok"), "{shown}");
}

#[test]
fn nothing_is_accepted_while_the_configuration_has_mistakes() {
    let folder = folder();
    write(&folder, "relay.toml", "mapings = \"others\"\n");

    let shown = check(folder.path(), &["--update"], 1);

    assert!(!shown.contains("wrote"), "{shown}");
}

#[test]
fn only_expected_requests_are_overwritten() {
    let folder = folder();
    let payload = read(&folder, "mappings/samples/two.json");
    let as_payload = MAPPING.replace("two.expected.json", "two.json");
    write(&folder, "mappings/own.toml", &as_payload);

    let shown = check(folder.path(), &["--update"], 1);

    assert!(shown.contains("samples/two.json is no list of requests"), "{shown}");
    assert_eq!(read(&folder, "mappings/samples/two.json"), payload);

    // A payload that reads as requests.
    let own = "samples/own.json";
    write(&folder, &format!("mappings/{own}"), "[]");
    let text = MAPPING.replace("samples/two.expected.json", own).replace("samples/two.json", own);
    write(&folder, "mappings/own.toml", &text.replace("\"$.message\"", "[\"$.message\", \"x\"]"));
    let shown = check(folder.path(), &["--update"], 1);
    assert!(shown.contains("this is the payload itself"), "{shown}");
    assert_eq!(read(&folder, &format!("mappings/{own}")), "[]");
}

#[test]
fn file_that_two_tests_expect_is_not_written_twice() {
    let folder = folder();
    let text = MAPPING.replace("two.expected.json", "one.expected.json");
    write(&folder, "mappings/own.toml", &text.replace("[\"form\"]", "[\"new\"]"));
    let before = read(&folder, "mappings/samples/one.expected.json");

    let shown = check(folder.path(), &["--update"], 1);

    assert!(shown.contains("and give different requests"), "{shown}");
    assert!(shown.contains("give each test a file of its own"), "{shown}");
    assert_eq!(read(&folder, "mappings/samples/one.expected.json"), before);
}

#[test]
fn file_that_another_mapping_file_expects_is_not_overwritten() {
    let folder = folder();
    let two = "mappings/samples/two.expected.json";
    write(&folder, two, &expected("Dark mode"));
    let before = read(&folder, two);
    // It is read before and after the other one, whose tests are right.
    for name in ["a-first.toml", "z-last.toml"] {
        let path = format!("mappings/{name}");
        write(&folder, &path, &MAPPING.replace("[\"form\"]", "[\"new\"]"));
        for arguments in [&["--update"][..], &["--update", &path]] {
            let shown = check(folder.path(), arguments, 1);

            assert!(shown.contains("and give different requests; the other is in"), "{shown}");
            assert!(shown.contains("mappings/own.toml"), "{shown}");
            assert!(!shown.contains("wrote"), "{shown}");
            assert_eq!(read(&folder, two), before);
        }
        fs::remove_file(folder.path().join(path)).unwrap();
    }
    // Two that give the same may change together.
    for name in ["mappings/own.toml", "mappings/other.toml"] {
        write(&folder, name, &MAPPING.replace("[\"form\"]", "[\"new\"]"));
    }
    let shown = check(folder.path(), &["--update"], 0);
    assert!(shown.contains(&format!("wrote {two}")), "{shown}");
}

#[test]
fn file_that_cannot_be_written_is_named() {
    let folder = folder();
    let two = folder.path().join("mappings/samples/two.expected.json");
    fs::set_permissions(&two, fs::Permissions::from_mode(0o444)).unwrap();

    let shown = check(folder.path(), &["--update"], 1);

    let message = "mappings/samples/two.expected.json cannot be written: the file is read-only";
    assert!(shown.contains(message), "{shown}");
    assert!(!shown.contains("wrote"), "{shown}");
}

#[test]
fn draft_outside_of_the_folder_has_the_samples_of_the_folder() {
    let folder = folder();
    write(&folder, "mappings/samples/two.expected.json", &expected("Dark mode"));
    write(&folder, "own.toml", MAPPING);

    check(folder.path(), &["own.toml"], 0);

    write(&folder, "own.toml", &MAPPING.replace("two.json", "gone.json"));
    let shown = check(folder.path(), &["own.toml"], 1);
    assert!(shown.contains("there is no file samples/gone.json"), "{shown}");
    // What is beside it counts first, and only that is written.
    let one = read(&folder, "mappings/samples/one.expected.json");
    std::fs::create_dir(folder.path().join("samples")).unwrap();
    write(&folder, "samples/one.expected.json", "[]");
    write(&folder, "own.toml", MAPPING);
    check(folder.path(), &["own.toml"], 1);
    check(folder.path(), &["own.toml", "--update"], 0);
    assert_eq!(read(&folder, "mappings/samples/one.expected.json"), one);
}
