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

/// Removes the headers that carry a secret or a signature, and returns their names.
pub(super) fn take_secrets(headers: &mut Headers, source: &Source) -> Vec<String> {
    let credentials = source.signature.credential_headers();
    let is_secret = |name: &str, value: &str| {
        SECRET_NAMES.iter().any(|part| name.contains(part))
            || credentials.contains(&name)
            || source.keys.iter().any(|key| key.is_contained_in(value, SECRET_BYTES_MIN))
    };
    let mut taken = Vec::new();
    headers.retain(|name, value| {
        let is_kept = !is_secret(name, value);
        if !is_kept {
            taken.push(name.clone());
        }
        is_kept
    });
    taken
}

/// Makes the headers those that are stored: with the names of those that were taken, so that one can
/// see that they were there, and without the ends of long values.
pub(super) fn complete(headers: &mut Headers, taken: Vec<String>) {
    for value in headers.values_mut() {
        value.truncate(value.floor_char_boundary(VALUE_BYTES_MAX));
    }
    headers.extend(taken.into_iter().map(|name| (name, "*".to_owned())));
}
