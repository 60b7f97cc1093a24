//! What a sender or its set-up probably did, where a signature is wrong: for logs, never for answers.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::arrived::Arrived;
use super::signature::{
    Encoding, Key, Keyring, Presented, Scheme, Seal, Signature, Tries, Unproven,
};
use super::source::Source;

/// Larger bodies are not tried again.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Enough for all 22 changes with two secrets and three URLs. A try costs at most 0.4 ms (P-256 over
/// 64 KiB; HMAC-SHA512 0.14 ms, in a release build), so a diagnosis ends within 60 ms.
const TRIES_MAX: usize = 160;

/// Finds out why signatures are wrong: one at a time, apart from the threads that answer requests,
/// because a stranger decides how often and for how long.
#[derive(Debug)]
pub(super) struct Diagnoses(Arc<Semaphore>);

impl Default for Diagnoses {
    fn default() -> Diagnoses {
        Diagnoses(Arc::new(Semaphore::new(1)))
    }
}

impl Diagnoses {
    /// The change that makes a wrong signature right. Nothing is said of a large body, nor while
    /// another request is looked into.
    pub(super) async fn run(&self, arrived: Arrived, signed_url: Option<String>) -> Option<String> {
        if arrived.body.bytes.len() > BODY_BYTES_MAX {
            return None;
        }
        let place = Arc::clone(&self.0).try_acquire_owned().ok()?;
        let work = move || {
            // It goes on, and keeps its place, if the sender leaves meanwhile.
            let _place = place;
            diagnosed(&arrived, signed_url.as_deref())
        };
        spawn_blocking(work).await.ok().flatten()
    }
}

fn diagnosed(arrived: &Arrived, signed_url: Option<&str>) -> Option<String> {
    let call = arrived.call();
    let presented = &call.presented(signed_url);
    let Source { signature, keys, .. } = call.source;
    let tries = &Tries::at_most(TRIES_MAX);
    Doubted { signature, keys, presented, now: arrived.now, tries }.hint()
}

/// How far the times are apart, where a signature is right and outside its window.
pub(super) fn clock(arrived: &Arrived) -> Option<String> {
    let call = arrived.call();
    let signed_at = call.source.signature.signed_at(&call.presented(None))?;
    Some(late(signed_at, arrived.now))
}

fn late(signed_at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(signed_at).as_secs();
    if seconds < 0 {
        format!("right, but signed {} s in the future: compare the clocks", -seconds)
    } else {
        format!("right, but signed {seconds} s ago: a late repeat, or a clock that is off")
    }
}

/// What is looked at anew, each time with one thing changed.
#[derive(Debug, Clone, Copy)]
struct Doubted<'r> {
    signature: &'r Signature,
    keys: &'r [Key],
    presented: &'r Presented<'r>,
    now: Timestamp,
    tries: &'r Tries,
}

