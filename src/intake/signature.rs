//! Verification of requests and signing, in constant time. Pure.

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
mod secret_search;
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

/// How the requests of a source are authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub scheme: Scheme,
    pub secret: SecretFormat,
    /// Whether the signature covers the body before compression.
    pub decompressed: bool,
    /// Weakness that the author of the file describes.
    pub weak: Option<String>,
}

impl Signature {
    /// Returns the position of the secret that matched; none if the scheme needs no secret.
    pub fn verify(
        &self,
        keys: &[Key],
        presented: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<Option<usize>, VerifyError> {
        self.verify_with(&Keyring::new(keys, now, &Tries::unlimited()), presented)
    }

    /// Verifies with at most the tries of the keyring.
    pub fn verify_with(
        &self,
        keyring: &Keyring<'_>,
        presented: &SignedRequest<'_>,
    ) -> Result<Option<usize>, VerifyError> {
        self.scheme.verify(keyring, presented)
    }

    /// Returns what a provider would add to the request.
    pub fn sign(
        &self,
        key: &SigningKey,
        presented: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<SignedParts, SignError> {
        self.scheme.sign(key, presented, now)
    }

    /// Returns the key for verification: the secret, or the public key.
    pub fn key(
        &self,
        secret: &SecretString,
        until: Option<Date>,
        position: usize,
    ) -> Result<Key, InvalidSecret> {
        self.secret.key(secret, until, position)
    }

    /// Returns the key for signing: the secret, or the private key.
    pub fn signing_key(&self, secret: &SecretString) -> Result<SigningKey, InvalidSecret> {
        self.secret.signing_key(secret)
    }

    /// Returns a trial secret, and what signs for it: the same, or its private key. None if the seed happens
    /// to be no valid key.
    pub fn generate_trial(&self, seed: &[u8; 32]) -> Option<(SecretString, SecretString)> {
        self.secret.invent(seed)
    }

    /// Returns the body that the signature covers; none if it cannot be decompressed within `bytes_max`.
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

    /// Overwrites the credential in the body with `*`. The body keeps its length.
    pub fn redact(&self, headers: &Headers, body: &mut [u8]) {
        for place in self.scheme.places() {
            if let CredentialLocation::Field(field) = place {
                field.ranges(headers, body).into_iter().for_each(|range| body[range].fill(b'*'));
            }
        }
    }

    /// Describes the weaknesses of the scheme for the operator.
    pub fn weaknesses(&self) -> Vec<&str> {
        weakness::of(&self.scheme, self.weak.as_deref())
    }

    /// Returns the name of the scheme in mapping files.
    pub fn scheme_name(&self) -> &'static str {
        match &self.scheme {
            Scheme::Message(signature) => match signature.method {
                SigningMethod::Hmac(_) => "hmac",
                SigningMethod::Hash(_) => "hash",
                SigningMethod::KeyPair => match self.secret.encoding {
                    SecretEncoding::Key(Curve::P256) => "ecdsa-p256",
                    _ => "ed25519",
                },
            },
            Scheme::Jwt(_) => "jwt",
            Scheme::Token { .. } => "token",
            Scheme::Basic => "basic",
            Scheme::None => "none",
        }
    }

    /// Returns the header in which a request has its credential; none if that is elsewhere.
    pub fn presented_in(&self, headers: &Headers) -> Option<String> {
        let name = |place: &'_ CredentialLocation| match place {
            CredentialLocation::Header(name) => Some(name.clone()),
            CredentialLocation::Bearer => Some("authorization".to_owned()),
            CredentialLocation::Query(_) | CredentialLocation::Field(_) => None,
        };
        let basic = matches!(self.scheme, Scheme::Basic).then(|| "authorization".to_owned());
        let mut names = self.scheme.places().iter().filter_map(name).chain(basic);
        names.find(|name| headers.contains_key(name))
    }

    /// Returns whether requests need a secret.
    pub fn needs_secret(&self) -> bool {
        match self.scheme {
            Scheme::Message(_) | Scheme::Jwt(_) | Scheme::Token { .. } | Scheme::Basic => true,
            Scheme::None => false,
        }
    }

    /// Returns whether the signature covers the URL, which has to be configured then.
    pub fn covers_url(&self) -> bool {
        matches!(&self.scheme, Scheme::Message(seal) if seal.message.contains(&MessagePart::Url))
    }

    /// Returns the headers that carry the credential, by lower-case name.
    pub fn credential_headers(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for place in self.scheme.places() {
            match place {
                CredentialLocation::Header(name) => names.push(name.as_str()),
                // Queries are not stored, `Authorization` is redacted by its name, and fields of
                // the body are overwritten by `redact`.
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
