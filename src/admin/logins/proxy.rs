//! Logins by a proxy in front of the admin listener, which has checked who its user is.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::random_id::digest_for;
use crate::admin::error::ApiError;
use crate::admin::role::Role;
use crate::diagnostics::is_terminal_control;
use crate::intake::client_ip::Network;

/// Longest name of a user, in bytes.
const NAME_LENGTH_MAX: usize = 256;

/// `[admin.proxy_auth]`: whose header counts, and what its users may do.
pub struct ProxyLogins {
    header: HeaderName,
    from: Vec<Network>,
    role: Role,
    roles: BTreeMap<String, Role>,
    secret: Option<ProxySecret>,
}

/// The header by which a proxy proves that it is one.
struct ProxySecret {
    header: HeaderName,
    /// Digest of its value; none while that is not known, and then no proxy is believed.
    digest: RwLock<Option<[u8; 32]>>,
}

/// The user that a proxy names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProxyUser {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
}

impl ProxyLogins {
    /// The user is in `header` of requests whose TCP connection comes from one of these addresses.
    /// One whom `roles` does not name has `role`.
    pub fn new(
        header: HeaderName,
        from: Vec<Network>,
        role: Role,
        roles: BTreeMap<String, Role>,
    ) -> ProxyLogins {
        ProxyLogins { header, from, role, roles, secret: None }
    }

    /// Requires a secret in a header too. Without a value, nobody is admitted.
    #[must_use]
    pub fn with_secret(self, header: HeaderName, value: Option<&SecretString>) -> ProxyLogins {
        let digest = RwLock::new(value.map(digest));
        ProxyLogins { secret: Some(ProxySecret { header, digest }), ..self }
    }

    /// Requires another secret from now on.
    pub fn replace_secret(&self, value: &SecretString) {
        if let Some(secret) = &self.secret {
            let new = Some(digest(value));
            *secret.digest.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
    }

    /// Returns whether a proxy opened the connection of the request.
    pub(super) fn is_peer(&self, parts: &Parts) -> bool {
        let peer = peer(parts);
        peer.is_some_and(|peer| self.from.iter().any(|network| network.contains(peer)))
    }

    /// Returns the user that a proxy names; none without its header, and for all other peers.
    pub(super) fn user(&self, parts: &Parts) -> Result<Option<ProxyUser>, ApiError> {
        if !self.is_peer(parts) || !parts.headers.contains_key(&self.header) {
            return Ok(None);
        }
        self.check_secret(&parts.headers)?;
        let refused = |reason: &str| {
            ApiError::ProxyRefused(format!("the header {} of the proxy {reason}", self.header))
        };
        let value = only(&parts.headers, &self.header).ok_or_else(|| refused("is there twice"))?;
        let name = std::str::from_utf8(value.as_bytes()).map(str::trim).unwrap_or_default();
        if name.is_empty() {
            return Err(refused("is empty or not UTF-8"));
        }
        if name.len() > NAME_LENGTH_MAX || name.contains(is_terminal_control) {
            return Err(refused("holds no name of a user"));
        }
        let role = self.roles.get(name).copied().unwrap_or(self.role);
        Ok(Some(ProxyUser { name: name.into(), role }))
    }

    fn check_secret(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(secret) = &self.secret else { return Ok(()) };
        let expected = *secret.digest.read().unwrap_or_else(PoisonError::into_inner);
        let Some(expected) = expected else {
            let reason = "the secret of admin.proxy_auth.secret_header is not known to the relay";
            return Err(ApiError::ProxyRefused(reason.to_owned()));
        };
        let presented = only(headers, &secret.header).map(HeaderValue::as_bytes);
        let presented: [u8; 32] = Sha256::digest(presented.unwrap_or_default()).into();
        if expected.ct_eq(&presented).into() {
            return Ok(());
        }
        let reason = format!(
            "the header {} of the proxy does not hold the secret of admin.proxy_auth",
            secret.header
        );
        Err(ApiError::ProxyRefused(reason))
    }
}

impl ProxyUser {
    /// Returns what the user's sessions are bound to.
    pub(super) fn bound(&self) -> [u8; 32] {
        digest_for("user of the proxy", &SecretString::from(&*self.name))
    }
}

impl fmt::Debug for ProxyLogins {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ProxyLogins({} from {:?})", self.header, self.from)
    }
}

