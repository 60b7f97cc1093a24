//! Hints for requests that were signed in another way than configured.

use super::*;
use crate::diagnostics::diagnostic::Document;
use crate::diagnostics::table::{self, Diagnostics, TomlTable};
use crate::event::Headers;
use crate::intake::provider::Provider;

const NOW: i64 = 1_700_000_000;

fn signature(keys: &str) -> Signature {
    let text = format!("[signature]\nscheme = \"hmac\"\nheader = \"X-Sig\"\n{keys}");
    let document = Document { name: "x.toml".to_owned(), text };
    let mut mistakes = Diagnostics::new();
    let root = table::parse(&document, &mut mistakes);
    let provider = Provider::read(&mut TomlTable::root(&document, &root), &mut mistakes);
    assert_eq!(mistakes, []);
    provider.signature.unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// What the sender signs and how, and what arrives and is configured here.
struct HintCase {
    theirs: &'static str,
    their_body: &'static str,
    their_secret: &'static str,
    ours: &'static str,
    our_body: &'static str,
}

const RIGHT: HintCase = HintCase {
    theirs: "prefix = \"sha256=\"",
    their_body: "{\"a\": \"b\"}",
    their_secret: "secret",
    ours: "prefix = \"sha256=\"",
    our_body: "{\"a\": \"b\"}",
};

#[track_caller]
fn check(case: &HintCase, expected: Option<&str>) {
    let mut headers = Headers::new();
    let unsigned = SignedRequest {
        method: "POST",
        url: None,
        query: None,
        headers: &Headers::new(),
        body: case.their_body.as_bytes(),
    };
    let theirs = signature(case.theirs);
    let their_key = theirs.signing_key(&case.their_secret.into()).unwrap();
    headers.extend(theirs.sign(&their_key, &unsigned, at(NOW - 700)).unwrap().headers);
    let headers = headers.into_iter().map(|(name, value)| (name.to_lowercase(), value));
    let (headers, body) = (headers.collect(), case.our_body.as_bytes());
    let request = SignedRequest { headers: &headers, body, ..unsigned };
    let ours = signature(case.ours);
    let keys = [ours.key(&"secret".into(), None, 0).unwrap()];
    let now = at(NOW);
    let error = ours.verify(&keys, &request, now).unwrap_err();
    let tries = &Tries::at_most(TRIES_MAX);
    let failed =
        FailedVerification { signature: &ours, keys: &keys, request: &request, now, tries };
    let hint = match error {
        VerifyError::Missing => None,
        VerifyError::UnreadableTime | VerifyError::OutsideTolerance => failed.time(error),
        VerifyError::Mismatch => failed.hint(),
    };
    assert_eq!(hint.as_deref(), expected);
}

#[test]
fn other_encoding_or_prefix_is_named() {
    let theirs = "prefix = \"sha256=\"\nencoding = \"base64\"";
    check(&HintCase { theirs, ..RIGHT }, Some("right, but base64 where hex is expected"));
    let hint = Some("right, but hex where base64 is expected");
    check(&HintCase { ours: theirs, ..RIGHT }, hint);
    check(&HintCase { theirs: "", ..RIGHT }, Some("right, but without the prefix `sha256=`"));
    let hint = Some("right, but `sha256=` where no prefix is expected");
    check(&HintCase { ours: "", ..RIGHT }, hint);
    let hint = Some("right, but `v1=` where `sha256=` is expected");
    check(&HintCase { theirs: "prefix = \"v1=\"", ..RIGHT }, hint);
}

#[test]
fn white_space_after_the_secret_is_named() {
    let hint = Some("right with a line end behind the secret: the sender's has one");
    check(&HintCase { their_secret: "secret\n", ..RIGHT }, hint);
    let hint = Some("right with a space behind the secret: the sender's has one");
    check(&HintCase { their_secret: "secret ", ..RIGHT }, hint);
    check(&HintCase { their_secret: "other", ..RIGHT }, None);
}

#[test]
fn changed_body_is_named() {
    let spaces = Some("right over the JSON without spaces: it was written anew");
    check(&HintCase { their_body: "{\"a\":\"b\"}", ..RIGHT }, spaces);
    let hint = Some("right over the JSON with other spaces: it was written anew");
    check(&HintCase { our_body: "{\"a\":\n\"b\"}", ..RIGHT }, hint);
    let hint = Some("right with a line end behind the body: it was cut off");
    check(&HintCase { their_body: "{\"a\": \"b\"}\r\n", ..RIGHT }, hint);
    let slash =
        HintCase { their_body: r#"{"a":"/\\/ ,"}"#, our_body: r#"{"a":"\/\\\/ ,"}"#, ..RIGHT };
    check(&slash, Some("right over the JSON without `\\/`: it was written anew"));
}

#[test]
fn body_of_backslashes_is_unescaped_in_linear_time() {
    let body = [vec![b'\\'; 1_000_001], b"/".to_vec()].concat();
    assert_eq!(unescaped(&body), [vec![b'\\'; 1_000_000], b"/".to_vec()].concat());
}

/// Returns the hint and the tries left. The last of `count` secrets signed, and the escapes of the body changed.
fn hint_with_secrets(count: usize) -> (Option<String>, usize) {
    let ours = signature("");
    let key = |at: usize| ours.key(&format!("secret {at}").into(), None, at).unwrap();
    let keys: Vec<Key> = (0..count).map(key).collect();
    let sent = Headers::new();
    let (method, url, query) = ("POST", None, None);
    let sent = SignedRequest { method, url, query, headers: &sent, body: b"{\"a\":\"/\"}" };
    let signing = keys[count - 1].signing_key().unwrap();
    let parts = ours.sign(&signing, &sent, at(NOW)).unwrap();
    let headers = parts.headers.into_iter().collect();
    let request = SignedRequest { headers: &headers, body: b"{\"a\": \"\\/\"}", ..sent };
    let tries = Tries::at_most(TRIES_MAX);
    let failed = FailedVerification {
        signature: &ours,
        keys: &keys,
        request: &request,
        now: at(NOW),
        tries: &tries,
    };
    (failed.hint(), tries.left())
}

#[test]
fn diagnosis_ends_when_its_tries_are_used_up() {
    let (hint, left) = hint_with_secrets(2);
    assert_eq!(hint.as_deref(), Some("right over the JSON without `\\/`: it was written anew"));
    assert!(left > TRIES_MAX / 2, "{left}");
    assert_eq!(hint_with_secrets(16), (None, 0));
}

#[test]
fn wrong_clock_is_named() {
    let timed =
        "signed = \"{timestamp}{body}\"\ntimestamp = { from = \"header:X-T\", window = \"5m\" }";
    let hint = "right, but signed 700 s ago: a late repeat, or a clock that is off";
    check(&HintCase { theirs: timed, ours: timed, ..RIGHT }, Some(hint));
}
