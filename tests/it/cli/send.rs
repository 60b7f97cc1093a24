//! `send`: signs the request as the relay will receive it, including the query.

use std::fs;

use tempfile::TempDir;

use crate::support::relay::{Relay, program};

const PUBLIC_URL: &str = "https://relay.example.com/base";

/// A folder with the mapping file of a source `desk` with this signature.
fn folder(own: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mappings")).unwrap();
    let text = format!("secrets = [\"env:SECRET\"]\n{own}\n[[feedback]]\nproblem = \"$.x\"\n");
    fs::write(folder.path().join("mappings/desk.toml"), text).unwrap();
    fs::write(folder.path().join("payload.json"), r#"{"x":"y"}"#).unwrap();
    fs::write(folder.path().join("payload.form"), "x=y&b=1+2").unwrap();
    folder
}

/// Sends to a relay with this signature, each time to another URL, and expects that it is accepted.
fn check(own: &str, payload: &str, queries: &[&str]) {
    let folder = folder(own);
    let variables = [("SECRET", "a-secret"), ("SAVIO_RELAY_SERVER__PUBLIC_URL", PUBLIC_URL)];
    let relay = Relay::start(folder.path(), &variables);
    for query in queries {
        let to = format!("{}/hooks/desk{query}", relay.url);
        let mut send = program(folder.path());
        send.args(["send", "desk", payload, "--to", &to]).envs(variables);
        if payload.ends_with("form") {
            send.args(["--header", "content-type: application/x-www-form-urlencoded"]);
        }
        let output = send.output().unwrap();
        let (shown, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let is_taken = shown.starts_with("202 ") || shown.contains("duplicate");
        assert!(output.status.success() && is_taken, "{own} {query}: {shown}{errors}");
    }
}

const QUERIES: [&str; 8] =
    ["", "?", "?a=1", "?a=1&b=", "?a=%2B+1&b=%26", "?a=it's&b=\"c\"", "?a=\u{e9}", "?a=1#fragment"];

#[test]
fn url_is_signed_with_the_query_that_is_sent() {
    for provider in ["twilio", "hubspot", "square", "trello"] {
        check(&format!("provider = \"{provider}\""), "payload.json", &QUERIES);
    }
    check("provider = \"twilio\"", "payload.form", &QUERIES);
}

#[test]
fn hash_of_an_uncovered_body_is_sent() {
    let own = |place: &str, signed: &str| {
        format!(
            "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\nsigned = \"{signed}\"\n\
             body_hash = \"{place}\""
        )
    };
    for payload in ["payload.json", "payload.form"] {
        check(&own("query:h", "{url}"), payload, &QUERIES);
        check(&own("query:h", "{query:h}"), payload, &QUERIES);
        check(&own("header:X-Hash", "{header:X-Hash}"), payload, &QUERIES);
    }
    // A parameter that the URL has already is not sent twice.
    let with_hash = "?a=1&h=0466c472ba1be6a35700b1867dea252bc914e46ebb68522cf0a2e3b9c6e8693e";
    check(&own("query:h", "{url}"), "payload.json", &[with_hash]);
    check(&own("query:h", "{query:h}"), "payload.json", &[with_hash]);
}

#[test]
fn signed_parameter_is_taken_from_the_url_or_generated() {
    let own = "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\nsigned = \"{query:nonce}{body}\"";
    check(own, "payload.json", &["?nonce=7", "?nonce=a+b%2B", "?a=1&nonce=\u{e9}", "", "?a=1"]);
    let own = "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\nsigned = \"{url}{query:nonce}\"";
    check(own, "payload.json", &["?nonce=7", "", "?a=1"]);
}
