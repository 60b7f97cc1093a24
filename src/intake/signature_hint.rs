//! Hints at the probable cause of a wrong signature: for the operator, never for the response.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use super::payload;
use super::request::BufferedRequest;
use super::signature::{
    CredentialLocation, Encoding, HashClaim, Jwt, Key, Keyring, MessageSignature, Scheme,
    Signature, SignedRequest, TimestampRule, TimestampUnit, Tries, VerifyError,
};
use super::source::Source;

/// Larger bodies are not diagnosed: each try reads the whole body.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Tries of one diagnosis, which ends within about 60 ms.
// Enough for all 26 changes with two secrets and three URLs. A try costs at most 0.4 ms in a
// release build (P-256 over 64 KiB; HMAC-SHA512 0.14 ms).
const TRIES_MAX: usize = 160;

/// Diagnoses wrong signatures and times, one at a time, on a blocking thread.
// Anybody can cause a diagnosis: several at once, or on the threads that answer requests, would
// slow down signed webhooks.
#[derive(Debug)]
pub(super) struct Diagnoses(Arc<Semaphore>);

impl Default for Diagnoses {
    fn default() -> Diagnoses {
        Diagnoses(Arc::new(Semaphore::new(1)))
    }
}

impl Diagnoses {
    /// Returns the change that makes a wrong signature valid. Returns none for a large body, and while another
    /// request is diagnosed.
    pub(super) async fn mismatch(
        &self,
        arrived: BufferedRequest,
        signed_url: Option<String>,
    ) -> Option<String> {
        if arrived.body.bytes.len() > BODY_BYTES_MAX {
            return None;
        }
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        run(permit, move || diagnose(&arrived, signed_url.as_deref())).await
    }

    /// Describes what is wrong with the time of a valid signature, once no other request is diagnosed.
    // Waits, unlike `mismatch`: these signatures are made with the secret, and are few.
    pub(super) async fn time(
        &self,
        arrived: BufferedRequest,
        signed_url: Option<String>,
        error: VerifyError,
    ) -> Option<String> {
        let permit = Arc::clone(&self.0).acquire_owned().await.ok()?;
        run(permit, move || time(&arrived, signed_url.as_deref(), error)).await
    }
}

async fn run(
    permit: OwnedSemaphorePermit,
    work: impl FnOnce() -> Option<String> + Send + 'static,
) -> Option<String> {
    let work = move || {
        // Moved into the closure: the thread cannot be cancelled, so it must hold the permit even
        // if the sender disconnects. Otherwise a second diagnosis would start beside it.
        let _permit = permit;
        work()
    };
    spawn_blocking(work).await.ok().flatten()
}

fn diagnose(arrived: &BufferedRequest, signed_url: Option<&str>) -> Option<String> {
    let webhook = arrived.as_webhook();
    let Source { signature, keys, .. } = webhook.source;
    let covered = webhook.covered(BODY_BYTES_MAX).unwrap_or_default();
    let request = SignedRequest { body: &covered, ..webhook.signed_request(signed_url) };
    let tries = &Tries::at_most(TRIES_MAX);
    let failed = FailedVerification { signature, keys, request: &request, now: arrived.now, tries };
    failed.hint().or_else(|| compressed(&failed, arrived)).or_else(|| match &signature.scheme {
        Scheme::Message(seal) => seal.absent_field(&request),
        Scheme::Jwt(_) | Scheme::Token { .. } | Scheme::Basic | Scheme::None => None,
    })
}

/// Tries the other form of the body: compressed, or before compression.
fn compressed(failed: &FailedVerification<'_>, arrived: &BufferedRequest) -> Option<String> {
    let sent = &arrived.body.bytes;
    let inflated = payload::decompressed(&arrived.headers, sent, BODY_BYTES_MAX).ok()?;
    let (Cow::Owned(inflated), expects_inflated) = (inflated, failed.signature.decompressed) else {
        return None;
    };
    let body = if expects_inflated { sent } else { &inflated };
    let request = SignedRequest { body, ..*failed.request };
    let is_right = FailedVerification { request: &request, ..*failed }.would_be_right();
    let hint = if expects_inflated {
        "right over the compressed body: leave `decompressed` out"
    } else {
        "right over the body before it was compressed: set decompressed = true"
    };
    is_right.then(|| hint.to_owned())
}