impl Doubted<'_> {
    fn hint(&self) -> Option<String> {
        self.form().or_else(|| self.secret()).or_else(|| self.body())
    }

    /// Right, be it at the wrong time.
    fn would_be_right(&self) -> bool {
        if self.tries.left() == 0 {
            return false;
        }
        let keyring = Keyring::new(self.keys, self.now, self.tries);
        match self.signature.verify_with(&keyring, self.presented, self.now) {
            Ok(_) | Err(Unproven::OutsideWindow) => true,
            Err(Unproven::Missing | Unproven::Wrong) => false,
        }
    }

    fn form(&self) -> Option<String> {
        let Scheme::Seal(seal) = &self.signature.scheme else {
            return None;
        };
        let expected = seal.encoding.as_str();
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
            let other = Seal { encoding, ..seal.clone() };
            if encoding != seal.encoding && self.seal_would_be_right(other) {
                let found = encoding.as_str();
                return Some(format!("right, but {found} where {expected} is expected"));
            }
            let bare = Seal { encoding, prefix: String::new(), ..seal.clone() };
            if !seal.prefix.is_empty() && self.seal_would_be_right(bare) {
                return Some(format!("right, but without the prefix `{}`", seal.prefix));
            }
        }
        self.prefixed(seal)
    }

    /// With the prefix of another scheme, such as `sha256=` or `v1=`.
    fn prefixed(&self, seal: &Seal) -> Option<String> {
        for prefix in ["sha256=", "sha1=", "sha512=", "v0=", "v1=", "v1,", "hmac-sha256="] {
            let other = Seal { prefix: prefix.to_owned(), ..seal.clone() };
            if prefix != seal.prefix && self.seal_would_be_right(other) {
                let expected = match seal.prefix.as_str() {
                    "" => "no prefix".to_owned(),
                    expected => format!("`{expected}`"),
                };
                return Some(format!("right, but `{prefix}` where {expected} is expected"));
            }
        }
        None
    }

    fn seal_would_be_right(&self, seal: Seal) -> bool {
        let signature = Signature { scheme: Scheme::Seal(seal), ..self.signature.clone() };
        Doubted { signature: &signature, ..*self }.would_be_right()
    }

    fn secret(&self) -> Option<String> {
        for (end, name) in [("\n", "line end"), ("\r\n", "line end"), (" ", "space")] {
            if self.key_would_be_right(|key| [key, end.as_bytes()].concat()) {
                return Some(format!(
                    "right with a {name} behind the secret: the sender's has one"
                ));
            }
        }
        self.key_would_be_right(|key| key.trim_ascii().to_vec())
            .then(|| "right without the white space around the relay's secret".to_owned())
    }

    fn key_would_be_right(&self, alter: impl Fn(&[u8]) -> Vec<u8>) -> bool {
        let keys: Vec<Key> = self.keys.iter().filter_map(|key| key.altered(&alter)).collect();
        Doubted { keys: &keys, ..*self }.would_be_right()
    }

    /// No parser is let near it: it is not known whose body this is.
    fn body(&self) -> Option<String> {
        let body = self.presented.body;
        let changed = [
            ([body, b"\n"].concat(), "right with a line end behind the body: it was cut off"),
            ([body, b"\r\n"].concat(), "right with a line end behind the body: it was cut off"),
            (body.trim_ascii().to_vec(), "right without the white space around the body"),
            (spaced(body, b""), "right over the JSON without spaces: it was written anew"),
            (spaced(body, b" "), "right over the JSON with other spaces: it was written anew"),
            (unescaped(body), "right over the JSON without `\\/`: it was written anew"),
        ];
        let right = changed.into_iter().find(|(changed, _)| {
            changed != body && {
                let presented = Presented { body: changed, ..*self.presented };
                Doubted { presented: &presented, ..*self }.would_be_right()
            }
        });
        right.map(|(_, hint)| hint.to_owned())
    }
}

