//! The words that a signature's table may choose among.

use crate::diagnostics::table::{self, Diagnostics, SpannedText};
use crate::intake::signature::{Algorithm, Curve, Encoding, SecretEncoding};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SchemeName {
    Hmac,
    Hash,
    Pair(Curve),
    Jwt,
    Token,
    Basic,
    None,
}

pub(crate) const SCHEMES: [(&str, SchemeName); 8] = [
    ("hmac", SchemeName::Hmac),
    ("hash", SchemeName::Hash),
    ("ed25519", SchemeName::Pair(Curve::Ed25519)),
    ("ecdsa-p256", SchemeName::Pair(Curve::P256)),
    ("jwt", SchemeName::Jwt),
    ("token", SchemeName::Token),
    ("basic", SchemeName::Basic),
    ("none", SchemeName::None),
];

pub(crate) const ALGORITHMS: [(&str, Algorithm); 3] =
    [("sha1", Algorithm::Sha1), ("sha256", Algorithm::Sha256), ("sha512", Algorithm::Sha512)];

pub(crate) const ENCODINGS: [(&str, Encoding); 3] =
    [("hex", Encoding::Hex), ("base64", Encoding::Base64), ("base64url", Encoding::Base64Url)];

pub(crate) const SECRET_ENCODINGS: [(&str, SecretEncoding); 4] = [
    ("text", SecretEncoding::Text),
    ("hex", SecretEncoding::Encoded(Encoding::Hex)),
    ("base64", SecretEncoding::Encoded(Encoding::Base64)),
    ("base64url", SecretEncoding::Encoded(Encoding::Base64Url)),
];

impl SchemeName {
    /// Whether the proof is computed over a message.
    pub(crate) fn has_message(self) -> bool {
        matches!(self, SchemeName::Hmac | SchemeName::Hash | SchemeName::Pair(_))
    }

    pub(crate) fn has_algorithm(self) -> bool {
        matches!(self, SchemeName::Hmac | SchemeName::Hash | SchemeName::Jwt)
    }

    pub(crate) fn has_place(self) -> bool {
        self.has_message() || matches!(self, SchemeName::Jwt | SchemeName::Token)
    }
}

/// The meaning of one of few words; the default where none is written.
pub(crate) fn word<T: Copy>(
    text: Option<&SpannedText>,
    words: &[(&'static str, T)],
    default: T,
    mistakes: &mut Diagnostics,
) -> T {
    text.and_then(|text| table::word(text, words, mistakes)).unwrap_or(default)
}

pub(crate) fn listed<T>(words: &[(&'static str, T)]) -> String {
    words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}
