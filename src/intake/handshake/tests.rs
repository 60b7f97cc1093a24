//! Handshakes in the shapes that providers use.

use serde_json::{Value, json};

use super::*;
use crate::diagnostics::diagnostic::Document;
use crate::diagnostics::table::{self, Diagnostics, TomlTable};
use crate::intake::signature::{Scheme, SecretFormat, Signature};

fn read(text: &str) -> (Vec<HandshakeRule>, Diagnostics) {
    let document = Document { name: "x.toml".to_owned(), text: text.to_owned() };
    let mut mistakes = Diagnostics::new();
    let root = table::parse(&document, &mut mistakes);
    let tables = TomlTable::root(&document, &root).tables("handshake", &mut mistakes);
    let read = tables.into_iter().map(|table| super::read(table, &mut mistakes)).collect();
    (read, mistakes)
}

/// A request: method, query, headers, body.
struct SampleRequest(&'static str, &'static str, &'static [(&'static str, &'static str)], Value);

fn answer(keys: &str, request: &SampleRequest) -> Option<HandshakeResponse> {
    let (handshakes, mistakes) = read(&format!("[[handshake]]\n{keys}"));
    assert_eq!(mistakes, []);
    let (scheme, secret) = (Scheme::None, SecretFormat::default());
    let signature = Signature { scheme, secret, decompressed: false, weak: None };
    let key = signature.key(&"key".into(), None, 0).unwrap();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let headers = request.2.iter().map(own).collect();
    handshakes[0].respond(&HandshakeRequest {
        method: &request.0.parse().unwrap(),
        query: Some(request.1),
        headers: &headers,
        body: Some(&request.3),
        key: Some(&key),
    })
}

#[track_caller]
fn check(keys: &str, request: &SampleRequest, expected: Option<(u16, &str, &str)>) {
    let response = answer(keys, request);
    let found = response.as_ref().map(|response| {
        let (_, content_type) = &response.headers[0];
        (response.status, content_type.to_str().unwrap(), response.body.as_str())
    });
    assert_eq!(found, expected, "{keys}");
}

#[test]
fn head_handshake_is_answered_with_200() {
    let head = SampleRequest("HEAD", "", &[], Value::Null);
    check("method = \"HEAD\"", &head, Some((200, "text/plain", "")));
    check("method = \"GET\"", &head, None);
}

#[test]
fn challenge_in_the_query_is_repeated() {
    let keys = "method = \"GET\"\nbody = \"{query:hub.challenge}\"\nwhen = { \"query:m\" = \"s\" }";
    let get = |query| SampleRequest("GET", query, &[], Value::Null);
    check(keys, &get("m=s&hub.challenge=a%20b"), Some((200, "text/plain", "a b")));
    check(keys, &get("m=t&hub.challenge=a"), None);
    check(keys, &get("m=s"), None);
}

#[test]
fn challenge_in_the_body_is_repeated() {
    let slack = "method = \"POST\"\nwhen = { \"$.type\" = \"url\" }\nbody = \"{$.challenge}\"";
    let post = |body| SampleRequest("POST", "", &[], body);
    let challenge = json!({ "type": "url", "challenge": "c\"" });
    check(slack, &post(challenge), Some((200, "text/plain", "c\"")));
    check(slack, &post(json!({ "type": "event", "challenge": "c" })), None);

    let monday = "method = \"POST\"\nsigned = false\njson = { challenge = \"{$.challenge}\" }";
    let answered = Some((200, "application/json", "{\"challenge\":\"c\\\"\"}"));
    check(monday, &post(json!({ "challenge": "c\"" })), answered);
    check(monday, &post(json!({ "challenge": ["c"] })), None);
    check(monday, &post(json!({ "challenge": "c".repeat(1_025) })), None);
}

#[test]
fn challenge_in_a_header_is_repeated_there_or_in_the_body() {
    let asana = "method = \"POST\"\nsigned = false\nheaders = { X-Hook = \"{header:X-Hook}\" }";
    let post = SampleRequest("POST", "", &[("x-hook", "s3")], Value::Null);
    let response = answer(asana, &post).unwrap();
    assert_eq!(
        response.headers.last().unwrap(),
        &("x-hook".parse().unwrap(), "s3".parse().unwrap())
    );
    check(asana, &SampleRequest("POST", "", &[], Value::Null), None);

    let front = "method = \"POST\"\nsigned = false\nbody = \"{header:X-Hook}\"";
    check(front, &post, Some((200, "text/plain", "s3")));
}

#[test]
fn name_with_other_characters_is_quoted_in_a_path() {
    let quoted = "method = \"POST\"\nsigned = false\njson = { t = \"{$['the key'].to-ken}\" }";
    let request = SampleRequest("POST", "", &[], json!({ "the key": { "to-ken": "x" } }));
    check(quoted, &request, Some((200, "application/json", "{\"t\":\"x\"}")));
}

#[test]
fn response_holds_the_hmac_of_a_value() {
    let zoom = "method = \"POST\"\njson = { t = \"{$.p.t}\", e = \"sha={hmac:$.p.t}\" }";
    let mac = "646b8eac0c4ae4178299c9bd924e2bf073dfb07e024901a8c864f65b9462bf0d";
    let body = format!("{{\"t\":\"token\",\"e\":\"sha={mac}\"}}");
    let request = SampleRequest("POST", "", &[], json!({ "p": { "t": "token" } }));
    check(zoom, &request, Some((200, "application/json", &body)));
}

#[test]
fn number_in_the_body_identifies_a_ping() {
    let discord = "method = \"POST\"\nwhen = { \"$.type\" = 0 }\nstatus = 204";
    let post = |body| SampleRequest("POST", "", &[], body);
    check(discord, &post(json!({ "type": 0 })), Some((204, "text/plain", "")));
    check(discord, &post(json!({ "type": 1 })), None);
    check(discord, &post(json!({ "type": "0" })), None);
}

#[track_caller]
fn check_mistakes(keys: &str, expected: &[&str]) {
    let (_, mistakes) = read(&format!("[[handshake]]\n{keys}"));
    let messages: Vec<&str> = mistakes.iter().map(|mistake| mistake.message.as_str()).collect();
    assert_eq!(messages, expected, "{keys}");
}

#[test]
fn contradictory_keys_are_mistakes() {
    check_mistakes("", &["`method` is missing here"]);
    check_mistakes("method = \"PUT\"", &["unknown word \"PUT\""]);
    let post = "this would treat every webhook as a handshake";
    check_mistakes("method = \"POST\"\nbody = \"ok\"", &[post]);
    check_mistakes("method = \"GET\"\nsigned = true", &["only a POST is signed"]);
    let secret = "method = \"POST\"\nsecret = \"$.token\"";
    check_mistakes(secret, &["what brings the secret cannot be signed with it"]);
    check_mistakes("method = \"GET\"\nhas = \"$..a\"", &["`$..a` is not a part of a request"]);
    check_mistakes("method = \"GET\"\nbody = \"{a}\"", &["unknown part `{a}`"]);
    check_mistakes("method = \"GET\"\nbody = \"{\"", &["a `{` without its `}`"]);
    check_mistakes("method = \"GET\"\nstatus = 404", &["an answer has a status from 200 to 299"]);
    let both = "an answer has a `body` or a `json`, not both";
    check_mistakes("method = \"GET\"\nbody = \"\"\njson = {}", &[both]);
}
