//! The ways in which requests prove that they are from their source.

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

impl Scheme {
    /// Gives the position of the key that matched; none where no secret is asked for.
    pub(super) fn verify(
        &self,
        keyring: &Keyring<'_>,
        presented: &SignedRequest<'_>,
    ) -> Result<Option<usize>, VerifyError> {
        let keys = &keyring.keys;
        let matched = match self {
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
    pub(in crate::intake) fn missing_part(&self, presented: &SignedRequest<'_>) -> Option<String> {
        let part = match self {
            Scheme::Seal(seal) => seal.missing_part(presented),
            Scheme::Jwt(jwt) => jwt.missing_part(presented),
            Scheme::Token { .. } | Scheme::Basic | Scheme::None => None,
        };
        part.or_else(|| self.places().iter().find_map(|place| place.obstacle(presented)))
    }

    /// What a provider would add to the request.
    pub(super) fn sign(
        &self,
        key: &SigningKey,
        presented: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<SignedParts, SignError> {
        let secret = || key.secret().ok_or(SignError::WrongKey);
        match self {
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

    /// Whether the proof would have to be in the headers or the query, and is not there.
    pub(in crate::intake) fn is_missing_before_body(&self, presented: &SignedRequest<'_>) -> bool {
        let is_there = |place: &CredentialLocation| {
            matches!(place, CredentialLocation::Field(_)) || !place.values(presented).is_empty()
        };
        match self {
            Scheme::Seal(_) | Scheme::Jwt(_) | Scheme::Token { .. } => {
                !self.places().iter().any(is_there)
            }
            Scheme::Basic => !presented.headers.contains_key("authorization"),
            Scheme::None => false,
        }
    }

    /// Whether verifying is work for elliptic curves: a hundred times that of a digest.
    pub(in crate::intake) fn has_public_key(&self) -> bool {
        matches!(self, Scheme::Seal(seal) if seal.method == SigningMethod::KeyPair)
    }

    pub(in crate::intake) fn has_several_places(&self) -> bool {
        self.places().len() > 1
    }

    pub(super) fn places(&self) -> &[CredentialLocation] {
        match self {
            Scheme::Seal(seal) => &seal.places,
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
    let credentials = after_word(written, "basic").ok_or(VerifyError::Mismatch)?;
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
