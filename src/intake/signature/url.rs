//! Forms of a URL that a provider may have signed, and adding parameters to a URL.

use crate::intake::payload::form::escape;

/// Returns the URL unchanged, without a port, and with the default port of its scheme.
pub(super) fn with_any_port(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    // The last colon may be inside an IPv6 address, `[::1]`, hence the check for digits.
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        _ => authority,
    };
    let port = if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
    let bare = format!("{scheme}://{host}{path}");
    let full = format!("{scheme}://{host}:{port}{path}");
    let mut urls = vec![url.to_owned(), bare, full];
    urls.dedup();
    urls
}

/// Decodes the escapes of these ASCII characters, in one pass: results are not decoded again.
pub(super) fn decoded(url: &str, characters: &str) -> String {
    let mut decoded = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        decoded.push_str(before);
        let character = escape.get(1..3).and_then(character).filter(|it| characters.contains(*it));
        decoded.push(character.unwrap_or('%'));
        rest = &escape[if character.is_some() { 3 } else { 1 }..];
    }
    decoded + rest
}

fn character(hex: &str) -> Option<char> {
    let digits = Some(hex).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    u8::from_str_radix(digits?, 16).ok().filter(u8::is_ascii).map(char::from)
}

/// Appends parameters to a URL, or to a query that begins with `?`.
pub fn with_parameters(url: &str, parameters: &[(String, String)]) -> String {
    let mut longer = url.to_owned();
    for (name, value) in parameters {
        let joint = match longer.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        longer += &format!("{joint}{}={}", escape(name), escape(value));
    }
    longer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &[&str]) {
        assert_eq!(with_any_port(url), expected);
    }

    #[test]
    fn url_is_tried_with_and_without_port() {
        let bare = "https://a.com/x?b=1:2";
        check(bare, &[bare, "https://a.com:443/x?b=1:2"]);
        check("http://a.com:8080", &["http://a.com:8080", "http://a.com", "http://a.com:80"]);
        check("http://[::1]/x", &["http://[::1]/x", "http://[::1]:80/x"]);
        check("no url", &["no url"]);
    }

    #[test]
    fn parameters_are_appended() {
        let pairs = [("a".to_owned(), "b c+d".to_owned()), ("e[]".to_owned(), "\u{e9}".to_owned())];
        for (url, expected) in [
            ("https://a.com/x", "https://a.com/x?a=b%20c%2Bd&e%5B%5D=%C3%A9"),
            ("?", "?a=b%20c%2Bd&e%5B%5D=%C3%A9"),
            ("/x?y", "/x?y&a=b%20c%2Bd&e%5B%5D=%C3%A9"),
        ] {
            assert_eq!(with_parameters(url, &pairs), expected);
        }
        assert_eq!(with_parameters("/x?", &[]), "/x?");
    }

    #[test]
    fn only_named_escapes_are_decoded_and_only_once() {
        for (url, expected) in [
            ("/x%3A%3a%2F", "/x::/"),
            ("%253A%25%33%41", "%253A%25%33%41"),
            ("%", "%"),
            ("%3", "%3"),
            ("%%3A%zz%C3%A9%", "%:%zz%C3%A9%"),
            ("\u{e9}%3A%\u{e9}%+1", "\u{e9}:%\u{e9}%+1"),
        ] {
            assert_eq!(decoded(url, ":/"), expected, "{url}");
        }
        assert_eq!(decoded("/x%3A", ""), "/x%3A");
    }
}
