//! The words that a signature's table may choose among.

use crate::intake::signature::{Algorithm, Curve, Encoding, SecretEncoding};
use crate::table::{self, Diagnostics, SpannedText};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SchemeName {
    Hmac,
    Hash,
    Pair(Curve),
    Jwt,
    Token,
    Basic,
    None,
}

pub(super) const SCHEMES: [(&str, SchemeName); 8] = [
    ("hmac", SchemeName::Hmac),
    ("hash", SchemeName::Hash),
    ("ed25519", SchemeName::Pair(Curve::Ed25519)),
    ("ecdsa-p256", SchemeName::Pair(Curve::P256)),
    ("jwt", SchemeName::Jwt),
    ("token", SchemeName::Token),
    ("basic", SchemeName::Basic),
    ("none", SchemeName::None),
];

pub(super) const ALGORITHMS: [(&str, Algorithm); 3] =
    [("sha1", Algorithm::Sha1), ("sha256", Algorithm::Sha256), ("sha512", Algorithm::Sha512)];

pub(super) const ENCODINGS: [(&str, Encoding); 3] =
    [("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64url", Encoding::Base64Url)];

pub(super) const SECRET_ENCODINGS: [(&str, SecretEncoding); 4] = [
    ("text", SecretEncoding::Text),
    ("hex", SecretEncoding::Encoded(Encoding::Hex)),
    ("base64", SecretEncoding::Encoded(Encoding::Base64)),
    ("base64url", SecretEncoding::Encoded(Encoding::Base64Url)),
];

impl SchemeName {
    /// Whether the proof is computed over a message.
    pub(super) fn has_message(self) -> bool {
        matches!(self, SchemeName::Hmac | SchemeName::Hash | SchemeName::Pair(_))
    }

    pub(super) fn has_algorithm(self) -> bool {
        matches!(self, SchemeName::Hmac | SchemeName::Hash | SchemeName::Jwt)
    }

    pub(super) fn has_place(self) -> bool {
        self.has_message() || matches!(self, SchemeName::Jwt | SchemeName::Token)
    }
}

/// The meaning of one of few words; the default where none is written.
pub(super) fn word<T: Copy>(
    text: Option<&SpannedText>,
    words: &[(&'static str, T)],
    default: T,
    mistakes: &mut Diagnostics,
) -> T {
    text.and_then(|text| table::word(text, words, mistakes)).unwrap_or(default)
}

pub(super) fn listed<T>(words: &[(&'static str, T)]) -> String {
    words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}
