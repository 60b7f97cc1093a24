//! Empty values on the command line, as an unset variable of a shell leaves them.

use crate::support::relay::program;

#[track_caller]
fn check(folder: &std::path::Path, arguments: &[&str]) {
    for blank in ["", " "] {
        let arguments: Vec<&str> =
            arguments.iter().map(|it| if *it == "BLANK" { blank } else { it }).collect();
        let output = program(folder).args(&arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.starts_with("error: "), "{arguments:?}: {errors}");
    }
}

#[test]
fn empty_filter_value_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let filters = ["--state", "--source", "--destination", "--since", "--until", "--q"];
    for filter in filters {
        for command in ["list", "replay"] {
            check(folder.path(), &["events", command, filter, "BLANK"]);
            if filter != "--state" {
                check(folder.path(), &["dead", command, filter, "BLANK"]);
            }
        }
    }
    check(folder.path(), &["events", "list", "--after", "BLANK"]);
    check(folder.path(), &["events", "list", "--limit", "BLANK"]);
    check(folder.path(), &["events", "replay", "--state", "dead", "--rate", "BLANK"]);
    check(folder.path(), &["events", "replay", "--cancel", "BLANK"]);
    check(folder.path(), &["events", "replay", "BLANK"]);
    check(folder.path(), &["dead", "replay", "BLANK"]);
}

#[test]
fn empty_value_for_savio_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    for option in
        ["--search", "--state", "--ordering", "--product", "--product-area", "--tag", "--roadmap"]
    {
        check(folder.path(), &["savio", "feature-requests", "list", option, "BLANK"]);
    }
    for things in ["contacts", "companies"] {
        check(folder.path(), &["savio", things, "list", "--search", "BLANK"]);
        check(folder.path(), &["savio", things, "list", "--ordering", "BLANK"]);
        check(folder.path(), &["savio", things, "upsert", "BLANK"]);
        let upsert = ["savio", things, "upsert", "--internal-id", "BLANK", "--name", "Acme"];
        check(folder.path(), &upsert);
        let upsert = ["savio", things, "upsert", "--internal-id", "7", "--name", "BLANK"];
        check(folder.path(), &upsert);
    }
    let feedback = ["savio", "feedback", "create", "--problem"];
    check(folder.path(), &[&feedback[..], &["BLANK"]].concat());
    for option in [
        "--feedback-type",
        "--state",
        "--source-url",
        "--source-username",
        "--person-email",
        "--person-name",
        "--company-name",
        "--feature-request-title",
        "--tag",
        "--token-env",
        "--base-url",
        "--destination",
        "--config",
    ] {
        check(folder.path(), &[&feedback[..], &["Slow", option, "BLANK"]].concat());
    }
}

#[test]
fn empty_value_is_reported_with_its_option() {
    let folder = tempfile::tempdir().unwrap();

    let output = program(folder.path()).args(["events", "replay", "--q", ""]).output().unwrap();

    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("the value of '--q <TEXT>' is empty"), "{errors}");
    assert!(errors.contains("Usage: savio-relay events replay"), "{errors}");
}
