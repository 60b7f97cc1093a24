//! The rules for URLs and e-mail addresses by which Savio refuses a request: those of Django's
//! URLValidator and EmailValidator, which Django REST framework applies to such fields.

use core::net::{Ipv4Addr, Ipv6Addr};

const SCHEMES: [&str; 4] = ["http", "https", "ftp", "ftps"];
// `URLValidator.max_length`.
const URL_CHARS_MAX: usize = 2048;
// The default `max_length` of Django's `EmailField`.
const EMAIL_CHARS_MAX: usize = 254;
// RFC 1034, 3.1: a name has 255 octets, of which one is the first length and one is the root's.
const HOST_CHARS_MAX: usize = 253;
const LABEL_CHARS_MAX: usize = 63;

pub fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str())
        || text.chars().nth(URL_CHARS_MAX).is_some()
        || text.contains(is_space)
    {
        return false;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, server)) => is_user(user) && is_server(server),
        None => is_server(authority),
    }
}

/// Returns whether `\s` of a Python regular expression matches: it has four control characters
/// more.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Accepts `user` and `user:password`.
fn is_user(user: &str) -> bool {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    !name.is_empty() && ![name, password].iter().any(|part| part.contains([':', '@']))
}

/// Accepts a host with or without a port.
fn is_server(server: &str) -> bool {
    if let Some(rest) = server.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    match server.split_once(':') {
        Some((host, port)) => is_host(host) && is_port(port),
        None => is_host(server),
    }
}

