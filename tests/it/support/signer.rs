//! Signs requests as providers do, without any code of the relay.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::Signer;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa;
use p256::pkcs8::EncodePublicKey;
use sha1::Sha1;
use sha2::Sha256;

/// A request before it is signed.
pub(crate) struct Draft {
    pub(crate) url: String,
    pub(crate) body: Vec<u8>,
    /// Time of signing, in milliseconds since the epoch.
    pub(crate) millisecond: i64,
}

/// Additions to a request that prove its sender.
#[derive(Default)]
pub(crate) struct Proof {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) query: Option<String>,
    /// The body, if it is changed.
    pub(crate) body: Option<Vec<u8>>,
}

/// A secret in its configured form, and as the bytes that sign.
pub(crate) struct Keyring {
    pub(crate) configured: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) type Sign = fn(&Draft, &[u8]) -> Proof;

impl Draft {
    pub(crate) fn seconds(&self) -> String {
        (self.millisecond / 1_000).to_string()
    }

    pub(crate) fn milliseconds(&self) -> String {
        self.millisecond.to_string()
    }

    pub(crate) fn iso(&self) -> String {
        jiff::Timestamp::from_millisecond(self.millisecond).unwrap().to_string()
    }

    /// Returns the body with the time in place of `TIME`.
    pub(crate) fn timed_body(&self) -> Vec<u8> {
        let body = std::str::from_utf8(&self.body).unwrap();
        body.replace("TIME", &self.milliseconds()).into_bytes()
    }
}

pub(crate) fn header(name: &'static str, value: impl Into<String>) -> Proof {
    Proof::default().and(name, value)
}

impl Proof {
    pub(crate) fn and(mut self, name: &'static str, value: impl Into<String>) -> Proof {
        self.headers.push((name, value.into()));
        self
    }
}

/// Returns a secret that is a plain text; `which` distinguishes secrets.
pub(crate) fn text(which: u8) -> Keyring {
    let configured = format!("a-secret-of-the-tests-{which}");
    Keyring { bytes: configured.clone().into_bytes(), configured }
}

pub(crate) fn credentials(which: u8) -> Keyring {
    let configured = format!("relay:password-{which}");
    Keyring { bytes: configured.clone().into_bytes(), configured }
}

pub(crate) fn whsec(which: u8) -> Keyring {
    let bytes = vec![which; 24];
    Keyring { configured: format!("whsec_{}", BASE64.encode(&bytes)), bytes }
}

pub(crate) fn ed25519_hex(which: u8) -> Keyring {
    let public = ed25519_dalek::SigningKey::from_bytes(&[which; 32]).verifying_key();
    Keyring { configured: HEXLOWER.encode(public.as_bytes()), bytes: vec![which; 32] }
}

pub(crate) fn whpk(which: u8) -> Keyring {
    let public = ed25519_dalek::SigningKey::from_bytes(&[which; 32]).verifying_key();
    let configured = format!("whpk_{}", BASE64.encode(public.as_bytes()));
    Keyring { configured, bytes: vec![which; 32] }
}

pub(crate) fn p256_spki(which: u8) -> Keyring {
    let private = ecdsa::SigningKey::from_slice(&[which; 32]).unwrap();
    let der = private.verifying_key().to_public_key_der().unwrap();
    Keyring { configured: BASE64.encode(der.as_bytes()), bytes: vec![which; 32] }
}

pub(crate) fn sha1(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn sha256(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn ed25519(seed: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let key = ed25519_dalek::SigningKey::from_bytes(seed.try_into().unwrap());
    key.sign(&message.concat()).to_bytes().to_vec()
}

pub(crate) fn p256(seed: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let key = ecdsa::SigningKey::from_slice(seed).unwrap();
    let signature: ecdsa::Signature = key.sign(&message.concat());
    signature.to_der().as_bytes().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}
