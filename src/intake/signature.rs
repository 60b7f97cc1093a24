//! Whether a request is from its source: verify and sign, in constant time. Pure.

mod timestamp;
mod body_field;
mod signed_message;
mod key_pair;
mod location;
mod message_signature;
mod message_template;
mod digest;
mod disguise;
mod encoding;
mod jwt;
mod key;
mod keyring;
mod url;
mod weakness;

use std::borrow::Cow;

use data_encoding::BASE64;
use jiff::Timestamp;
use jiff::civil::Date;
use secrecy::SecretString;

use super::payload;
use crate::event::Headers;
pub use body_field::BodyField;
pub use digest::Algorithm;
pub use encoding::Encoding;
pub use jwt::{HashClaim, Jwt};
pub use key::{InvalidSecret, Key, SecretEncoding, SecretFormat, SigningKey};
pub use key_pair::Curve;
pub use keyring::{Keyring, Tries};
pub use location::CredentialLocation;
pub use message_signature::{MessageSignature, SigningMethod};
pub use message_template::{MessagePart, MessageTemplate};
pub use timestamp::{TimestampLocation, TimestampRule, TimestampUnit};
pub use url::with_parameters;

/// How the requests of a source prove that they are from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub scheme: Scheme,
    pub secret: SecretFormat,
    /// Whether the body counts as it was before it was compressed.
    pub decompressed: bool,
    /// What it leaves open, as whoever described it says.
    pub weak: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// Something that only who has the secret can compute over the request.
    Seal(MessageSignature),
    /// A token that only who has the secret can make; it covers no body.
    Jwt(Jwt),
    /// The secret itself, in any of the places.
    Token { places: Vec<CredentialLocation>, prefix: String },
    /// User and password of HTTP basic authentication; the secret is `user:password`.
    Basic,
    /// No proof at all.
    None,
}

/// What of a request a proof may lie in or cover.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'r> {
    pub method: &'r str,
    /// The address as the provider knows it, with its query; none if it is not configured.
    pub url: Option<&'r str>,
    pub query: Option<&'r str>,
    pub headers: &'r Headers,
    pub body: &'r [u8],
}

/// Says nothing of what was expected. In order: the later ones are nearer to a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum VerifyError {
    #[error("the signature is missing")]
    Missing,
    #[error("the signature is wrong")]
    Mismatch,
    #[error("the signature is right, but its time is missing or cannot be read")]
    UnreadableTime,
    #[error("the signature is outside its time window")]
    OutsideTolerance,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the header {0} is signed and not given")]
    NoHeader(String),
    #[error("the URL is signed and not known")]
    NoUrl,
    #[error("the parameter {0} is signed and not given")]
    NoParameter(String),
    #[error("the body has no room for what is signed")]
    NoField,
    #[error("the key is not of the kind that signs here")]
    WrongKey,
}

/// What `sign` adds to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignedParts {
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    /// The body with what was put into it, where that is where it has to be.
    pub body: Option<Vec<u8>>,
}

impl SignedParts {
    /// With what another one adds behind it.
    #[must_use]
    pub fn and(mut self, other: SignedParts) -> SignedParts {
        self.headers.extend(other.headers);
        self.query.extend(other.query);
        self.body = other.body.or(self.body);
        self
    }
}

impl Signature {
    /// Gives the position of the secret that matched; none where no secret is asked for.
    pub fn verify(
        &self,
        keys: &[Key],
        presented: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<Option<usize>, VerifyError> {
        self.verify_with(&Keyring::new(keys, now, &Tries::unlimited()), presented)
    }

    /// The same, with no more tries than the keyring has.
    pub fn verify_with(
        &self,
        keyring: &Keyring<'_>,
        presented: &SignedRequest<'_>,
    ) -> Result<Option<usize>, VerifyError> {
        let keys = &keyring.keys;
        let matched = match &self.scheme {
            Scheme::Seal(seal) => seal.verify(keyring, presented)?,
            Scheme::Jwt(jwt) => jwt.verify(keyring, presented)?,
            Scheme::Token { places, prefix } => verify_token(places, prefix, keys, presented)?,
            Scheme::Basic => verify_basic(keys, presented)?,
            Scheme::None => return Ok(None),
        };
        Ok(Some(matched))
    }

    /// Returns which part of the proof is missing where `verify` reports that, and another part is there or the body
    /// cannot be searched for it. It names what the source's file names, and repeats nothing of the request. The
    /// body is read once or twice, without cryptography.
    pub(super) fn missing_part(&self, presented: &SignedRequest<'_>) -> Option<String> {
        let part = match &self.scheme {
            Scheme::Seal(seal) => seal.missing_part(presented),
            Scheme::Jwt(jwt) => jwt.missing_part(presented),
            Scheme::Token { .. } | Scheme::Basic | Scheme::None => None,
        };
        part.or_else(|| self.places().iter().find_map(|place| place.obstacle(presented)))
    }

    /// What a provider would add to the request.
    pub fn sign(
        &self,
        key: &SigningKey,
        presented: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<SignedParts, SignError> {
        let secret = || key.secret().ok_or(SignError::WrongKey);
        match &self.scheme {
            Scheme::Seal(seal) => seal.sign(key, presented, now),
            Scheme::Jwt(jwt) => jwt.sign(key, presented, now),
            Scheme::Token { places, prefix } => {
                let token = format!("{prefix}{}", String::from_utf8_lossy(secret()?));
                let place = places.first().ok_or(SignError::NoField)?;
                place.stamp(token, presented)
            }
            Scheme::Basic => {
                let written = format!("Basic {}", BASE64.encode(secret()?));
                CredentialLocation::Header("authorization".to_owned()).stamp(written, presented)
            }
            Scheme::None => Ok(SignedParts::default()),
        }
    }

    /// To verify with: the secret, or the public key.
    pub fn key(
        &self,
        secret: &SecretString,
        until: Option<Date>,
        position: usize,
    ) -> Result<Key, InvalidSecret> {
        self.secret.key(secret, until, position)
    }

    /// To sign with: the secret, or the private key.
    pub fn signing_key(&self, secret: &SecretString) -> Result<SigningKey, InvalidSecret> {
        self.secret.signing_key(secret)
    }

    /// A secret for a trial, and what signs for it: the same, or its private key. None where the
    /// seed happens to be no key.
    pub fn invent(&self, seed: &[u8; 32]) -> Option<(SecretString, SecretString)> {
        self.secret.invent(seed)
    }

    /// The body that the proof covers; none if it cannot be decompressed, or to no more bytes than these.
    pub fn covered<'b>(
        &self,
        headers: &Headers,
        body: &'b [u8],
        bytes_max: usize,
    ) -> Option<Cow<'b, [u8]>> {
        if !self.decompressed {
            return Some(Cow::Borrowed(body));
        }
        payload::decompressed(headers, body, bytes_max).ok()
    }

