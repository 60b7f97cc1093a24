//! The host names by which browsers may reach the admin listener, against DNS rebinding and against
//! requests of other sites' pages.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use crate::admin::error::ApiError;

/// Longest name of a host (RFC 1035), and so the longest that an error shows.
const NAME_LENGTH_MAX: usize = 253;

/// IP addresses, `localhost`, and the names of the configuration.
// A page of another site can make its own name resolve to this listener, and no browser keeps it from
// reading the answers then. It cannot do so with an IP address.
#[derive(Debug)]
pub(in crate::admin) struct AllowedHosts {
    names: BTreeSet<String>,
    /// An origin of this relay, as an example.
    example: String,
}

impl AllowedHosts {
    pub(super) fn new(public_url: Option<&str>, names: &[String], own_url: &str) -> AllowedHosts {
        let public = public_url.and_then(|url| url.parse::<Uri>().ok());
        let example = public.as_ref().and_then(origin).unwrap_or_else(|| own_url.to_owned());
        let public = public.as_ref().and_then(Uri::host).map(plain);
        let names = names.iter().map(|name| plain(name)).chain(public);
        AllowedHosts { names: names.chain(["localhost".to_owned()]).collect(), example }
    }

    /// Fails if the request is for another host.
    pub(in crate::admin) fn require_host(&self, parts: &Parts) -> Result<(), ApiError> {
        let host = requested(parts).ok_or_else(|| {
            ApiError::Misdirected("the request names no host, or several".to_owned())
        })?;
        if self.allows(&host) {
            return Ok(());
        }
        let shown = if host.len() <= NAME_LENGTH_MAX { host.as_str() } else { "this name" };
        Err(ApiError::Misdirected(format!(
            "this relay is not reached as {shown}: use its IP address, or add the name to admin.hosts"
        )))
    }

    /// Fails unless a page of this relay sent the request.
    pub(in crate::admin) fn require_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (origin, more) = (origins.next(), origins.next());
        if origin.is_none() {
            let reason = format!(
                "send the header Origin with the address by which the relay is reached, such as {}",
                self.example
            );
            return Err(ApiError::Forged(reason.into()));
        }
        let origin = origin.filter(|_| more.is_none()).and_then(|it| it.to_str().ok());
        // `null`, which browsers send for pages without an origin, has no scheme.
        let origin = origin.and_then(|it| it.parse::<Uri>().ok());
        let host = origin.filter(|it| it.scheme().is_some()).and_then(|it| name(it.authority()?));
        if host.is_some_and(|host| self.allows(&host)) {
            return Ok(());
        }
        let reason = "the header Origin does not name this relay: it is the IP address, the host of \
                      admin.public_url or a name of admin.hosts by which the page was opened";
        Err(ApiError::Forged(reason.into()))
    }

    fn allows(&self, host: &str) -> bool {
        let in_brackets = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        match in_brackets {
            Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
            None => host.parse::<IpAddr>().is_ok() || self.names.contains(host),
        }
    }
}

/// Returns the origin of a URL.
fn origin(url: &Uri) -> Option<String> {
    Some(format!("{}://{}", url.scheme_str()?, url.authority()?))
}

/// Returns the host that the request is for; none if it names none or several.
fn requested(parts: &Parts) -> Option<String> {
    // RFC 9112, section 3.2.2: the host of an absolute URL in the request line counts.
    if let Some(authority) = parts.uri.authority() {
        return name(authority);
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next()?, hosts.next());
    let authority = host.to_str().ok().filter(|_| more.is_none())?.parse().ok()?;
    name(&authority)
}

/// Returns the name without its port; none with anything else beside it, such as a user.
fn name(authority: &Authority) -> Option<String> {
    let host = authority.host();
    // `[::1].example.com` has the host `[::1]` for this parser.
    let beside = authority.as_str().strip_prefix(host)?;
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_alone = beside.is_empty() || beside.strip_prefix(':').is_some_and(is_port);
    (is_alone && !host.is_empty()).then(|| plain(host))
}

fn plain(name: &str) -> String {
    // A full stop at the end names the root, and the same host.
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn hosts() -> AllowedHosts {
        AllowedHosts::new(
            Some("https://Relay.example.com:8443/x"),
            &["Intern".to_owned()],
            "http://127.0.0.1:8081",
        )
    }

    fn is_host(host: &str) -> bool {
        let request = Request::get("/login").header("host", host).body(()).unwrap();
        hosts().require_host(&request.into_parts().0).is_ok()
    }

    fn is_origin(origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        hosts().require_origin(&headers).is_ok()
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_allowed() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8081",
            "[::1]:8081",
            "192.0.2.7",
            "localhost",
            "LOCALHOST:1",
            "relay.example.com",
            "relay.example.com.:8081",
            "INTERN:8081",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "evil.example",
            "relay.example.com.evil.example",
            "xrelay.example.com",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "evil@127.0.0.1",
            "localhost.evil.example",
            "[::1].evil.example",
            "[evil]",
            "",
            ":8081",
            "a b",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn host_of_the_request_line_counts_and_two_are_none() {
        let parts = |uri: &str, names: &[&str]| {
            let mut request = Request::get(uri);
            for name in names {
                request = request.header("host", *name);
            }
            request.body(()).unwrap().into_parts().0
        };
        let is_allowed = |parts: &Parts| hosts().require_host(parts).is_ok();

        assert!(!is_allowed(&parts("http://evil.example/login", &["127.0.0.1"])));
        assert!(is_allowed(&parts("http://127.0.0.1/login", &["evil.example"])));
        assert!(!is_allowed(&parts("/login", &["127.0.0.1", "127.0.0.1"])));
        assert!(!is_allowed(&parts("/login", &[])));
    }

    #[test]
    fn missing_origin_is_asked_for_by_an_example() {
        let refused = hosts().require_origin(&HeaderMap::new()).unwrap_err().to_string();

        assert!(refused.ends_with("such as https://Relay.example.com:8443"), "{refused}");
    }

    #[test]
    fn origin_is_one_of_this_relay() {
        for origin in
            ["http://127.0.0.1:8081", "https://relay.example.com:8443", "http://[::1]:8081"]
        {
            assert!(is_origin(&[origin]), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "relay.example.com",
            "https://relay.example.com@evil.example",
            "https://",
            "file://",
        ] {
            assert!(!is_origin(&[origin]), "{origin}");
        }
        assert!(!is_origin(&[]));
        assert!(!is_origin(&["http://127.0.0.1", "http://127.0.0.1"]));
    }
}
