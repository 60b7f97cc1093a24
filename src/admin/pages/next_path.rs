//! Where a browser goes after the login: to a path of this relay, and nowhere else.

use serde::Deserialize;

const LENGTH_MAX: usize = 2_000;

/// A path of this relay; the login page itself where none, or no such path, was named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(super) struct NextPath(Option<String>);

impl From<String> for NextPath {
    fn from(path: String) -> NextPath {
        // `//host` and `/\host` are other hosts to a browser, which also drops tabs and line ends.
        let is_ours = path.starts_with('/')
            && !path.starts_with("//")
            && !path.contains('\\')
            && path.bytes().all(|byte| byte.is_ascii_graphic());
        NextPath((is_ours && path.len() <= LENGTH_MAX).then_some(path))
    }
}

impl NextPath {
    pub(super) fn is_login_page(&self) -> bool {
        self.0.is_none()
    }

    /// Returns it as a browser finds it from the login page.
    pub(super) fn as_str(&self) -> &str {
        // Relative: a proxy may have the relay under a path of its own.
        self.0.as_deref().unwrap_or("login")
    }

    /// Returns the path that was named.
    pub(super) fn named(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_relay_are_followed() {
        let next = |path: &str| NextPath::from(path.to_owned());

        for ours in ["/", "/events?state=dead&q=a%20b#x", "/a//b"] {
            assert_eq!(next(ours).as_str(), ours);
        }
        let long = format!("/{}", "a".repeat(LENGTH_MAX));
        for other in [
            "",
            "events",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /",
            "javascript:alert(1)",
            long.as_str(),
        ] {
            assert!(next(other).is_login_page(), "{other:?}");
        }
    }
}
