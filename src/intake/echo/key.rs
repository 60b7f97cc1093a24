//! The key that an echo needs: it makes the last segment of a request's path, and signs the answer.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Uuid;

/// First character of the segment. No source has it in its name.
const MARK: char = '~';

/// A key that is made for one run of `doctor`.
#[derive(Debug, Clone)]
pub struct EchoKey(SecretString);

impl From<SecretString> for EchoKey {
    fn from(text: SecretString) -> EchoKey {
        EchoKey(text)
    }
}

impl EchoKey {
    pub(super) fn generate() -> EchoKey {
        // 244 random bits of the system's generator.
        let text = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        EchoKey(text.into())
    }

    /// Returns the key as the admin API sends it.
    pub fn text(&self) -> &SecretString {
        &self.0
    }

    /// Returns the last segment of the path of the request with this number.
    // In the path, since proxies drop or change headers, queries and bodies much more often, which is to be found
    // out. It shows up in their logs, where it is of no use: it admits one request.
    pub fn segment(&self, number: u8) -> String {
        let mac = HEXLOWER.encode(&self.mac("request", &[number]).finalize().into_bytes());
        format!("{MARK}{number:02x}{mac}")
    }

    /// Returns the number of the request that has this segment, if it was made with this key. In constant time.
    pub(super) fn number(&self, segment: &str) -> Option<u8> {
        let bytes = HEXLOWER_PERMISSIVE.decode(segment.strip_prefix(MARK)?.as_bytes()).ok()?;
        let (&number, presented) = bytes.split_first()?;
        self.mac("request", &[number]).verify_slice(presented).is_ok().then_some(number)
    }

    /// Returns the signature of an answer.
    pub(super) fn sign_answer(&self, body: &[u8]) -> String {
        HEXLOWER.encode(&self.mac("answer", body).finalize().into_bytes())
    }

    /// Returns whether the relay that issued the key wrote this answer.
    pub fn has_signed(&self, body: &[u8], signature: &str) -> bool {
        let signature = HEXLOWER_PERMISSIVE.decode(signature.as_bytes());
        signature.is_ok_and(|it| self.mac("answer", body).verify_slice(&it).is_ok())
    }

    /// The purpose keeps an answer from being taken for a request.
    fn mac(&self, purpose: &str, message: &[u8]) -> Hmac<Sha256> {
        let key = self.0.expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(message);
        mac
    }
}

/// Returns a segment of a path without escapes, if it may be one of an echo.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let segment = percent_decode_str(segment).decode_utf8().ok()?;
    segment.starts_with(MARK).then(|| segment.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SourceName;

    #[test]
    fn segment_is_of_its_key_alone_and_no_name_of_a_source() {
        let (key, other) = (EchoKey::generate(), EchoKey::generate());
        let segment = key.segment(7);

        assert_eq!((key.number(&segment), other.number(&segment)), (Some(7), None));
        assert_eq!(key.number(&segment.to_uppercase()), Some(7), "a proxy may change the case");
        assert_eq!(key.number(&segment.replacen("07", "08", 1)), None);
        assert_eq!(key.number(&segment[..segment.len() - 2]), None, "not a part of it");
        assert!(segment.parse::<SourceName>().is_err());
        assert!("~".parse::<SourceName>().is_err());
    }

    #[test]
    fn answer_is_signed_with_its_key() {
        let key = EchoKey::generate();
        let signature = key.sign_answer(b"{}");

        assert!(key.has_signed(b"{}", &signature));
        assert!(!key.has_signed(b"{ }", &signature) && !key.has_signed(b"{}", "00"));
        assert!(!EchoKey::generate().has_signed(b"{}", &signature));
        assert!(!key.has_signed(&[7], &key.segment(7)[3..]), "a request is no answer");
    }
}
