//! The words that a signature's table may choose among, and the names in it.

use std::ops::Range;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{self, Diagnostics, SpannedText};
use crate::intake::signature::{BodyField, Curve, Encoding, SecretEncoding};

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

pub(crate) const SECRET_ENCODINGS: [(&str, SecretEncoding); 4] = [
    ("text", SecretEncoding::Text),
    (Encoding::Hex.as_str(), SecretEncoding::Encoded(Encoding::Hex)),
    (Encoding::Base64.as_str(), SecretEncoding::Encoded(Encoding::Base64)),
    (Encoding::Base64Url.as_str(), SecretEncoding::Encoded(Encoding::Base64Url)),
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

/// A field's name from this place in the text on.
pub(super) fn field(
    text: &SpannedText,
    from: usize,
    mistakes: &mut Diagnostics,
) -> Option<BodyField> {
    let name = &text.text[from..];
    let field = BodyField::parse(name);
    if field.is_none() {
        let message = format!("`{name}` is no field");
        let help = "write a form's field by its name, or one of JSON as $.data.key";
        mistakes.push(Diagnostic::error(text.place.clone(), message).help(help));
    }
    field
}

pub(super) fn header_name(
    name: &str,
    place: &Range<usize>,
    mistakes: &mut Diagnostics,
) -> Option<String> {
    let parsed = http::HeaderName::from_bytes(name.trim().as_bytes());
    if parsed.is_err() {
        mistakes.push(Diagnostic::error(place.clone(), format!("`{name}` is no header's name")));
    }
    parsed.ok().map(|name| name.as_str().to_owned())
}
