//! The schemes by which requests are authenticated.

use data_encoding::BASE64;
use jiff::Timestamp;

use super::encoding::Encoding;
use super::jwt::Jwt;
use super::key::{Key, SigningKey};
use super::keyring::Keyring;
use super::location::{CredentialLocation, after_word};
use super::message_signature::{MessageSignature, SigningMethod};
use super::request::{SignError, SignedParts, SignedRequest, VerifyError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheme {
    /// A signature over the request.
    Message(MessageSignature),
    /// A signed token; it covers the body only by a claim with its hash.
    Jwt(Jwt),
    /// The secret itself, in any of the places.
    Token { places: Vec<CredentialLocation>, prefix: String },
    /// HTTP basic authentication (RFC 7617); the secret is `user:password`.
    Basic,
    /// No authentication.
    None,
}

impl Scheme {
    /// Returns the position of the key that matched; none if the scheme needs no secret.
    pub(super) fn verify(
        &self,
        keyring: &Keyring<'_>,
        request: &SignedRequest<'_>,
    ) -> Result<Option<usize>, VerifyError> {
        let keys = &keyring.keys;
        let matched = match self {
            Scheme::Message(seal) => seal.verify(keyring, request)?,
            Scheme::Jwt(jwt) => jwt.verify(keyring, request)?,
            Scheme::Token { places, prefix } => verify_token(places, prefix, keys, request)?,
            Scheme::Basic => verify_basic(keys, request)?,
            Scheme::None => return Ok(None),
        };
        Ok(Some(matched))
    }

    /// Describes the missing part of an incomplete signature, or why the body cannot be searched for it, in the words of
    /// the source's file. Reads the body once or twice, without cryptography, and quotes nothing of the request.
    pub(in crate::intake) fn missing_part(&self, request: &SignedRequest<'_>) -> Option<String> {
        let part = match self {
            Scheme::Message(seal) => seal.missing_part(request),
            Scheme::Jwt(jwt) => jwt.missing_part(request),
            Scheme::Token { .. } | Scheme::Basic | Scheme::None => None,
        };
        part.or_else(|| self.places().iter().find_map(|place| place.obstacle(request)))
    }

    /// Returns what a provider would add to the request.
    pub(super) fn sign(
        &self,
        key: &SigningKey,
        request: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<SignedParts, SignError> {
        let secret = || key.secret().ok_or(SignError::WrongKey);
        match self {
            Scheme::Message(seal) => seal.sign(key, request, now),
            Scheme::Jwt(jwt) => jwt.sign(key, request, now),
            Scheme::Token { places, prefix } => {
                let token = format!("{prefix}{}", String::from_utf8_lossy(secret()?));
                let place = places.first().ok_or(SignError::NoField)?;
                place.write(token, request)
            }
            Scheme::Basic => {
                let written = format!("Basic {}", BASE64.encode(secret()?));
                CredentialLocation::Header("authorization".to_owned()).write(written, request)
            }
            Scheme::None => Ok(SignedParts::default()),
        }
    }

    /// Returns whether the credential belongs in the headers or the query and is absent there.
    pub(in crate::intake) fn is_missing_before_body(&self, request: &SignedRequest<'_>) -> bool {
        let is_there = |place: &CredentialLocation| {
            matches!(place, CredentialLocation::Field(_)) || !place.values(request).is_empty()
        };
        match self {
            Scheme::Message(_) | Scheme::Jwt(_) | Scheme::Token { .. } => {
                !self.places().iter().any(is_there)
            }
            Scheme::Basic => !request.headers.contains_key("authorization"),
            Scheme::None => false,
        }
    }

    /// Returns whether verification uses elliptic curves, which cost a hundred times as much as a digest.
    pub(in crate::intake) fn has_public_key(&self) -> bool {
        matches!(self, Scheme::Message(seal) if seal.method == SigningMethod::KeyPair)
    }

    pub(in crate::intake) fn has_several_places(&self) -> bool {
        self.places().len() > 1
    }

    pub(super) fn places(&self) -> &[CredentialLocation] {
        match self {
            Scheme::Message(seal) => &seal.places,
            Scheme::Jwt(jwt) => &jwt.places,
            Scheme::Token { places, .. } => places,
            Scheme::Basic | Scheme::None => &[],
        }
    }
}

fn verify_token(
    places: &[CredentialLocation],
    prefix: &str,
    keys: &[&Key],
    request: &SignedRequest<'_>,
) -> Result<usize, VerifyError> {
    // All values, not only the first of each place: a comparison is cheap.
    let values: Vec<String> = places.iter().flat_map(|place| place.values(request)).collect();
    if values.is_empty() {
        return Err(VerifyError::Missing);
    }
    let tokens = values.iter().filter_map(|value| value.strip_prefix(prefix));
    matching(keys, tokens.map(str::as_bytes))
}

fn verify_basic(keys: &[&Key], request: &SignedRequest<'_>) -> Result<usize, VerifyError> {
    let written = request.headers.get("authorization").ok_or(VerifyError::Missing)?;
    let credentials = after_word(written, "basic").ok_or(VerifyError::Mismatch)?;
    let credentials = Encoding::Base64.decode(credentials).ok_or(VerifyError::Mismatch)?;
    matching(keys, std::iter::once(credentials.as_slice()))
}

/// Compares all values with all keys in constant time.
fn matching<'v>(
    keys: &[&Key],
    values: impl Iterator<Item = &'v [u8]>,
) -> Result<usize, VerifyError> {
    let mut matched = Err(VerifyError::Mismatch);
    for value in values {
        for key in keys {
            if key.matches(value) {
                matched = Ok(key.position);
            }
        }
    }
    matched
}