/// Describes what is wrong with the time of a valid signature. Returns none for a large body with several places
/// for the signature.
fn time(arrived: &BufferedRequest, signed_url: Option<&str>, error: VerifyError) -> Option<String> {
    let webhook = arrived.as_webhook();
    let Source { signature, keys, .. } = webhook.source;
    let body = webhook.covered(arrived.body.bytes.len().max(BODY_BYTES_MAX))?;
    // With several places, each is verified again to find the one whose time it is.
    if body.len() > BODY_BYTES_MAX && signature.scheme.has_several_places() {
        return None;
    }
    let request = &SignedRequest { body: &body, ..webhook.signed_request(signed_url) };
    let tries = &Tries::at_most(TRIES_MAX);
    FailedVerification { signature, keys, request, now: arrived.now, tries }.time(error)
}

/// Describes which part of an incomplete signature is missing. Returns none for a large body.
pub(super) fn missing(arrived: &BufferedRequest, signed_url: Option<&str>) -> Option<String> {
    if arrived.body.bytes.len() > BODY_BYTES_MAX {
        return None;
    }
    let webhook = arrived.as_webhook();
    let body = webhook.covered(BODY_BYTES_MAX)?;
    let request = SignedRequest { body: &body, ..webhook.signed_request(signed_url) };
    webhook.source.signature.scheme.missing_part(&request)
}

/// Returns a hint if the time is within the window in another unit.
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

/// A failed verification that is repeated with one change at a time.
#[derive(Debug, Clone, Copy)]
struct FailedVerification<'r> {
    signature: &'r Signature,
    keys: &'r [Key],
    request: &'r SignedRequest<'r>,
    now: Timestamp,
    tries: &'r Tries,
}

impl FailedVerification<'_> {
    /// Hint for a valid signature with an invalid time.
    fn time(&self, error: VerifyError) -> Option<String> {
        let Scheme::Message(seal) = &self.signature.scheme else {
            let is_unread = error == VerifyError::UnreadableTime;
            return is_unread
                .then(|| "right, but its `exp` or `nbf` is no number of seconds".to_owned());
        };
        let clock = seal.clock.as_ref()?;
        let Some(time) = self.stated(seal, error) else {
            return Some("right, but it has no time where `timestamp` says".to_owned());
        };
        let hint = in_another_unit(clock, &time, self.now)
            .or_else(|| clock.unit.read(&time).map(|signed_at| late(signed_at, self.now)));
        // Without the time itself, since the hint is kept: it may come from the body.
        hint.or_else(|| {
            Some(format!("right, but its time cannot be read as {}", clock.unit.as_str()))
        })
    }

    /// Returns the time of the signature that is otherwise valid; other places may have invalid ones.
    fn stated(&self, seal: &MessageSignature, error: VerifyError) -> Option<String> {
        if !self.signature.scheme.has_several_places() {
            return seal.times(self.request).pop();
        }
        let alone = |place: &CredentialLocation| MessageSignature {
            places: vec![place.clone()],
            ..seal.clone()
        };
        let keyring = Keyring::new(self.keys, self.now, self.tries);
        let is_right = |seal: &MessageSignature| {
            let signature =
                Signature { scheme: Scheme::Message(seal.clone()), ..self.signature.clone() };
            signature.verify_with(&keyring, self.request) == Err(error)
        };
        let right = seal.places.iter().map(alone).find(is_right)?;
        right.times(self.request).pop()
    }

    fn hint(&self) -> Option<String> {
        // Cheap changes that are frequent mistakes first: the tries may run out. The changed
        // bodies, each a copy, are last.
        self.form().or_else(|| self.plus()).or_else(|| self.secret()).or_else(|| self.body())
    }

    /// Returns whether the signature is valid, with or without a valid time.
    fn would_be_right(&self) -> bool {
        if self.tries.left() == 0 {
            return false;
        }
        let keyring = Keyring::new(self.keys, self.now, self.tries);
        match self.signature.verify_with(&keyring, self.request) {
            Ok(_) | Err(VerifyError::UnreadableTime | VerifyError::OutsideTolerance) => true,
            Err(VerifyError::Missing | VerifyError::Mismatch) => false,
        }
    }

    /// Tries other encodings and prefixes.
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

    /// Tries without the prefix, and with those of other providers.
    fn prefixed(&self, expected: &str) -> Option<String> {
        let scheme = &self.signature.scheme;
        // Without the prefix the encoding may be another one too: hex follows GitHub's `sha256=`,
        // base64 follows Typeform's.
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

    /// Tries `+` as itself instead of a space, in the query and in a form that holds a token.
    fn plus(&self) -> Option<String> {
        // Base64 secrets contain `+`, which means a space in a query unless it is escaped.
        let query = self.request.query.map(|query| query.replace('+', "%2B"));
        let body = match &self.signature.scheme {
            Scheme::Token { .. } => Cow::Owned(with_plus_signs(self.request.body)),
            _ => Cow::Borrowed(self.request.body),
        };
        if query.as_deref() == self.request.query && *body == *self.request.body {
            return None;
        }
        let request = SignedRequest { query: query.as_deref(), body: &body, ..*self.request };
        let hint = "right, but with `+`, which is a space in a URL or a form: write %2B";
        FailedVerification { request: &request, ..*self }.would_be_right().then(|| hint.to_owned())
    }

    fn secret(&self) -> Option<String> {
        // `echo secret > file`, and copying from a web page, add these.
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

    /// Tries usual changes of the body on its way.
    fn body(&self) -> Option<String> {
        // On bytes, without a parser: the body is not authenticated.
        let body = self.request.body;
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
                let request = SignedRequest { body: changed, ..*self.request };
                FailedVerification { request: &request, ..*self }.would_be_right()
            }
        });
        right.map(|(_, hint)| hint.to_owned())
    }
}

