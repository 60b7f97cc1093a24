//! Public and private keys: Ed25519, and ECDSA over P-256 with SHA-256.

use std::fmt;

use data_encoding::HEXLOWER;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{Signer, Verifier};
use p256::ecdsa;
use secrecy::zeroize::Zeroizing;

use super::encoding::Encoding;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    Ed25519,
    P256,
}

#[derive(Debug, Clone)]
pub(super) enum PublicKey {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(Box<ecdsa::VerifyingKey>),
}

#[derive(Clone)]
pub(super) enum PrivateKey {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<ecdsa::SigningKey>),
}

impl Curve {
    pub(super) fn public_name(self) -> &'static str {
        match self {
            Curve::Ed25519 => "an Ed25519 public key",
            Curve::P256 => "a P-256 public key",
        }
    }

    pub(super) fn private_name(self) -> &'static str {
        match self {
            Curve::Ed25519 => "an Ed25519 private key",
            Curve::P256 => "a P-256 private key",
        }
    }
}

/// Reads a public key: PEM, or SPKI DER or the raw key in hex or base64.
pub(super) fn public(curve: Curve, text: &str) -> Option<PublicKey> {
    candidates(text).iter().find_map(|bytes| match curve {
        Curve::Ed25519 => public_ed25519(bytes).map(PublicKey::Ed25519),
        Curve::P256 => public_p256(bytes).map(|key| PublicKey::P256(Box::new(key))),
    })
}

fn public_ed25519(bytes: &[u8]) -> Option<ed25519_dalek::VerifyingKey> {
    let bare = || ed25519_dalek::VerifyingKey::try_from(bytes);
    let key = ed25519_dalek::VerifyingKey::from_public_key_der(bytes).or_else(|_| bare()).ok()?;
    // Under a key of small order, one signature is valid for many messages.
    (!key.is_weak()).then_some(key)
}

fn public_p256(bytes: &[u8]) -> Option<ecdsa::VerifyingKey> {
    let bare = || ecdsa::VerifyingKey::from_sec1_bytes(bytes).ok();
    ecdsa::VerifyingKey::from_public_key_der(bytes).ok().or_else(bare)
}

/// Reads a private key: PEM, or PKCS#8 or SEC 1 DER or the raw key in hex or base64. A raw Ed25519 key may be
/// followed by its public key.
pub(super) fn private(curve: Curve, text: &str) -> Option<PrivateKey> {
    candidates(text).iter().find_map(|bytes| match curve {
        Curve::Ed25519 => private_ed25519(bytes).map(|key| PrivateKey::Ed25519(Box::new(key))),
        Curve::P256 => private_p256(bytes).map(|key| PrivateKey::P256(Box::new(key))),
    })
}

fn private_ed25519(bytes: &[u8]) -> Option<ed25519_dalek::SigningKey> {
    if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(bytes) {
        return Some(key);
    }
    match <&[u8; 64]>::try_from(bytes) {
        Ok(both) => ed25519_dalek::SigningKey::from_keypair_bytes(both).ok(),
        Err(_) => ed25519_dalek::SigningKey::try_from(bytes).ok(),
    }
}

fn private_p256(bytes: &[u8]) -> Option<ecdsa::SigningKey> {
    let bare = || p256::SecretKey::from_slice(bytes).ok();
    let sec1 = || p256::SecretKey::from_sec1_der(bytes).ok();
    let key = p256::SecretKey::from_pkcs8_der(bytes).ok().or_else(sec1).or_else(bare)?;
    Some(ecdsa::SigningKey::from(key))
}

/// Returns the bytes that the text may encode. At most one of these is a key.
fn candidates(text: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let text = text.trim();
    // In environment variables the line ends of PEM are often written as `\n`.
    let lines = Zeroizing::new(text.replace("\\n", "\n"));
    let body = match lines.strip_prefix("-----BEGIN ") {
        Some(pem) => pem.lines().skip(1).take_while(|line| !line.starts_with("-----END")).collect(),
        None => text.to_owned(),
    };
    let body = Zeroizing::new(body);
    let decoded = Encoding::ALL.iter().filter_map(|encoding| encoding.decode(&body));
    decoded.map(Zeroizing::new).collect()
}

impl PublicKey {
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            // Strict: the plain check also accepts points of small order, with which one signature
            // can be valid for several messages.
            PublicKey::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            // DER is what OpenSSL and SendGrid produce, r and s in 64 bytes what WebCrypto and JWS
            // do.
            PublicKey::P256(key) => ecdsa::Signature::from_der(signature)
                .or_else(|_| ecdsa::Signature::from_slice(signature))
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}

