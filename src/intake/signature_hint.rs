//! What a sender or its set-up probably did, where a signature is wrong: for logs, never for answers.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::payload;
use super::payload::excerpt::excerpt;
use super::request::BufferedRequest;
use super::signature::{
    CredentialLocation, Encoding, HashClaim, Jwt, Key, Keyring, MessageSignature, Scheme,
    Signature, SignedRequest, TimestampRule, TimestampUnit, Tries, VerifyError,
};
use super::source::Source;

/// Larger bodies are not tried again.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Enough for all 26 changes with two secrets and three URLs. A try costs at most 0.4 ms (P-256 over
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
    pub(super) async fn run(
        &self,
        arrived: BufferedRequest,
        signed_url: Option<String>,
    ) -> Option<String> {
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

fn diagnosed(arrived: &BufferedRequest, signed_url: Option<&str>) -> Option<String> {
    let call = arrived.call();
    let Source { signature, keys, .. } = call.source;
    let covered = call.covered(BODY_BYTES_MAX).unwrap_or_default();
    let presented = SignedRequest { body: &covered, ..call.presented(signed_url) };
    let tries = &Tries::at_most(TRIES_MAX);
    let doubted =
        FailedVerification { signature, keys, presented: &presented, now: arrived.now, tries };
    doubted.hint().or_else(|| compressed(&doubted, arrived)).or_else(|| match &signature.scheme {
        Scheme::Seal(seal) => seal.absent_field(&presented),
        Scheme::Jwt(_) | Scheme::Token { .. } | Scheme::Basic | Scheme::None => None,
    })
}

/// Whether the signature is right over the body in its other form: compressed, or as it was before.
fn compressed(doubted: &FailedVerification<'_>, arrived: &BufferedRequest) -> Option<String> {
    let whole = &arrived.body.bytes;
    let inside = payload::decompressed(&arrived.headers, whole, BODY_BYTES_MAX).ok()?;
    let (Cow::Owned(inside), is_inside) = (inside, doubted.signature.decompressed) else {
        return None;
    };
    let body = if is_inside { whole } else { &inside };
    let presented = SignedRequest { body, ..*doubted.presented };
    let is_right = FailedVerification { presented: &presented, ..*doubted }.would_be_right();
    let hint = if is_inside {
        "right over the compressed body: leave `decompressed` out"
    } else {
        "right over the body before it was compressed: set decompressed = true"
    };
    is_right.then(|| hint.to_owned())
}

/// What is wrong with the time, where a signature is right. Nothing is said of a large body whose proof may
/// be in several places: each is verified once more.
pub(super) fn time(
    arrived: &BufferedRequest,
    signed_url: Option<&str>,
    unproven: VerifyError,
) -> Option<String> {
    let call = arrived.call();
    let Source { signature, keys, .. } = call.source;
    let body = call.covered(arrived.body.bytes.len().max(BODY_BYTES_MAX))?;
    if body.len() > BODY_BYTES_MAX && signature.scheme.has_several_places() {
        return None;
    }
    let presented = &SignedRequest { body: &body, ..call.presented(signed_url) };
    let tries = &Tries::at_most(TRIES_MAX);
    FailedVerification { signature, keys, presented, now: arrived.now, tries }.time(unproven)
}

/// Which part of a signature is missing where another part of it is there. Nothing is said of a large body.
pub(super) fn missing(arrived: &BufferedRequest, signed_url: Option<&str>) -> Option<String> {
    if arrived.body.bytes.len() > BODY_BYTES_MAX {
        return None;
    }
    let call = arrived.call();
    let body = call.covered(BODY_BYTES_MAX)?;
    let presented = SignedRequest { body: &body, ..call.presented(signed_url) };
    call.source.signature.scheme.missing_part(&presented)
}

/// The unit in which the time is within the window, if that is another one.
fn in_another_unit(clock: &TimestampRule, time: &str, now: Timestamp) -> Option<String> {
    let is_near = |unit: &TimestampUnit| {
        let gap = unit.read(time).map(|signed_at| now.duration_since(signed_at).unsigned_abs());
        gap.zip(clock.window).is_some_and(|(gap, window)| gap <= window)
    };
    let unit = TimestampUnit::ALL.into_iter().filter(|unit| *unit != clock.unit).find(is_near)?;
    let (found, expected) = (unit.as_str(), clock.unit.as_str());
    Some(format!(
        "right, but its time is written as {found}, not as {expected}: set unit = \"{found}\""
    ))
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
struct FailedVerification<'r> {
    signature: &'r Signature,
    keys: &'r [Key],
    presented: &'r SignedRequest<'r>,
    now: Timestamp,
    tries: &'r Tries,
}

impl FailedVerification<'_> {
    /// Of a right signature whose time is not.
    fn time(&self, unproven: VerifyError) -> Option<String> {
        let Scheme::Seal(seal) = &self.signature.scheme else {
            let is_unread = unproven == VerifyError::UnreadableTime;
            return is_unread
                .then(|| "right, but its `exp` or `nbf` is no number of seconds".to_owned());
        };
        let clock = seal.clock.as_ref()?;
        let Some(time) = self.stated(seal, unproven) else {
            return Some("right, but it has no time where `timestamp` says".to_owned());
        };
        let hint = in_another_unit(clock, &time, self.now)
            .or_else(|| clock.unit.read(&time).map(|signed_at| late(signed_at, self.now)));
        hint.or_else(|| {
            let (time, unit) = (excerpt(&time), clock.unit.as_str());
            Some(format!("right, but its time `{time}` cannot be read as {unit}"))
        })
    }

    /// The time of the proof that is right but for it; there may be wrong ones in other places.
    fn stated(&self, seal: &MessageSignature, unproven: VerifyError) -> Option<String> {
        if !self.signature.scheme.has_several_places() {
            return seal.times(self.presented).pop();
        }
        let alone = |place: &CredentialLocation| MessageSignature {
            places: vec![place.clone()],
            ..seal.clone()
        };
        let keyring = Keyring::new(self.keys, self.now, self.tries);
        let is_right = |seal: &MessageSignature| {
            let signature =
                Signature { scheme: Scheme::Seal(seal.clone()), ..self.signature.clone() };
            signature.verify_with(&keyring, self.presented) == Err(unproven)
        };
        let right = seal.places.iter().map(alone).find(is_right)?;
        right.times(self.presented).pop()
    }

    fn hint(&self) -> Option<String> {
        self.form().or_else(|| self.plus()).or_else(|| self.secret()).or_else(|| self.body())
    }

    /// Right, be it at the wrong time.
    fn would_be_right(&self) -> bool {
        if self.tries.left() == 0 {
            return false;
        }
        let keyring = Keyring::new(self.keys, self.now, self.tries);
        match self.signature.verify_with(&keyring, self.presented) {
            Ok(_) | Err(VerifyError::UnreadableTime | VerifyError::OutsideTolerance) => true,
            Err(VerifyError::Missing | VerifyError::Mismatch) => false,
        }
    }

    /// In another encoding, or with another prefix.
    fn form(&self) -> Option<String> {
        let scheme = &self.signature.scheme;
        if let Some(expected) = encoding(scheme) {
            let others = Encoding::ALL.into_iter().filter(|encoding| *encoding != expected);
            for found in others {
                if self.scheme_would_be_right(with_encoding(scheme, found)) {
                    let (found, expected) = (found.as_str(), expected.as_str());
                    return Some(format!("right, but {found} where {expected} is expected"));
                }
            }
        }
        self.prefixed(prefix(scheme)?)
    }

    /// Without the prefix, or with that of another scheme, such as `sha256=` or `v1=`.
    fn prefixed(&self, expected: &str) -> Option<String> {
        let scheme = &self.signature.scheme;
        let encodings = match encoding(scheme) {
            Some(_) if !expected.is_empty() => Encoding::ALL.map(Some).to_vec(),
            _ => vec![None],
        };
        for encoding in encodings.into_iter().filter(|_| !expected.is_empty()) {
            let written = encoding.map(|encoding| with_encoding(scheme, encoding));
            if self.scheme_would_be_right(with_prefix(written.as_ref().unwrap_or(scheme), "")) {
                return Some(format!("right, but without the prefix `{expected}`"));
            }
        }
        let found = PREFIXES.into_iter().filter(|prefix| *prefix != expected);
        let found = found
            .into_iter()
            .find(|prefix| self.scheme_would_be_right(with_prefix(scheme, prefix)))?;
        let expected = match expected {
            "" => "no prefix".to_owned(),
            expected => format!("`{expected}`"),
        };
        Some(format!("right, but `{found}` where {expected} is expected"))
    }

    fn scheme_would_be_right(&self, scheme: Scheme) -> bool {
        let signature = Signature { scheme, ..self.signature.clone() };
        FailedVerification { signature: &signature, ..*self }.would_be_right()
    }

    /// With `+` for the spaces of the query, or of a form whose field is the proof.
    fn plus(&self) -> Option<String> {
        let query = self.presented.query.map(|query| query.replace('+', "%2B"));
        let body = match &self.signature.scheme {
            Scheme::Token { .. } => Cow::Owned(with_plus_signs(self.presented.body)),
            _ => Cow::Borrowed(self.presented.body),
        };
        if query.as_deref() == self.presented.query && *body == *self.presented.body {
            return None;
        }
        let presented = SignedRequest { query: query.as_deref(), body: &body, ..*self.presented };
        let hint = "right, but with `+`, which is a space in a URL or a form: write %2B";
        FailedVerification { presented: &presented, ..*self }
            .would_be_right()
            .then(|| hint.to_owned())
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
        FailedVerification { keys: &keys, ..*self }.would_be_right()
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
                let presented = SignedRequest { body: changed, ..*self.presented };
                FailedVerification { presented: &presented, ..*self }.would_be_right()
            }
        });
        right.map(|(_, hint)| hint.to_owned())
    }
}