fn is_port(port: &str) -> bool {
    (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_host(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok() || host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    // A dot at the end is that of the DNS root, which Django allows in URLs and not in addresses.
    host.chars().nth(HOST_CHARS_MAX).is_none() && is_domain(host.strip_suffix('.').unwrap_or(host))
}

/// Accepts at least two labels.
fn is_domain(domain: &str) -> bool {
    let Some((labels, top)) = domain.rsplit_once('.') else {
        return false;
    };
    labels.split('.').all(|label| is_label(label, 1, is_letter_or_digit)) && is_top_label(top)
}

/// Accepts a top-level domain such as `com`, or in punycode `xn--p1ai`.
fn is_top_label(label: &str) -> bool {
    let is_punycode = label.get(..4).is_some_and(|it| it.eq_ignore_ascii_case("xn--"))
        && is_label(label, 5, |c| c.is_ascii_alphanumeric());
    is_punycode || is_label(label, 2, |c| is_letter_or_digit(c) && !c.is_ascii_digit())
}

/// Accepts allowed characters, and hyphens between them.
fn is_label(label: &str, chars_min: usize, is_allowed: impl Fn(char) -> bool) -> bool {
    (chars_min..=LABEL_CHARS_MAX).contains(&label.chars().count())
        && label.chars().all(|c| c == '-' || is_allowed(c))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_letter_or_digit(c: char) -> bool {
    // Django's `ul` range. Its characters beyond the basic plane, such as emoji, are not in it.
    let is_beyond_ascii = matches!(c, '\u{a1}'..='\u{ffff}');
    c.is_ascii_alphanumeric() || (is_beyond_ascii && !is_invisible(c) && !c.is_whitespace())
}

/// Returns whether a character is not shown: Unicode's `Default_Ignorable_Code_Point` and the marks
/// of interlinear annotations.
pub(crate) fn is_invisible(c: char) -> bool {
    // Copied texts have them around and inside addresses. Django accepts them in a host, which they
    // make another host, so what looks like one address would be another.
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    text.chars().nth(EMAIL_CHARS_MAX).is_none()
        && (is_dot_atom(local) || is_quoted(local))
        && (domain == "localhost" || is_domain(domain) || is_address_literal(domain))
}

/// Accepts atoms with single dots between them (RFC 5322, 3.2.3).
fn is_dot_atom(local: &str) -> bool {
    let is_atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom))
}

/// Accepts a quoted local part such as `"ada@home"`.
fn is_quoted(local: &str) -> bool {
    // Django's regular expression: like RFC 5322, 3.2.4, but without white space in the quotes.
    let content = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(content) = content else {
        return false;
    };
    let mut chars = content.chars();
    while let Some(c) = chars.next() {
        let is_allowed = match c {
            '\\' => chars.next().is_some_and(
                |c| matches!(c, '\u{1}'..='\u{9}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{7f}'),
            ),
            '"' | '\u{9}' | ' ' => false,
            '\u{1}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{7f}' => true,
            _ => false,
        };
        if !is_allowed {
            return false;
        }
    }
    true
}

/// Accepts an address literal such as `[127.0.0.1]` (RFC 5321, 4.1.3).
fn is_address_literal(domain: &str) -> bool {
    let content = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    content.is_some_and(|it| it.parse::<Ipv4Addr>().is_ok() || it.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Values of Django's own tests of its validators, and of the reports of users.
    const URLS: [&str; 32] = [
        "http://www.djangoproject.com/",
        "HTTP://WWW.DJANGOPROJECT.COM/",
        "http://localhost/",
        "http://example.com:8000/",
        "http://www.example.com:8000/test",
        "http://valid-with-hyphens.com/",
        "http://subdomain.example.com/",
        "http://a.aa",
        "http://200.8.9.10:8000/test",
        "http://su--b.valid-----hyphens.com/",
        "http://example.com?something=value",
        "http://example.com/index.php?something=value&another=value2",
        "https://example.com/a|b[c]{d}^\"<>\\",
        "ftp://example.com/",
        "ftps://example.com/",
        "http://foo.com/blah_(wikipedia)#cite-1",
        "http://✪df.ws/123",
        "http://userid:password@example.com:8080/",
        "http://userid@example.com",
        "http://مثال.إختبار",
        "http://例子.测试",
        "http://उदाहरण.परीक्षा",
        "http://-.~_!$&'()*+,;=%40:80%2f@example.com",
        "http://xn--7sbb4ac0ad0be6cf.xn--p1ai",
        "http://1337.net",
        "http://a.b-c.de",
        "http://223.255.255.254",
        "http://[::1]/",
        "http://[FEDC:BA98:7654:3210:FEDC:BA98:7654:3210]:80/index.html",
        "http://[::192.9.5.5]/ipng",
        "http://example.com./",
        "https://example.com/größe",
    ];

    const NO_URLS: [&str; 40] = [
        "",
        "/pricing",
        "pricing",
        "www.example.com",
        "https://a.example/1, https://a.example/2",
        "no_scheme",
        "foo",
        "http://",
        "http://example",
        "http://example.",
        "http://example.com:-1",
        "http://example.com:-/",
        "http://example.com:000000080/",
        "http://.com",
        "http://invalid-.com",
        "http://-invalid.com",
        "http://invalid.com-",
        "http://invalid.-com",
        "http://inv-.alid-.com",
        "http://inv-.-alid.com",
        "file://localhost/path",
        "javascript://example.com/%0aalert(1)",
        "mailto:ada@example.com",
        "http://foo bar/",
        "http://example.com/a b",
        "http://example.com/\u{2003}",
        "http://[::1:2::3]:8080/",
        "http://[]",
        "http://0.0.0.0.0",
        "http://256.1.1.1",
        "http://1.1.1.1.1",
        "http://01.2.3.4",
        "http://foo@bar@example.com",
        "http://foo:bar:baz@example.com",
        "http://@example.com",
        "http://:bar@example.com",
        "http://example.com\n",
        "http://ex_ample.com",
        "://example.com",
        "http:///example.com",
    ];

    const ADDRESSES: [&str; 15] = [
        "email@here.com",
        "weirder-email@here.and.there.com",
        "first.last+tag@sub.example.com",
        "o'x@a.bc",
        "a!#$%&*/=?^_`{|}~b@example.com",
        "example@valid-----hyphens.com",
        "example@valid-with-hyphens.com",
        "test@domain.with.idn.tld.उदाहरण.परीक्षा",
        "ada@bücher.example",
        "email@localhost",
        "email@[127.0.0.1]",
        "email@[2001:dB8::1]",
        "email@[::fffF:127.0.0.1]",
        "\"test@test\"@example.com",
        "\"\\\u{1}\"@here.com",
    ];

    const NO_ADDRESSES: [&str; 33] = [
        "",
        "abc",
        "abc@",
        "abc@bar",
        "@b.io",
        "a @x.cz",
        "abc@.com",
        "a@b.",
        "a@b.c",
        "something@@somewhere.com",
        "a..b@x.example",
        ".a@x.example",
        "a.@x.example",
        "josé@example.com",
        "\u{200b}ada@example.com",
        "a@example.x1",
        "\u{feff}ada@example.com",
        "a@b.io, c@d.io",
        "Ada <a@b.io>",
        "email@127.0.0.1",
        "email@[127.0.0.256]",
        "email@[2001:db8::12345]",
        "email@[2001:db8:0:0:1]",
        "email@[::ffff:127.0.0.256]",
        "example@invalid-.com",
        "example@-invalid.com",
        "example@invalid.com-",
        "example@inv-.alid-.com",
        "example@inv-.-alid.com",
        "\"\\\u{a}\"@here.com",
        "a\n@b.com",
        "\"test@test\"\n@example.com",
        "test@example.com\n\n<script src=\"x.js\">",
    ];

    #[test]
    fn urls_are_validated_like_django() {
        for text in URLS {
            assert!(is_url(text), "{text:?}");
        }
        for text in NO_URLS {
            assert!(!is_url(text), "{text:?}");
        }
        let long = |length: usize| format!("https://example.com/{}", "a".repeat(length - 20));
        assert!(is_url(&long(2048)) && !is_url(&long(2049)));
        let host = |labels: usize| format!("http://{}com", "a12345678.".repeat(labels));
        assert!(is_url(&host(25)) && !is_url(&host(26)));
        assert!(is_url(&format!("http://{}.com", "a".repeat(63))));
        assert!(!is_url(&format!("http://{}.com", "a".repeat(64))));
    }

    #[test]
    fn email_addresses_are_validated_like_django() {
        for text in ADDRESSES {
            assert!(is_email(text), "{text:?}");
        }
        for text in NO_ADDRESSES {
            assert!(!is_email(text), "{text:?}");
        }
        let long = |length: usize| format!("{}@example.com", "a".repeat(length - 12));
        assert!(is_email(&long(254)) && !is_email(&long(255)));
        let label = |length: usize| format!("a@{}.us", "a".repeat(length));
        assert!(is_email(&label(63)) && !is_email(&label(64)));
    }
}