impl PrivateKey {
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            PrivateKey::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            PrivateKey::P256(key) => {
                let signature: ecdsa::Signature = key.sign(message);
                signature.to_der().as_bytes().to_vec()
            }
        }
    }

    pub(super) fn public_hex(&self) -> String {
        match self {
            PrivateKey::Ed25519(key) => HEXLOWER.encode(key.verifying_key().as_bytes()),
            PrivateKey::P256(key) => HEXLOWER.encode(&key.verifying_key().to_sec1_bytes()),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Keys and signatures of `hello` as OpenSSL makes them; used nowhere else.
    const ED25519_PRIVATE: &str =
        "MC4CAQAwBQYDK2VwBCIEIPind1LeTbg3gnV51bMsgJwBLwehwWirGSnfJ5oGodX1";
    const ED25519_PUBLIC: &str = "MCowBQYDK2VwAyEAsLt21P0wVRm+0reSox+8b4W52g5/RT3flKGVWq4AhPM=";
    const ED25519_SIGNATURE: &str = "bTMXXTBoWm9JCtCDS2SjYzcoRy+40TEGn2uM0lXesmNkNSCWh23rzeNdh\
        OGxFDrVXNB9nlu7WQY35iggXFm0Cw==";
    const P256_PRIVATE: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZAxk4oV4Fox2AyFd\
        GLfheu7ASsmVU6TO0HCVYRKl1quhRANCAAR4sI4B9cKABlOnqTnGqlUOUte/xXRqKyg3EOZzi/QNIanMwNKQF0Bd\
        uZCXCw1ZSRDNkVwWS7RSSK2fQ3YOUhLs";
    const P256_SEC1: &str = "MHcCAQEEIGQMZOKFeBaMdgMhXRi34XruwErJlVOkztBwlWESpdaroAoGCCqGSM49AwEH\
        oUQDQgAEeLCOAfXCgAZTp6k5xqpVDlLXv8V0aisoNxDmc4v0DSGpzMDSkBdAXbmQlwsNWUkQzZFcFku0Ukitn0N2\
        DlIS7A==";
    const P256_PUBLIC: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeLCOAfXCgAZTp6k5xqpVDlLXv8V0\
        aisoNxDmc4v0DSGpzMDSkBdAXbmQlwsNWUkQzZFcFku0Ukitn0N2DlIS7A==";
    const P256_SIGNATURE: &str = "MEUCIGQwvkH6iriNl8MjFf4X9/zwOcgiqKpVM/3EQGvF2v20AiEA4r6ohHDyB4\
        x3zmyIML01AsAhAEDZHZ2nYUiuwbHormc=";

    fn bytes(base64: &str) -> Vec<u8> {
        Encoding::Base64.decode(base64).unwrap()
    }

    #[track_caller]
    fn check_public(curve: Curve, der: &str, bare_bytes: usize) {
        let der_bytes = bytes(der);
        let bare = &der_bytes[der_bytes.len() - bare_bytes..];
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        let mut forms = vec![der.to_owned(), pem.replace('\n', "\\n"), pem];
        for encoding in Encoding::ALL {
            forms.extend([encoding.encode(bare), encoding.encode(&der_bytes)]);
        }
        for form in forms {
            assert!(public(curve, &form).is_some(), "{form}");
        }
    }

    #[test]
    fn public_key_is_read_in_each_of_its_forms() {
        check_public(Curve::Ed25519, ED25519_PUBLIC, 32);
        check_public(Curve::P256, P256_PUBLIC, 65);
        let compressed = "0278b08e01f5c2800653a7a939c6aa550e52d7bfc5746a2b283710e6738bf40d21";
        assert!(public(Curve::P256, compressed).is_some());
    }

    #[test]
    fn key_of_another_curve_is_refused() {
        let small_order = "01".to_owned() + &"00".repeat(31);
        for bad in ["", "hello", P256_PUBLIC, ED25519_PRIVATE, &small_order, "-----BEGIN X"] {
            assert!(public(Curve::Ed25519, bad).is_none(), "{bad}");
        }
        for bad in ["", ED25519_PUBLIC, P256_PRIVATE, &"04".repeat(65)] {
            assert!(public(Curve::P256, bad).is_none(), "{bad}");
        }
        assert!(private(Curve::P256, &"00".repeat(32)).is_none());
        assert!(private(Curve::Ed25519, P256_PRIVATE).is_none());
    }

    #[track_caller]
    fn check_pair(curve: Curve, keys: (&str, &str), signature: &str) {
        let public = public(curve, keys.0).unwrap();
        let private = private(curve, keys.1).unwrap();
        let known = self::public(curve, &private.public_hex()).unwrap();

        assert!(public.verifies(b"hello", &bytes(signature)));
        assert!(!public.verifies(b"hullo", &bytes(signature)));
        assert!(known.verifies(b"again", &private.sign(b"again")));
        assert!(public.verifies(b"again", &private.sign(b"again")));
        assert_eq!(format!("{private:?}"), "[REDACTED]");
    }

    #[test]
    fn openssl_keys_and_signatures_verify() {
        check_pair(Curve::Ed25519, (ED25519_PUBLIC, ED25519_PRIVATE), ED25519_SIGNATURE);
        check_pair(Curve::P256, (P256_PUBLIC, P256_PRIVATE), P256_SIGNATURE);
        check_pair(Curve::P256, (P256_PUBLIC, P256_SEC1), P256_SIGNATURE);
    }

    #[test]
    fn ecdsa_signature_of_64_bytes_verifies() {
        let key = public(Curve::P256, P256_PUBLIC).unwrap();
        let signature = ecdsa::Signature::from_der(&bytes(P256_SIGNATURE)).unwrap();

        assert!(key.verifies(b"hello", &signature.to_bytes()));
        assert!(!key.verifies(b"hello", &[0; 64]) && !key.verifies(b"hello", &[]));
    }
}
