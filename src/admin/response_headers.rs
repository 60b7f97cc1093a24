//! Headers that every response of the admin listener has.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// Pages have no script or style inside, load nothing from elsewhere, and are in no frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' \
    data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    // Responses hold payloads that strangers wrote, and depend on who asks: no cache keeps them, no
    // browser guesses a type.
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    // A login link is in a URL.
    (header::REFERRER_POLICY, "same-origin"),
];

pub(super) async fn add(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