    /// Overwrites the proof where it lies in the body, which keeps its length.
    pub fn redact(&self, headers: &Headers, body: &mut [u8]) {
        for place in self.places() {
            if let CredentialLocation::Field(field) = place {
                field.ranges(headers, body).into_iter().for_each(|range| body[range].fill(b'*'));
            }
        }
    }

    /// What the proof leaves open, in words for the people who run the relay.
    pub fn weaknesses(&self) -> Vec<&str> {
        weakness::of(self)
    }

    /// Whether requests prove anything.
    pub fn asks_for_secret(&self) -> bool {
        match self.scheme {
            Scheme::Seal(_) | Scheme::Jwt(_) | Scheme::Token { .. } | Scheme::Basic => true,
            Scheme::None => false,
        }
    }

    /// Whether the public address has to be configured.
    pub fn covers_url(&self) -> bool {
        matches!(&self.scheme, Scheme::Seal(seal) if seal.message.contains(&MessagePart::Url))
    }

    /// Whether the proof would have to be in the headers or the query, and is not there.
    pub(super) fn is_missing_before_body(&self, presented: &SignedRequest<'_>) -> bool {
        let is_there = |place: &CredentialLocation| {
            matches!(place, CredentialLocation::Field(_)) || !place.values(presented).is_empty()
        };
        match &self.scheme {
            Scheme::Seal(_) | Scheme::Jwt(_) | Scheme::Token { .. } => {
                !self.places().iter().any(is_there)
            }
            Scheme::Basic => !presented.headers.contains_key("authorization"),
            Scheme::None => false,
        }
    }

    /// Whether verifying is work for elliptic curves: a hundred times that of a digest.
    pub(super) fn has_public_key(&self) -> bool {
        matches!(&self.scheme, Scheme::Seal(seal) if seal.method == SigningMethod::KeyPair)
    }

    /// The headers that carry the proof, by lower-case name.
    pub fn proof_headers(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for place in self.places() {
            match place {
                CredentialLocation::Header(name) => names.push(name.as_str()),
                CredentialLocation::Query(_)
                | CredentialLocation::Bearer
                | CredentialLocation::Field(_) => {}
            }
        }
        names
    }

    pub(super) fn has_several_places(&self) -> bool {
        self.places().len() > 1
    }

    fn places(&self) -> &[CredentialLocation] {
        match &self.scheme {
            Scheme::Seal(seal) => &seal.places,
            Scheme::Jwt(jwt) => &jwt.places,
            Scheme::Token { places, .. } => places,
            Scheme::Basic | Scheme::None => &[],
        }
    }
}

/// The first of these that is right; else what comes nearest to it.
fn any_of(
    given: &[String],
    mut verify: impl FnMut(&str) -> Result<usize, VerifyError>,
) -> Result<usize, VerifyError> {
    let mut nearest = VerifyError::Missing;
    for one in given {
        match verify(one) {
            Ok(position) => return Ok(position),
            Err(unproven) => nearest = nearest.max(unproven),
        }
    }
    Err(nearest)
}

fn verify_token(
    places: &[CredentialLocation],
    prefix: &str,
    keys: &[&Key],
    presented: &SignedRequest<'_>,
) -> Result<usize, VerifyError> {
    let given: Vec<String> = places.iter().flat_map(|place| place.values(presented)).collect();
    if given.is_empty() {
        return Err(VerifyError::Missing);
    }
    let tokens = given.iter().filter_map(|value| value.strip_prefix(prefix));
    matching(keys, tokens.map(str::as_bytes))
}

fn verify_basic(keys: &[&Key], presented: &SignedRequest<'_>) -> Result<usize, VerifyError> {
    let written = presented.headers.get("authorization").ok_or(VerifyError::Missing)?;
    let credentials = location::after_word(written, "basic").ok_or(VerifyError::Mismatch)?;
    let given = Encoding::Base64.decode(credentials).ok_or(VerifyError::Mismatch)?;
    matching(keys, std::iter::once(given.as_slice()))
}

/// Compares each with each, in a time that does not depend on where they differ.
fn matching<'g>(
    keys: &[&Key],
    given: impl Iterator<Item = &'g [u8]>,
) -> Result<usize, VerifyError> {
    let mut matched = Err(VerifyError::Mismatch);
    for value in given {
        for key in keys {
            if key.is(value) {
                matched = Ok(key.position);
            }
        }
    }
    matched
}

#[cfg(test)]
mod tests;
