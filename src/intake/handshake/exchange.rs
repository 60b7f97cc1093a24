//! A request that may be a handshake, and the response to one.

use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::event::Headers;
use crate::intake::signature::Key;

/// A request that may be a handshake.
#[derive(Debug, Clone, Copy)]
pub struct HandshakeRequest<'r> {
    pub method: &'r Method,
    pub query: Option<&'r str>,
    pub headers: &'r Headers,
    /// The decoded body, if a handshake depends on it.
    pub body: Option<&'r Value>,
    /// The key for `{hmac:...}` in responses.
    pub key: Option<&'r Key>,
}

/// The response to a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeResponse {
    pub status: u16,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: String,
}
