//! What a sender or its set-up probably did, where a signature is wrong: for logs, never for answers.

use jiff::Timestamp;

use super::signature::{Encoding, Key, Presented, Scheme, Seal, Signature, Unproven};

/// Larger bodies are not tried again.
pub(super) const BODY_BYTES_MAX: usize = 256 * 1024;

/// What is looked at anew, each time with one thing changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubted<'r> {
    pub(super) signature: &'r Signature,
    pub(super) keys: &'r [Key],
    pub(super) presented: &'r Presented<'r>,
    pub(super) now: Timestamp,
}

/// The change that makes the signature right.
pub(super) fn hint(doubted: &Doubted<'_>, unproven: Unproven) -> Option<String> {
    match unproven {
        Unproven::Missing => None,
        Unproven::OutsideWindow => doubted.clock(),
        Unproven::Wrong if doubted.presented.body.len() > BODY_BYTES_MAX => None,
        Unproven::Wrong => doubted.form().or_else(|| doubted.secret()).or_else(|| doubted.body()),
    }
}

impl Doubted<'_> {
    /// Right, be it at the wrong time.
    fn would_be_right(&self) -> bool {
        match self.signature.verify(self.keys, self.presented, self.now) {
            Ok(_) | Err(Unproven::OutsideWindow) => true,
            Err(Unproven::Missing | Unproven::Wrong) => false,
        }
    }

    fn clock(&self) -> Option<String> {
        let signed_at = self.signature.signed_at(self.presented)?;
        let seconds = self.now.duration_since(signed_at).as_secs();
        Some(if seconds < 0 {
            format!("right, but signed {} s in the future: compare the clocks", -seconds)
        } else {
            format!("right, but signed {seconds} s ago: a late repeat, or a clock that is off")
        })
    }

    fn form(&self) -> Option<String> {
        let Scheme::Seal(seal) = &self.signature.scheme else {
            return None;
        };
        let expected = seal.encoding.as_str();
        for encoding in [Encoding::Hex, Encoding::Base64, Encoding::Base64Url] {
            if self.seal_would_be_right(Seal { encoding, ..seal.clone() }) {
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
        let keys: Vec<Key> = self.keys.iter().map(|key| key.altered(&alter)).collect();
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
    for byte in spaced(body, b"") {
        let is_escaped = written.iter().rev().take_while(|it| **it == b'\\').count() % 2 == 1;
        if byte == b'/' && is_escaped {
            written.pop();
        }
        written.push(byte);
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
        let doubted = Doubted { signature: &ours, keys: &keys, presented: &presented, now };
        assert_eq!(hint(&doubted, unproven).as_deref(), expected);
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
    fn a_clock_that_is_off_is_seen() {
        let timed = "signed = \"{timestamp}{body}\"\ntimestamp = { from = \"header:X-T\", window = \"5m\" }";
        let hint = "right, but signed 700 s ago: a late repeat, or a clock that is off";
        check(&Case { theirs: timed, ours: timed, ..RIGHT }, Some(hint));
    }
}
