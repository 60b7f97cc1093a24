//! Authentication by the admin token.

use std::fmt;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::ApiError;

#[derive(Clone)]
pub struct AdminToken(SecretString);

/// Length below which a token is called short.
const LENGTH_MIN: usize = 16;

impl AdminToken {
    /// Returns none if the token is empty, since `Authorization: Bearer` without a token would
    /// match it.
    pub fn new(token: SecretString) -> Option<AdminToken> {
        (!token.expose_secret().is_empty()).then_some(AdminToken(token))
    }

    /// Returns whether the token is short enough to be guessed.
    pub fn is_short(token: &SecretString) -> bool {
        token.expose_secret().len() < LENGTH_MIN
    }

    fn is(&self, presented: &str) -> bool {
        // `ct_eq` takes the same time whatever differs, but returns at once if the lengths do:
        // digests hide the length too.
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        digest(self.0.expose_secret()).ct_eq(&digest(presented)).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(***)")
    }
}

/// Passes on requests with the token, and answers 401 to all others.
pub(super) async fn admit(
    State(expected): State<AdminToken>,
    request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
    let mut response = match header.and_then(bearer) {
        Some(token) if expected.is(token) => next.run(request).await,
        Some(_) | None => ApiError::Unauthorized.into_response(),
    };
    // Responses hold payloads that strangers wrote, and depend on the token: no cache keeps them,
    // no browser guesses a type.
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_token_is_accepted() {
        let token = AdminToken::new("open sesame".into()).unwrap();

        assert!(token.is("open sesame"));
        for other in ["", "open", "open sesame ", "Open sesame"] {
            assert!(!token.is(other), "{other}");
        }
        assert!(AdminToken::new("".into()).is_none());
        assert_eq!(format!("{token:?}"), "Token(***)");
    }
}
