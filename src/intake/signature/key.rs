//! Keys made of a source's secrets, for verification and for signing.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use subtle::ConstantTimeEq;

use super::digest::Algorithm;
use super::encoding::Encoding;
use super::key_pair::{self, Curve, PrivateKey, PublicKey};
use super::secret_search;

/// How the key is encoded in the secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SecretFormat {
    pub encoding: SecretEncoding,
    /// Prefixes such as `whsec_`; the first that matches is removed before decoding.
    pub prefixes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretEncoding {
    #[default]
    Text,
    Encoded(Encoding),
    /// A public key, or for signing a private one, in any of the usual forms.
    Key(Curve),
}

/// A key for verification, made of one of the source's secrets.
#[derive(Debug, Clone)]
pub struct Key {
    material: KeyMaterial,
    /// Last day of validity, in UTC.
    pub until: Option<Date>,
    /// Position among the source's secrets, from 0.
    pub position: usize,
}

#[derive(Debug, Clone)]
enum KeyMaterial {
    Secret(SecretSlice<u8>),
    Public(PublicKey),
}

/// A key for signing: the same secret, or the private key of the public one.
#[derive(Debug, Clone)]
pub struct SigningKey(pub(super) SigningMaterial);

#[derive(Debug, Clone)]
pub(super) enum SigningMaterial {
    Secret(SecretSlice<u8>),
    Private(PrivateKey),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSecret {
    #[error("is empty")]
    Empty,
    #[error("is not {0}")]
    Form(&'static str),
    #[error("has a line break or another control character inside")]
    ControlCharacter,
}

impl SecretFormat {
    /// Checks that a secret which a person set is a key, and one line unless keys have several.
    pub fn check(&self, secret: &SecretString) -> Result<(), InvalidSecret> {
        // Line breaks are a part of PEM. No provider gives out a text with one, which would match
        // no signature.
        let is_text = !matches!(self.encoding, SecretEncoding::Key(_));
        if is_text && secret.expose_secret().contains(char::is_control) {
            return Err(InvalidSecret::ControlCharacter);
        }
        self.key(secret, None, 0).map(drop)
    }

    pub(super) fn key(
        &self,
        secret: &SecretString,
        until: Option<Date>,
        position: usize,
    ) -> Result<Key, InvalidSecret> {
        let written = self.without_prefix(secret)?;
        let material = match self.encoding {
            SecretEncoding::Text => KeyMaterial::Secret(bytes_of(written)),
            SecretEncoding::Encoded(encoding) => KeyMaterial::Secret(decoded(encoding, written)?),
            SecretEncoding::Key(curve) => {
                let key = key_pair::public(curve, written);
                KeyMaterial::Public(key.ok_or(InvalidSecret::Form(curve.public_name()))?)
            }
        };
        Ok(Key { material, until, position })
    }

    pub(super) fn signing_key(&self, secret: &SecretString) -> Result<SigningKey, InvalidSecret> {
        let written = self.without_prefix(secret)?;
        Ok(SigningKey(match self.encoding {
            SecretEncoding::Text => SigningMaterial::Secret(bytes_of(written)),
            SecretEncoding::Encoded(encoding) => {
                SigningMaterial::Secret(decoded(encoding, written)?)
            }
            SecretEncoding::Key(curve) => {
                let key = key_pair::private(curve, written);
                SigningMaterial::Private(key.ok_or(InvalidSecret::Form(curve.private_name()))?)
            }
        }))
    }

    /// Returns a trial secret, and what signs for it: the same, or its private key.
    pub(super) fn invent(&self, seed: &[u8; 32]) -> Option<(SecretString, SecretString)> {
        let private = Encoding::Hex.encode(seed);
        let secret = match self.encoding {
            SecretEncoding::Text => private.clone(),
            SecretEncoding::Encoded(encoding) => encoding.encode(seed),
            SecretEncoding::Key(curve) => key_pair::private(curve, &private)?.public_hex(),
        };
        let signing =
            if matches!(self.encoding, SecretEncoding::Key(_)) { private } else { secret.clone() };
        Some((secret.into(), signing.into()))
    }

    fn without_prefix<'s>(&self, secret: &'s SecretString) -> Result<&'s str, InvalidSecret> {
        let secret = secret.expose_secret();
        let cut = self.prefixes.iter().find_map(|prefix| secret.strip_prefix(prefix.as_str()));
        let written = cut.unwrap_or(secret);
        // HMAC accepts an empty key, so an unset variable would make everybody's signature valid.
        if written.is_empty() { Err(InvalidSecret::Empty) } else { Ok(written) }
    }
}

fn bytes_of(text: &str) -> SecretSlice<u8> {
    SecretSlice::from(text.as_bytes().to_vec())
}

fn decoded(encoding: Encoding, text: &str) -> Result<SecretSlice<u8>, InvalidSecret> {
    let bytes = encoding.decode(text).ok_or(InvalidSecret::Form(encoding.as_str()))?;
    if bytes.is_empty() { Err(InvalidSecret::Empty) } else { Ok(SecretSlice::from(bytes)) }
}

impl Key {
    /// Returns the bytes of the secret; none for a public key.
    pub(super) fn secret(&self) -> Option<&[u8]> {
        match &self.material {
            KeyMaterial::Secret(secret) => Some(secret.expose_secret()),
            KeyMaterial::Public(_) => None,
        }
    }

    pub(super) fn public(&self) -> Option<&PublicKey> {
        match &self.material {
            KeyMaterial::Public(key) => Some(key),
            KeyMaterial::Secret(_) => None,
        }
    }

    /// Returns the key for signing; none for a public key, which cannot sign.
    pub fn signing_key(&self) -> Option<SigningKey> {
        let secret = SecretSlice::from(self.secret()?.to_vec());
        Some(SigningKey(SigningMaterial::Secret(secret)))
    }

    /// Returns an HMAC with this key, by which the relay proves to a provider that it has the secret.
    pub fn mac(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        algorithm.mac(self.secret().unwrap_or_default(), &[message])
    }

    pub fn matches(&self, secret: &[u8]) -> bool {
        self.secret().is_some_and(|own| bool::from(own.ct_eq(secret)))
    }

    /// Returns the key with other bytes; none for a public key.
    pub fn altered(&self, alter: impl FnOnce(&[u8]) -> Vec<u8>) -> Option<Key> {
        let material = KeyMaterial::Secret(SecretSlice::from(alter(self.secret()?)));
        Some(Key { material, ..*self })
    }

    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|last| Offset::UTC.to_datetime(now).date() <= last)
    }

    /// Returns whether the text contains the secret, encoded or not. Secrets shorter than `bytes_min` are not
    /// looked for.
    pub fn is_contained_in(&self, text: &str, bytes_min: usize) -> bool {
        let secret = self.secret().filter(|secret| secret.len() >= bytes_min);
        secret.is_some_and(|secret| secret_search::contains_secret(text.as_bytes(), secret))
    }
}

impl SigningKey {
    /// Returns the public key in hex; none if the other side has the same secret.
    pub fn public_key(&self) -> Option<String> {
        match &self.0 {
            SigningMaterial::Private(key) => Some(key.public_hex()),
            SigningMaterial::Secret(_) => None,
        }
    }

    pub(super) fn secret(&self) -> Option<&[u8]> {
        match &self.0 {
            SigningMaterial::Secret(secret) => Some(secret.expose_secret()),
            SigningMaterial::Private(_) => None,
        }
    }

    pub(super) fn private(&self) -> Option<&PrivateKey> {
        match &self.0 {
            SigningMaterial::Private(key) => Some(key),
            SigningMaterial::Secret(_) => None,
        }
    }
}