fn with_plus_signs(form: &[u8]) -> Vec<u8> {
    form.split(|byte| *byte == b'+').collect::<Vec<_>>().join(b"%2B".as_slice())
}

/// What signatures and tokens begin with elsewhere.
const PREFIXES: [&str; 8] =
    ["sha256=", "sha1=", "sha512=", "v0=", "v1=", "v1,", "hmac-sha256=", "Bearer "];

/// How the scheme's digest is written, where it has one.
fn encoding(scheme: &Scheme) -> Option<Encoding> {
    match scheme {
        Scheme::Seal(seal) => Some(seal.encoding),
        Scheme::Jwt(jwt) => jwt.body_hash.as_ref().map(|hash| hash.encoding),
        Scheme::Token { .. } | Scheme::Basic | Scheme::None => None,
    }
}

fn with_encoding(scheme: &Scheme, encoding: Encoding) -> Scheme {
    match scheme {
        Scheme::Seal(seal) => Scheme::Seal(MessageSignature { encoding, ..seal.clone() }),
        Scheme::Jwt(jwt) => {
            let hash = jwt.body_hash.clone().map(|hash| HashClaim { encoding, ..hash });
            Scheme::Jwt(Jwt { body_hash: hash, ..jwt.clone() })
        }
        Scheme::Token { .. } | Scheme::Basic | Scheme::None => scheme.clone(),
    }
}

fn prefix(scheme: &Scheme) -> Option<&str> {
    match scheme {
        Scheme::Seal(seal) => Some(&seal.prefix),
        Scheme::Jwt(jwt) => Some(&jwt.prefix),
        Scheme::Token { prefix, .. } => Some(prefix),
        Scheme::Basic | Scheme::None => None,
    }
}

fn with_prefix(scheme: &Scheme, prefix: &str) -> Scheme {
    let prefix = prefix.to_owned();
    match scheme {
        Scheme::Seal(seal) => Scheme::Seal(MessageSignature { prefix, ..seal.clone() }),
        Scheme::Jwt(jwt) => Scheme::Jwt(Jwt { prefix, ..jwt.clone() }),
        Scheme::Token { places, .. } => Scheme::Token { places: places.clone(), prefix },
        Scheme::Basic | Scheme::None => scheme.clone(),
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
mod tests;
