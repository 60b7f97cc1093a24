//! Signatures that are computed over a request: their list, their message and their time window.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::body_field::BodyField;
use super::digest::Algorithm;
use super::encoding::Encoding;
use super::key::SigningKey;
use super::keyring::Keyring;
use super::location::CredentialLocation;
use super::message_template::{MessagePart, MessageTemplate};
use super::request::{SignError, SignedParts, SignedRequest, VerifyError, any_of};
use super::signed_message::{MessageValues, SignedMessage, is_form};
use super::timestamp::{TimestampLocation, TimestampRule};
use super::url::{decoded, with_any_port, with_parameters};

/// Signatures of a list that are compared. Providers send one for each of their current secrets, of which there
/// are a few.
const SIGNATURES_MAX: usize = 16;

/// Signatures of a list that are verified with a public key.
// Each reads the message again: 0.4 ms for 64 KiB with P-256, 11 ms for 5 MiB with Ed25519,
// measured in a release build. The sender decides how long the list is.
const VERIFIED_MAX: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSignature {
    pub method: SigningMethod,
    /// Places of the signature; each is tried.
    pub places: Vec<CredentialLocation>,
    /// Separator of a list of signatures, any of which may match.
    pub separator: Option<String>,
    /// Prefix of each signature; parts of a list without it are skipped.
    pub prefix: String,
    pub encoding: Encoding,
    pub message: MessageTemplate,
    /// Whether the URL may have been signed with its default port or without a port (Twilio).
    pub any_port: bool,
    /// Characters whose escapes in the URL may have been decoded before it was signed (HubSpot).
    pub url_decoded: String,
    /// Place of the body's SHA-256 in hex, which the message covers instead of the body.
    pub body_hash: Option<CredentialLocation>,
    /// The headers that may carry `{id}`, by lower-case name.
    pub id: Vec<String>,
    pub clock: Option<TimestampRule>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningMethod {
    Hmac(Algorithm),
    /// A plain digest of a message that contains the secret (HubSpot v1 and v2).
    Hash(Algorithm),
    /// A private key; the configured secret is its public key.
    KeyPair,
}

impl MessageSignature {
    pub(super) fn verify(
        &self,
        keyring: &Keyring<'_>,
        request: &SignedRequest<'_>,
    ) -> Result<usize, VerifyError> {
        any_of(&self.written(request), |written| self.check(written, keyring, request))
    }

    /// Verifies the value of one place.
    fn check(
        &self,
        written: &str,
        keyring: &Keyring<'_>,
        request: &SignedRequest<'_>,
    ) -> Result<usize, VerifyError> {
        if !self.has_own_part(written) {
            return Err(VerifyError::Missing);
        }
        let timestamp = self.timestamp(written, request);
        let signatures = self.signatures(written);
        let mut matched = Err(VerifyError::Mismatch);
        // All URLs and keys are tried even after a match, so that the time tells nothing about
        // them.
        for url in self.urls(request) {
            let (timestamp, id) = (timestamp.as_deref(), self.id(request));
            let values = MessageValues { timestamp, id, url: url.as_deref(), request };
            let message =
                SignedMessage::new(&self.message, &values).map_err(|_| VerifyError::Missing)?;
            if let Some(position) = self.method.matching(keyring, &message, &signatures) {
                matched = Ok(position);
            }
        }
        // The time is checked last: only a sender with the secret learns whether it is wrong.
        let position = matched?;
        self.check_body(request)?;
        if let Some(clock) = &self.clock {
            clock.check(timestamp.as_deref(), keyring.now)?;
        }
        Ok(position)
    }

    /// Describes the part that is missing beside a signature that is present.
    pub(super) fn missing_part(&self, request: &SignedRequest<'_>) -> Option<String> {
        let lists = self.written(request);
        let Some(written) = lists.iter().find(|written| self.has_own_part(written)) else {
            let hint = || format!("its list has no part `{}`", self.prefix);
            return (!lists.is_empty()).then(hint);
        };
        let (timestamp, id) = (self.timestamp(written, request), self.id(request));
        let (timestamp, url) = (timestamp.as_deref(), request.url);
        let values = MessageValues { timestamp, id, url, request };
        let message = SignedMessage::new(&self.message, &values);
        Some(match message.map(drop) {
            Err(SignError::NoHeader(name)) if name == "timestamp" && timestamp.is_none() => {
                format!("it is there, but not its time: {}", self.time_places())
            }
            Err(SignError::NoHeader(name)) if name == "id" && id.is_none() => {
                let names: Vec<String> =
                    self.id.iter().map(|name| format!("the header {name}")).collect();
                format!("it is there, but not its id: {}", names.join(" or "))
            }
            Err(SignError::NoHeader(name)) => {
                format!("it is there, but not the header {name}, which it covers")
            }
            Err(SignError::NoParameter(name)) => {
                format!("it is there, but not the URL's parameter {name}, which it covers")
            }
            Err(SignError::NoUrl) => {
                "it is there and covers the URL, which is not known: set public_url".to_owned()
            }
            Err(SignError::NoField | SignError::WrongKey) => {
                "it is there, but the body is not one that it can cover".to_owned()
            }
            Ok(()) => format!("right, but without the hash of the body{}", self.hash_place()),
        })
    }

    /// Describes a field of the body that the signature covers, or that has its time, and that is absent. Such a field
    /// counts as empty, so verification reports a wrong signature.
    pub(in crate::intake) fn absent_field(&self, request: &SignedRequest<'_>) -> Option<String> {
        let SignedRequest { headers, body, .. } = *request;
        let is_absent = |field: &BodyField| field.bytes(headers, body).is_none();
        let covered = self.message.parts().iter().find_map(|piece| match piece {
            MessagePart::Field(field) if is_absent(field) => Some(field),
            _ => None,
        });
        if let Some(field) = covered {
            return Some(format!("it covers the field `{field}` of the body, which is not there"));
        }
        let written = self.written(request);
        let has_time = written.iter().any(|written| self.timestamp(written, request).is_some());
        let is_missed = self.clock.is_some() && !has_time;
        is_missed.then(|| format!("its time is not there: {}", self.time_places()))
    }

    fn time_places(&self) -> String {
        let places = self.clock.iter().flat_map(|clock| &clock.places);
        places.map(TimestampLocation::described).collect::<Vec<_>>().join(" or ")
    }

    fn hash_place(&self) -> String {
        match &self.body_hash {
            Some(CredentialLocation::Header(name)) => format!(", the header {name}"),
            Some(CredentialLocation::Query(name)) => format!(", the URL's parameter {name}"),
            Some(CredentialLocation::Bearer | CredentialLocation::Field(_)) | None => String::new(),
        }
    }

    /// Returns the time of each signature as it is written in the request, valid or not.
    pub fn times(&self, request: &SignedRequest<'_>) -> Vec<String> {
        let written = self.written(request);
        let times = written.iter().filter_map(|written| self.timestamp(written, request));
        times.map(Cow::into_owned).collect()
    }

    pub(super) fn sign(
        &self,
        key: &SigningKey,
        request: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<SignedParts, SignError> {
        let mut parts = SignedParts::default();
        let made_id = format!("msg_{}", now.as_microsecond());
        let id = self.id(request).unwrap_or(&made_id);
        if let Some(header) = self.id.first() {
            parts.headers.push((header.clone(), id.to_owned()));
        }
        let time = self.clock.as_ref().map(|clock| clock.unit.write(now));
        // The order matters: the signature covers the time, the time may be in the body, and the
        // hash covers the body.
        let before = self.put_time(time.as_ref(), request, &mut parts)?;
        let timestamp = time.as_ref().map(plain);
        let body = parts.body.clone().unwrap_or_else(|| request.body.to_vec());
        let request = SignedRequest { body: &body, ..*request };
        let hash = self.hash_to_add(&request)?;
        let values = MessageValues {
            timestamp: timestamp.as_deref(),
            id: Some(id),
            url: None,
            request: &request,
        };
        let signature = self.encoding.encode(&self.sign_with(key, &hash, values)?);
        let place = self.places.first().ok_or(SignError::NoField)?;
        let proof = place.write(format!("{before}{}{signature}", self.prefix), &request)?;
        Ok(parts.and(hash).and(proof))
    }

    /// Signs the request as it will be with the hash of its body.
    fn sign_with(
        &self,
        key: &SigningKey,
        hash: &SignedParts,
        values: MessageValues<'_>,
    ) -> Result<Vec<u8>, SignError> {
        let bare = values.request;
        let mut headers = bare.headers.clone();
        headers.extend(hash.headers.iter().cloned());
        let query = format!("?{}", bare.query.unwrap_or_default());
        let query = with_parameters(&query, &hash.query);
        let url = bare.url.map(|url| with_parameters(url, &hash.query));
        let url = url.map(|url| decoded(&url, &self.url_decoded));
        let request = SignedRequest { headers: &headers, query: query.get(1..), ..*bare };
        let values = MessageValues { url: url.as_deref(), request: &request, ..values };
        self.method.sign(key, &SignedMessage::new(&self.message, &values)?)
    }

    /// Adds the time, and returns the part of the signature's header before the signature.
    fn put_time(
        &self,
        time: Option<&Value>,
        request: &SignedRequest<'_>,
        parts: &mut SignedParts,
    ) -> Result<String, SignError> {
        let place = self.clock.as_ref().and_then(|clock| clock.places.first());
        match place.zip(time) {
            Some((TimestampLocation::Header(name), time)) => {
                parts.headers.push((name.clone(), plain(time)));
            }
            Some((TimestampLocation::Part(name), time)) => {
                let separator = self.separator.as_deref().unwrap_or_default();
                return Ok(format!("{name}={}{separator}", plain(time)));
            }
            Some((TimestampLocation::Field(field), time)) => {
                let changed = field.put(request.headers, request.body, time);
                parts.body = Some(changed.ok_or(SignError::NoField)?);
            }
            None => {}
        }
        Ok(String::new())
    }

    /// Returns the hash of the body if it must be added: it is part of the message, or all that covers the body.
    fn hash_to_add(&self, request: &SignedRequest<'_>) -> Result<SignedParts, SignError> {
        let Some(place) = &self.body_hash else { return Ok(SignedParts::default()) };
        let is_part = match place {
            CredentialLocation::Header(name) => {
                self.message.contains(&MessagePart::Header(name.clone()))
            }
            CredentialLocation::Query(name) => {
                self.message.contains(&MessagePart::Query(name.clone()))
            }
            CredentialLocation::Bearer | CredentialLocation::Field(_) => false,
        };
        let is_needed = is_part || (!self.covers_body(request) && !request.body.is_empty());
        if !is_needed || place.first(request).is_some() {
            return Ok(SignedParts::default());
        }
        let hash = Encoding::Hex.encode(&Algorithm::Sha256.hash(&[request.body]));
        place.write(hash, request)
    }

    /// Returns the value of each place.
    fn written(&self, request: &SignedRequest<'_>) -> Vec<String> {
        self.places.iter().filter_map(|place| place.first(request)).collect()
    }

    fn parts<'w>(&self, written: &'w str) -> impl Iterator<Item = &'w str> {
        let parts = match &self.separator {
            Some(separator) => written.split(separator.as_str()).collect(),
            None => vec![written],
        };
        parts.into_iter().map(str::trim)
    }

    /// Returns whether a list has a part with the prefix. Without a separator the whole value is one signature.
    fn has_own_part(&self, written: &str) -> bool {
        self.separator.is_none()
            || self.parts(written).any(|part| part.starts_with(self.prefix.as_str()))
    }

    fn signatures(&self, written: &str) -> Vec<Vec<u8>> {
        let own = self.parts(written).filter_map(|part| part.strip_prefix(self.prefix.as_str()));
        let most =
            if self.method == SigningMethod::KeyPair { VERIFIED_MAX } else { SIGNATURES_MAX };
        own.take(most).filter_map(|part| self.encoding.decode(part)).collect()
    }

    fn id<'r>(&self, request: &SignedRequest<'r>) -> Option<&'r str> {
        self.id.iter().find_map(|name| request.headers.get(name)).map(String::as_str)
    }

    fn timestamp<'r>(&self, written: &'r str, request: &SignedRequest<'r>) -> Option<Cow<'r, str>> {
        self.clock.as_ref()?.written(request, |name| {
            self.parts(written).find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        })
    }

    /// Returns the URLs that may have been signed.
    fn urls(&self, request: &SignedRequest<'_>) -> Vec<Option<String>> {
        let Some(url) = request.url else { return vec![None] };
        let mut urls = if self.any_port { with_any_port(url) } else { vec![url.to_owned()] };
        for at in 0..urls.len() {
            let decoded = decoded(&urls[at], &self.url_decoded);
            if !urls.contains(&decoded) {
                urls.push(decoded);
            }
        }
        urls.into_iter().map(Some).collect()
    }

    fn covers_body(&self, request: &SignedRequest<'_>) -> bool {
        self.message.covers_body()
            || (self.message.contains(&MessagePart::Form) && is_form(request))
    }

    /// Checks the body against its hash. If the message does not cover the body, the hash must be present.
    fn check_body(&self, request: &SignedRequest<'_>) -> Result<(), VerifyError> {
        let stated = self.body_hash.as_ref().and_then(|place| place.first(request));
        if let Some(stated) = stated {
            let actual = Algorithm::Sha256.hash(&[request.body]);
            let fits = Encoding::Hex.decode(&stated).is_some_and(|hash| hash == actual);
            return if fits { Ok(()) } else { Err(VerifyError::Mismatch) };
        }
        // A form's fields cover no body of another type, which would pass without any signature.
        let is_required = self.body_hash.is_some() || self.message.contains(&MessagePart::Form);
        if is_required && !self.covers_body(request) && !request.body.is_empty() {
            return Err(VerifyError::Missing);
        }
        Ok(())
    }
}

