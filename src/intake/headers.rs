//! A webhook's headers: all of them to verify with, and those that may be kept.

use axum::http::HeaderMap;

use super::source::Source;
use crate::event::{Headers, IMPORTED_HEADER};

/// The most of one header's value that is kept.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// Shorter secrets are found in texts by chance.
const SECRET_BYTES_MIN: usize = 8;

/// A header with one of these in its name carries a secret, whoever added it on the way.
const SECRET_NAMES: [&str; 7] =
    ["api-key", "apikey", "authorization", "cookie", "password", "secret", "token"];

/// By lower-case name; repeated ones are joined with `, `. The mark of an import is nobody's to send.
pub(super) fn collect(map: &HeaderMap) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in map.iter().filter(|(name, _)| *name != IMPORTED_HEADER) {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    headers
}

/// What carries a secret or a proof is overwritten.
pub(super) fn without_secrets(mut headers: Headers, source: &Source) -> Headers {
    let proofs = source.signature.proof_headers();
    for (name, value) in &mut headers {
        let secret = SECRET_NAMES.iter().any(|part| name.contains(part))
            || proofs.contains(&name.as_str())
            || source.keys.iter().any(|key| key.is_in(value, SECRET_BYTES_MIN));
        if secret {
            "*".clone_into(value);
        }
        value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
    }
    headers
}
