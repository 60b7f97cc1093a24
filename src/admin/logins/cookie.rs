//! The cookie that holds the id of a session.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

const NAME: &str = "savio_relay_session";

/// The same, for https only: browsers take it from no other host and from no page without TLS.
const SECURE_NAME: &str = "__Host-savio_relay_session";

/// No id is longer.
const LENGTH_MAX: usize = 128;

/// The cookie of this relay, by how browsers reach it.
#[derive(Debug, Clone, Copy)]
pub(in crate::admin) struct SessionCookie {
    name: &'static str,
    attributes: &'static str,
}

impl SessionCookie {
    pub(super) fn new(is_https: bool) -> SessionCookie {
        // `Lax`, not `Strict`: with that, a link in an alert would lead to the login page.
        if is_https {
            let attributes = "; Path=/; HttpOnly; SameSite=Lax; Secure";
            SessionCookie { name: SECURE_NAME, attributes }
        } else {
            SessionCookie { name: NAME, attributes: "; Path=/; HttpOnly; SameSite=Lax" }
        }
    }

    /// Returns the id that the request presents; none if it presents several.
    // Another page of the host name may have set a second one, and nobody knows which is ours.
    pub(super) fn read(self, headers: &HeaderMap) -> Option<SecretString> {
        let values = headers.get_all(header::COOKIE).iter();
        let pairs = values.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(';'));
        let ours = pairs.filter_map(|pair| pair.trim().split_once('='));
        let mut ours = ours.filter(|(name, _)| *name == self.name).map(|(_, id)| id);
        let id = ours.next().filter(|id| !id.is_empty() && id.len() <= LENGTH_MAX)?;
        ours.next().is_none().then(|| id.into())
    }

    /// Returns the header that sets it for this long.
    pub(in crate::admin) fn set(self, id: &SecretString, time: Duration) -> HeaderValue {
        let SessionCookie { name, attributes } = self;
        let (id, seconds) = (id.expose_secret(), time.as_secs());
        let header = format!("{name}={id}{attributes}; Max-Age={seconds}");
        let mut header = HeaderValue::try_from(header).expect("an id has hex digits only");
        header.set_sensitive(true);
        header
    }

    /// Returns the header that removes it.
    pub(in crate::admin) fn clear(self) -> HeaderValue {
        let SessionCookie { name, attributes } = self;
        let header = format!("{name}={attributes}; Max-Age=0");
        HeaderValue::try_from(header).expect("its parts are written here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cookies: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, cookie.parse().unwrap());
        }
        let id = SessionCookie::new(false).read(&headers);
        id.map(|id| id.expose_secret().to_owned())
    }

    #[test]
    fn id_is_read_from_one_cookie_of_the_exact_name() {
        assert_eq!(read(&["a=1; savio_relay_session=x; b=2"]).as_deref(), Some("x"));
        assert_eq!(read(&["a=1", "savio_relay_session=x"]).as_deref(), Some("x"));
        for none in [
            "savio_relay_session=",
            "savio_relay_session",
            "Savio_relay_session=x",
            "xsavio_relay_session=x",
            "__Host-savio_relay_session=x",
            "savio_relay_session=x; savio_relay_session=y",
        ] {
            assert_eq!(read(&[none]), None, "{none}");
        }
        assert_eq!(read(&["savio_relay_session=x", "savio_relay_session=x"]), None);
        assert_eq!(read(&[&format!("savio_relay_session={}", "x".repeat(129))]), None);
    }

    #[test]
    fn cookie_is_bound_to_the_host_where_there_is_tls() {
        let hour = Duration::from_hours(1);
        let set = |is_https| {
            let header = SessionCookie::new(is_https).set(&"x".into(), hour);
            header.to_str().unwrap().to_owned()
        };

        let plain = "savio_relay_session=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600";
        assert_eq!(set(false), plain);
        let secure =
            "__Host-savio_relay_session=x; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=3600";
        assert_eq!(set(true), secure);
    }
}