/// The JSON text with nothing but this between its tokens, behind `,` and `:`.
fn spaced(body: &[u8], space: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(body.len());
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in body {
        if in_text || !byte.is_ascii_whitespace() {
            written.push(*byte);
        }
        if !in_text && matches!(byte, b',' | b':') {
            written.extend_from_slice(space);
        }
        if *byte == b'"' && !is_escaped {
            in_text = !in_text;
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    written
}

/// Without spaces, and with `/` for `\/`.
fn unescaped(body: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(body.len());
    let mut is_escaped = false;
    for byte in spaced(body, b"") {
        if byte == b'/' && is_escaped {
            written.pop();
        }
        written.push(byte);
        is_escaped = byte == b'\\' && !is_escaped;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Headers;
    use crate::intake::provider::Provider;
    use crate::mistake::Document;
    use crate::table::{self, Mistakes, Table};

    const NOW: i64 = 1_700_000_000;

    fn signature(keys: &str) -> Signature {
        let text = format!("[signature]\nscheme = \"hmac\"\nheader = \"X-Sig\"\n{keys}");
        let document = Document { name: "x.toml".to_owned(), text };
        let mut mistakes = Mistakes::new();
        let root = table::parse(&document, &mut mistakes);
        let provider = Provider::read(&mut Table::root(&document, &root), &mut mistakes);
        let signature = provider.signature(0..0, &mut mistakes).unwrap();
        assert_eq!(mistakes, []);
        signature
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The sender signs in its way, over its body; ours is what we know of it.
    struct Case {
        theirs: &'static str,
        their_body: &'static str,
        their_secret: &'static str,
        ours: &'static str,
        our_body: &'static str,
    }

    const RIGHT: Case = Case {
        theirs: "prefix = \"sha256=\"",
        their_body: "{\"a\": \"b\"}",
        their_secret: "secret",
        ours: "prefix = \"sha256=\"",
        our_body: "{\"a\": \"b\"}",
    };

    #[track_caller]
    fn check(case: &Case, expected: Option<&str>) {
        let mut headers = Headers::new();
        let unsigned = Presented {
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
        let presented = Presented { headers: &headers, body, ..unsigned };
        let ours = signature(case.ours);
        let keys = [ours.key(&"secret".into(), None, 0).unwrap()];
        let now = at(NOW);
        let unproven = ours.verify(&keys, &presented, now).unwrap_err();
        let tries = &Tries::at_most(TRIES_MAX);
        let doubted = Doubted { signature: &ours, keys: &keys, presented: &presented, now, tries };
        let hint = match unproven {
            Unproven::Missing => None,
            Unproven::OutsideWindow => ours.signed_at(&presented).map(|at| late(at, now)),
            Unproven::Wrong => doubted.hint(),
        };
        assert_eq!(hint.as_deref(), expected);
    }

    #[test]
    fn another_encoding_or_prefix_is_seen() {
        let theirs = "prefix = \"sha256=\"\nencoding = \"base64\"";
        check(&Case { theirs, ..RIGHT }, Some("right, but base64 where hex is expected"));
        let hint = Some("right, but hex where base64 is expected");
        check(&Case { ours: theirs, ..RIGHT }, hint);
        check(&Case { theirs: "", ..RIGHT }, Some("right, but without the prefix `sha256=`"));
        let hint = Some("right, but `sha256=` where no prefix is expected");
        check(&Case { ours: "", ..RIGHT }, hint);
        let hint = Some("right, but `v1=` where `sha256=` is expected");
        check(&Case { theirs: "prefix = \"v1=\"", ..RIGHT }, hint);
    }

    #[test]
    fn another_end_of_the_secret_is_seen() {
        let hint = Some("right with a line end behind the secret: the sender's has one");
        check(&Case { their_secret: "secret\n", ..RIGHT }, hint);
        let hint = Some("right with a space behind the secret: the sender's has one");
        check(&Case { their_secret: "secret ", ..RIGHT }, hint);
        check(&Case { their_secret: "other", ..RIGHT }, None);
    }

    #[test]
    fn a_body_that_was_changed_on_its_way_is_seen() {
        let spaces = Some("right over the JSON without spaces: it was written anew");
        check(&Case { their_body: "{\"a\":\"b\"}", ..RIGHT }, spaces);
        let hint = Some("right over the JSON with other spaces: it was written anew");
        check(&Case { our_body: "{\"a\":\n\"b\"}", ..RIGHT }, hint);
        let hint = Some("right with a line end behind the body: it was cut off");
        check(&Case { their_body: "{\"a\": \"b\"}\r\n", ..RIGHT }, hint);
        let slash =
            Case { their_body: r#"{"a":"/\\/ ,"}"#, our_body: r#"{"a":"\/\\\/ ,"}"#, ..RIGHT };
        check(&slash, Some("right over the JSON without `\\/`: it was written anew"));
    }

    #[test]
    fn body_of_backslashes_is_unescaped_in_linear_time() {
        let body = [vec![b'\\'; 1_000_001], b"/".to_vec()].concat();
        assert_eq!(unescaped(&body), [vec![b'\\'; 1_000_000], b"/".to_vec()].concat());
    }

    /// Of so many secrets the last one signed, over a body whose escapes were written anew.
    fn hint_with_secrets(count: usize) -> (Option<String>, usize) {
        let ours = signature("");
        let key = |at: usize| ours.key(&format!("secret {at}").into(), None, at).unwrap();
        let keys: Vec<Key> = (0..count).map(key).collect();
        let sent = Headers::new();
        let (method, url, query) = ("POST", None, None);
        let sent = Presented { method, url, query, headers: &sent, body: b"{\"a\":\"/\"}" };
        let signing = keys[count - 1].signing_key().unwrap();
        let stamp = ours.sign(&signing, &sent, at(NOW)).unwrap();
        let headers = stamp.headers.into_iter().collect();
        let presented = Presented { headers: &headers, body: b"{\"a\": \"\\/\"}", ..sent };
        let tries = Tries::at_most(TRIES_MAX);
        let doubted = Doubted {
            signature: &ours,
            keys: &keys,
            presented: &presented,
            now: at(NOW),
            tries: &tries,
        };
        (doubted.hint(), tries.left())
    }

    #[test]
    fn diagnosis_ends_with_its_tries() {
        let (hint, left) = hint_with_secrets(2);
        assert_eq!(hint.as_deref(), Some("right over the JSON without `\\/`: it was written anew"));
        assert!(left > TRIES_MAX / 2, "{left}");
        assert_eq!(hint_with_secrets(16), (None, 0));
    }

    #[test]
    fn a_clock_that_is_off_is_seen() {
        let timed = "signed = \"{timestamp}{body}\"\ntimestamp = { from = \"header:X-T\", window = \"5m\" }";
        let hint = "right, but signed 700 s ago: a late repeat, or a clock that is off";
        check(&Case { theirs: timed, ours: timed, ..RIGHT }, Some(hint));
    }
}
