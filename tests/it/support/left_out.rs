//! Tests that need something which not every machine has: left out with a message, and failed in
//! CI.

use std::io::Write;

/// Reports a test that is left out. Call it before the test returns without its case.
#[track_caller]
pub(crate) fn report_left_out(what: &str) {
    assert!(!is_ci(variable("CI").as_deref()), "{what}: nothing is left out in CI");
    print(&format!("\n!!! LEFT OUT: {what}\n"));
}

/// Returns the file that a variable names; none if the test is left out. `none` leaves it out in CI
/// too.
#[track_caller]
pub(crate) fn file_of(name: &str, what: &str) -> Option<String> {
    match variable(name) {
        None => report_left_out(&format!("{what}; {name} names no file")),
        Some(file) if file == "none" => print(&format!("\n!!! LEFT OUT: {what}; {name} is none\n")),
        Some(file) => return Some(file),
    }
    None
}

/// Writes a line to standard error.
pub(crate) fn print(line: &str) {
    // Not by `eprintln!`, which the test harness captures: output of a passing test is not shown.
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn is_ci(variable: Option<&str>) -> bool {
    variable.is_some_and(|value| !["", "0", "false"].contains(&value))
}

#[expect(clippy::disallowed_methods, reason = "what is needed lies beside this repository")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn ci_is_distinguished_from_a_workstation() {
    for (variable, expected) in [
        (Some("true"), true),
        (Some("1"), true),
        (Some("yes"), true),
        (Some(""), false),
        (Some("0"), false),
        (Some("false"), false),
        (None, false),
    ] {
        assert_eq!(is_ci(variable), expected, "{variable:?}");
    }
}
