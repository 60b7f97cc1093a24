//! Sessions: browsers that logged in at the admin API.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// SHA-256 of a session's random id. The id itself is only in the cookie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionDigest(pub [u8; 32]);

impl fmt::Debug for SessionDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionDigest(***)")
    }
}

/// How somebody proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginMethod {
    /// By a token of the admin API.
    Token,
    /// By a login link, which a holder of `admin.token` made.
    Link,
    /// By a proxy that names its user.
    Proxy,
}

impl LoginMethod {
    pub fn as_str(self) -> &'static str {
        match self {
            LoginMethod::Token => "token",
            LoginMethod::Link => "link",
            LoginMethod::Proxy => "proxy",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    pub digest: SessionDigest,
    pub via: LoginMethod,
    /// Name of the token, or of the proxy's user.
    pub name: String,
    /// Role that a login link gave; none where the token or the user has one.
    pub role: Option<String>,
    /// Digest of what the session ends with: of a token, or of a user of the proxy.
    pub bound: [u8; 32],
    pub made_at: Timestamp,
    pub ends_at: Timestamp,
}