impl SigningMethod {
    /// Returns the position of the key with which one of the signatures is valid, in constant time for secrets.
    pub(super) fn matching(
        self,
        keyring: &Keyring<'_>,
        message: &SignedMessage<'_>,
        signatures: &[Vec<u8>],
    ) -> Option<usize> {
        // All keys are compared, without a break at the first that matches, so that the time does
        // not tell which one it is.
        let mut matched = None;
        for key in &keyring.keys {
            let is_right = if let Some(public) =
                key.public().filter(|_| self == SigningMethod::KeyPair)
            {
                let message = message.parts(&[]).concat();
                keyring.any(signatures, |signature| public.verifies(&message, signature))
            } else if let Some(secret) = key.secret().filter(|_| keyring.spend()) {
                self.digest(secret, message).is_some_and(|expected| is_among(&expected, signatures))
            } else {
                false
            };
            if is_right {
                matched = Some(key.position);
            }
        }
        matched
    }

    fn sign(self, key: &SigningKey, message: &SignedMessage<'_>) -> Result<Vec<u8>, SignError> {
        let signature = match (key.private(), key.secret()) {
            (Some(private), _) if self == SigningMethod::KeyPair => {
                Some(private.sign(&message.parts(&[]).concat()))
            }
            (_, Some(secret)) => self.digest(secret, message),
            _ => None,
        };
        signature.ok_or(SignError::WrongKey)
    }

    fn digest(self, secret: &[u8], message: &SignedMessage<'_>) -> Option<Vec<u8>> {
        let message = message.parts(secret);
        match self {
            SigningMethod::Hmac(algorithm) => Some(algorithm.mac(secret, &message)),
            SigningMethod::Hash(algorithm) => Some(algorithm.hash(&message)),
            SigningMethod::KeyPair => None,
        }
    }
}

fn is_among(expected: &[u8], signatures: &[Vec<u8>]) -> bool {
    // No short cut at the first match: that would be visible in the time.
    let right = signatures.iter().map(|signature| expected.ct_eq(signature));
    right.fold(subtle::Choice::from(0), |any, one| any | one).into()
}

/// Formats a time for a header.
fn plain(time: &Value) -> String {
    time.as_str().map_or_else(|| time.to_string(), str::to_owned)
}
