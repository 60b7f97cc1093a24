//! Base URL of the API of a Savio account.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// An `http` or `https` URL whose path ends with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(pub(super) Url);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBaseUrl {
    #[error("this is not a URL; write it like https://www.savio.io/app/api/")]
    NoUrl,
    #[error("the URL has to begin with https:// or http://")]
    Scheme,
    #[error("the URL must carry no user and password; the token stands apart from it")]
    Credentials,
    #[error("the URL must end with its path, without `?` and `#`")]
    Query,
}

impl BaseUrl {
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns whether the host is this machine, which is never reached through a proxy.
    pub fn is_loopback(&self) -> bool {
        crate::http_client::is_loopback(&self.0)
    }

    /// Host and port of the proxy from the environment through which the URL is reached, if any.
    pub fn proxy(&self) -> Option<String> {
        crate::http_client::proxy(&self.0)
    }

    /// Returns whether the URL has the same scheme, host and port.
    pub(super) fn is_origin_of(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }

    pub(super) fn join(&self, path: &str) -> Url {
        self.0.join(path).expect("a plain path can be joined to any http URL")
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;

    fn from_str(text: &str) -> Result<BaseUrl, InvalidBaseUrl> {
        let mut url = Url::parse(text.trim()).map_err(|_| InvalidBaseUrl::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidBaseUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidBaseUrl::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidBaseUrl::Query);
        }
        // `Url::join` replaces the last segment of a path that does not end with `/`.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(BaseUrl(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, InvalidBaseUrl>) {
        let joined = text.parse::<BaseUrl>().map(|base| base.join("users/").to_string());
        assert_eq!(joined, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn path_is_joined_with_and_without_a_final_slash() {
        check("https://savio.test/app/api/", Ok("https://savio.test/app/api/users/"));
        check("https://savio.test/app/api", Ok("https://savio.test/app/api/users/"));
        check(" http://127.0.0.1:9090 ", Ok("http://127.0.0.1:9090/users/"));
    }

    #[test]
    fn invalid_base_url_is_refused() {
        check("savio.io/app/api", Err(InvalidBaseUrl::NoUrl));
        check("", Err(InvalidBaseUrl::NoUrl));
        check("ftp://savio.test/", Err(InvalidBaseUrl::Scheme));
        check("localhost:9090", Err(InvalidBaseUrl::Scheme));
        check("https://me:secret@savio.test/", Err(InvalidBaseUrl::Credentials));
        check("https://savio.test/?a=b", Err(InvalidBaseUrl::Query));
    }

    #[test]
    fn loopback_hosts_are_recognised() {
        for here in ["http://localhost:1/", "http://127.0.0.2/", "http://[::1]:9090/"] {
            assert!(here.parse::<BaseUrl>().unwrap().is_loopback(), "{here}");
        }
        for away in ["https://www.savio.io/", "http://10.0.0.1/"] {
            assert!(!away.parse::<BaseUrl>().unwrap().is_loopback(), "{away}");
        }
    }
}