/// Returns the address of the TCP connection; none if the listener does not report it.
pub(super) fn peer(parts: &Parts) -> Option<IpAddr> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    // An IPv4 peer of a dual-stack socket is `::ffff:a.b.c.d`, which no IPv4 network contains.
    Some(peer.ip().to_canonical())
}

/// Returns the value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn digest(secret: &SecretString) -> [u8; 32] {
    Sha256::digest(secret.expose_secret().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn logins() -> ProxyLogins {
        let (user, from) = (HeaderName::from_static("x-user"), "10.1.2.3".parse().unwrap());
        let roles = [("ops@example.com".to_owned(), Role::Operate)].into();
        ProxyLogins::new(user, vec![from], Role::Read, roles)
    }

    fn user(
        logins: &ProxyLogins,
        peer: &str,
        headers: &[(&str, &[u8])],
    ) -> Result<Option<(String, Role)>, String> {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        parts.extensions.insert(ConnectInfo(peer));
        let user = logins.user(&parts).map_err(|error| error.to_string())?;
        Ok(user.map(|it| (it.name.to_string(), it.role)))
    }

    #[test]
    fn user_is_named_by_the_proxy_only() {
        let logins = logins();
        let named = |peer: &str, name: &str| user(&logins, peer, &[("x-user", name.as_bytes())]);

        let found = |name: &str, role| Ok(Some((name.to_owned(), role)));
        assert_eq!(named("10.1.2.3", "ada"), found("ada", Role::Read));
        assert_eq!(named("::ffff:10.1.2.3", " ada "), found("ada", Role::Read));
        assert_eq!(named("10.1.2.3", "ops@example.com"), found("ops@example.com", Role::Operate));
        assert_eq!(named("10.1.2.3", "Zoë"), found("Zoë", Role::Read));
        assert_eq!(named("10.1.2.4", "ada"), Ok(None));
        let forwarded: [(&str, &[u8]); 2] = [("x-forwarded-for", b"10.1.2.3"), ("x-user", b"ada")];
        assert_eq!(user(&logins, "10.1.2.4", &forwarded), Ok(None));
        assert_eq!(user(&logins, "10.1.2.3", &[]), Ok(None));
    }

    #[test]
    fn header_that_is_no_single_name_is_refused() {
        let logins = logins();
        let refused = |headers: &[(&str, &[u8])]| user(&logins, "10.1.2.3", headers).unwrap_err();

        assert!(refused(&[("x-user", b"ada"), ("x-user", b"ada")]).contains("twice"));
        for empty in [&b""[..], b"  ", b"\xff"] {
            assert!(refused(&[("x-user", empty)]).contains("empty or not UTF-8"));
        }
        for wrong in ["a".repeat(257), "a\tb".to_owned(), "a\u{202e}b".to_owned()] {
            assert!(refused(&[("x-user", wrong.as_bytes())]).contains("no name of a user"));
        }
    }

    #[test]
    fn secret_of_the_proxy_is_required() {
        let header = HeaderName::from_static("x-secret");
        let with = logins().with_secret(header.clone(), Some(&"open sesame".into()));
        let ask = |logins: &ProxyLogins, secrets: &[&str]| {
            let secrets = secrets.iter().map(|it| ("x-secret", it.as_bytes()));
            let headers: Vec<_> = secrets.chain([("x-user", &b"ada"[..])]).collect();
            user(logins, "10.1.2.3", &headers)
        };

        assert!(ask(&with, &["open sesame"]).unwrap().is_some());
        for wrong in [&[][..], &[""], &["open"], &["open sesame", "open sesame"]] {
            assert!(ask(&with, wrong).unwrap_err().contains("does not hold the secret"));
        }
        with.replace_secret(&"another".into());
        assert!(ask(&with, &["open sesame"]).is_err());
        assert!(ask(&with, &["another"]).unwrap().is_some());
        let unknown = logins().with_secret(header, None);
        assert!(ask(&unknown, &[""]).unwrap_err().contains("is not known to the relay"));
    }
}