fn with_plus_signs(form: &[u8]) -> Vec<u8> {
    form.split(|byte| *byte == b'+').collect::<Vec<_>>().join(b"%2B".as_slice())
}

/// Prefixes of signatures and tokens that providers use.
const PREFIXES: [&str; 8] =
    ["sha256=", "sha1=", "sha512=", "v0=", "v1=", "v1,", "hmac-sha256=", "Bearer "];

/// Returns the encoding of the scheme's digest, if it has one.
fn encoding(scheme: &Scheme) -> Option<Encoding> {
    match scheme {
        Scheme::Message(seal) => Some(seal.encoding),
        Scheme::Jwt(jwt) => jwt.body_hash.as_ref().map(|hash| hash.encoding),
        Scheme::Token { .. } | Scheme::Basic | Scheme::None => None,
    }
}

fn with_encoding(scheme: &Scheme, encoding: Encoding) -> Scheme {
    match scheme {
        Scheme::Message(seal) => Scheme::Message(MessageSignature { encoding, ..seal.clone() }),
        Scheme::Jwt(jwt) => {
            let hash = jwt.body_hash.clone().map(|hash| HashClaim { encoding, ..hash });
            Scheme::Jwt(Jwt { body_hash: hash, ..jwt.clone() })
        }
        Scheme::Token { .. } | Scheme::Basic | Scheme::None => scheme.clone(),
    }
}

fn prefix(scheme: &Scheme) -> Option<&str> {
    match scheme {
        Scheme::Message(seal) => Some(&seal.prefix),
        Scheme::Jwt(jwt) => Some(&jwt.prefix),
        Scheme::Token { prefix, .. } => Some(prefix),
        Scheme::Basic | Scheme::None => None,
    }
}

fn with_prefix(scheme: &Scheme, prefix: &str) -> Scheme {
    let prefix = prefix.to_owned();
    match scheme {
        Scheme::Message(seal) => Scheme::Message(MessageSignature { prefix, ..seal.clone() }),
        Scheme::Jwt(jwt) => Scheme::Jwt(Jwt { prefix, ..jwt.clone() }),
        Scheme::Token { places, .. } => Scheme::Token { places: places.clone(), prefix },
        Scheme::Basic | Scheme::None => scheme.clone(),
    }
}

/// Rewrites JSON with only `space` after `,` and `:`, as frameworks do that parse and serialize a body.
fn spaced(body: &[u8], space: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(body.len());
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in body {
        if in_string || !byte.is_ascii_whitespace() {
            written.push(*byte);
        }
        if !in_string && matches!(byte, b',' | b':') {
            written.extend_from_slice(space);
        }
        if *byte == b'"' && !is_escaped {
            in_string = !in_string;
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    written
}

/// Rewrites JSON without spaces, and with `/` for `\/`, which PHP escapes.
fn unescaped(body: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(body.len());
    // The state of the escape is carried along: looking back from each byte would be quadratic, and
    // an unauthenticated body of backslashes took 10 s.
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
