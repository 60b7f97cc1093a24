//! Whether a request is from its source: verify and sign, in constant time. Pure.

mod timestamp;
mod body_field;
mod signed_message;
mod key_pair;
mod location;
mod message_signature;
mod message_template;
mod request;
mod scheme;
mod digest;
mod disguise;
mod encoding;
mod jwt;
mod key;
mod keyring;
mod url;
mod weakness;

use std::borrow::Cow;

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
pub use request::{SignError, SignedParts, SignedRequest, VerifyError};
pub use scheme::Scheme;
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
        self.scheme.verify(keyring, presented)
    }

    /// What a provider would add to the request.
    pub fn sign(
        &self,
        key: &SigningKey,
        presented: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<SignedParts, SignError> {
        self.scheme.sign(key, presented, now)
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
        for place in self.scheme.places() {
            if let CredentialLocation::Field(field) = place {
                field.ranges(headers, body).into_iter().for_each(|range| body[range].fill(b'*'));
            }
        }
    }

    /// What the proof leaves open, in words for the people who run the relay.
    pub fn weaknesses(&self) -> Vec<&str> {
        weakness::of(&self.scheme, self.weak.as_deref())
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

    /// The headers that carry the proof, by lower-case name.
    pub fn proof_headers(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for place in self.scheme.places() {
            match place {
                CredentialLocation::Header(name) => names.push(name.as_str()),
                CredentialLocation::Query(_)
                | CredentialLocation::Bearer
                | CredentialLocation::Field(_) => {}
            }
        }
        names
    }
}

#[cfg(test)]
mod tests;
