//! The headers of a webhook: all of them for verification, and redacted ones for the store.

use axum::http::HeaderMap;

use super::source::Source;
use crate::event::{Headers, IMPORTED_HEADER};

/// Bytes that are stored of one header's value.
const VALUE_BYTES_MAX: usize = 8 * 1024;

/// Length from which a secret is looked for in header values.
// Shorter ones occur in texts by chance, and would redact harmless headers.
const SECRET_BYTES_MIN: usize = 8;

/// Parts of names of headers that carry secrets.
// Parts, not whole names: gateways add headers of their own, such as `X-Forwarded-Access-Token`.
const SECRET_NAMES: [&str; 7] =
    ["api-key", "apikey", "authorization", "cookie", "password", "secret", "token"];

/// Collects the headers by lower-case name; repeated ones are joined with `, ` (RFC 9110, 5.3).
pub(super) fn collect(map: &HeaderMap) -> Headers {
    let mut headers = Headers::new();
    // A sender must not pass off its webhook as an imported record.
    for (name, value) in map.iter().filter(|(name, _)| *name != IMPORTED_HEADER) {
        // Lossy, since one odd byte in an unimportant header is no reason to refuse a webhook. A
        // secret or signature that holds one cannot match.
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

/// Overwrites headers that carry a secret or a signature.
pub(super) fn without_secrets(mut headers: Headers, source: &Source) -> Headers {
    let credentials = source.signature.credential_headers();
    for (name, value) in &mut headers {
        let secret = SECRET_NAMES.iter().any(|part| name.contains(part))
            || credentials.contains(&name.as_str())
            || source.keys.iter().any(|key| key.is_contained_in(value, SECRET_BYTES_MIN));
        // The name stays, so that one can see that the header was there.
        if secret {
            "*".clone_into(value);
        }
        value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
    }
    headers
}
