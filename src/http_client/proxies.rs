//! Which proxy of the environment a URL is reached through.

use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

/// Returns whether the URL's host is this machine, which is never reached through a proxy.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    // `host_str` keeps the brackets of an IPv6 address, which `IpAddr` does not parse.
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Returns the host and port of the proxy through which our clients reach the URL, if the
/// environment names one. Its credentials are left out.
pub fn proxy(url: &Url) -> Option<String> {
    // reqwest decides by the same matcher, so this cannot disagree with what a client does.
    matched_proxy(&Matcher::from_system(), url)
}

fn matched_proxy(matcher: &Matcher, url: &Url) -> Option<String> {
    if is_loopback(url) {
        return None;
    }
    let proxy = matcher.intercept(&url.as_str().parse().ok()?)?;
    let (host, port) = (proxy.uri().host()?, proxy.uri().port());
    Some(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_is_shown_without_its_credentials() {
        let matcher = Matcher::builder()
            .http("http://someone:hunter2@proxy.example.com:3128")
            .https("proxy.example.com")
            .no("internal.example.com")
            .build();
        let proxy = |url: &str| matched_proxy(&matcher, &url.parse().unwrap());

        assert_eq!(proxy("http://savio.example.com/").as_deref(), Some("proxy.example.com:3128"));
        assert_eq!(proxy("https://savio.example.com/").as_deref(), Some("proxy.example.com"));
        assert_eq!(proxy("http://internal.example.com/"), None);
        assert_eq!(proxy("http://127.0.0.1:9090/"), None);
    }
}
