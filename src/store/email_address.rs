//! E-mail addresses, and where they occur in texts.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Longest address (RFC 5321, section 4.5.3.1).
const BYTES_MAX: usize = 254;

/// Number of times that a text is decoded. JSON in JSON in JSON is as deep as senders go.
const DECODINGS_MAX: usize = 3;

/// An e-mail address. Its case does not matter.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress {
    text: String,
    /// Position of its last `@`.
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no e-mail address: write one such as ada@example.com")]
pub struct InvalidEmailAddress;

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    fn from_str(text: &str) -> Result<EmailAddress, InvalidEmailAddress> {
        let text = text.trim();
        let at = text.rfind('@').ok_or(InvalidEmailAddress)?;
        let has_parts = at > 0 && at + 1 < text.len();
        let has_other = text.chars().any(|it| it.is_whitespace() || it.is_control());
        if !has_parts || has_other || text.len() > BYTES_MAX {
            return Err(InvalidEmailAddress);
        }
        Ok(EmailAddress { text: text.to_owned(), at })
    }
}

// Not the address: it must not reach a log.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EmailAddress(***)")
    }
}

impl EmailAddress {
    /// Returns whether the text names the address, whole and not as a part of a longer one: as it is,
    /// in a string of JSON, in a URL or in HTML.
    pub fn is_in(&self, text: &str) -> bool {
        let mut text = Cow::Borrowed(text);
        for _ in 0..DECODINGS_MAX {
            if self.is_written_in(&text) {
                return true;
            }
            let Some(decoded) = decoded(&text) else { return false };
            text = Cow::Owned(decoded);
        }
        self.is_written_in(&text)
    }

    fn is_written_in(&self, text: &str) -> bool {
        let text = text.as_bytes();
        memchr::memchr_iter(b'@', text).any(|at| {
            let Some(begin) = at.checked_sub(self.at) else { return false };
            let end = begin + self.text.len();
            let found = text.get(begin..end);
            found.is_some_and(|it| it.eq_ignore_ascii_case(self.text.as_bytes()))
                && !continues_before(&text[..begin])
                && !begins_in_escape(&text[..begin], self.text.as_bytes())
                && !continues_after(&text[end..])
        })
    }
}

/// Returns whether an address that begins here would begin earlier.
fn continues_before(before: &[u8]) -> bool {
    // Above 127: letters of other scripts, which an address may have.
    before.last().is_some_and(|it| {
        it.is_ascii_alphanumeric() || b"!#$%&*+-./^_`{|}~".contains(it) || *it > 127
    })
}

/// Returns whether the first letter of an address is that of an escape of JSON: `\nada@example.com` is another
/// person than nada.
fn begins_in_escape(before: &[u8], address: &[u8]) -> bool {
    let backslashes = before.iter().rev().take_while(|it| **it == b'\\').count();
    let letter = address.first().is_some_and(|it| b"bfnrtu".contains(&it.to_ascii_lowercase()));
    letter && !backslashes.is_multiple_of(2)
}

/// Returns whether an address that ends here would end later.
fn continues_after(after: &[u8]) -> bool {
    let is_letter = |it: &u8| it.is_ascii_alphanumeric() || *it == b'-' || *it > 127;
    match after {
        // The full stop of a sentence does not belong to it.
        [b'.', next, ..] | [next, ..] => is_letter(next),
        [] => false,
    }
}

/// Undoes the escapes of JSON strings, those of URLs and those of HTML; none if there are none.
fn decoded(text: &str) -> Option<String> {
    // Most texts have `%` and `&` somewhere, as in a link, and no address that is written by them.
    let is_escaped = text.contains('\\') || has_escape(text, b'%') || has_escape(text, b'&');
    if !is_escaped {
        return None;
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '%', '&']) {
        let (before, from) = rest.split_at(at);
        decoded.push_str(before);
        let (one, length) = escape(from);
        decoded.push(one);
        rest = &from[length..];
    }
    decoded.push_str(rest);
    Some(decoded)
}

/// Returns whether the text has an escape that begins with this sign.
fn has_escape(text: &str, sign: u8) -> bool {
    memchr::memchr_iter(sign, text.as_bytes()).any(|at| escape(&text[at..]).1 > 1)
}

/// Characters of addresses that HTML has names for.
const NAMED: [(&str, char); 8] = [
    ("&commat;", '@'),
    ("&amp;", '&'),
    ("&period;", '.'),
    ("&plus;", '+'),
    ("&lowbar;", '_'),
    ("&apos;", '\''),
    ("&lt;", '<'),
    ("&gt;", '>'),
];

/// Returns the character of the entity with which the text begins, and the entity's length.
fn entity(text: &str) -> (char, usize) {
    if let Some((name, c)) = NAMED.iter().find(|(name, _)| text.starts_with(name)) {
        return (*c, name.len());
    }
    let Some(number) = text.strip_prefix("&#") else { return ('&', 1) };
    let hex = number.strip_prefix(['x', 'X']);
    let (digits, radix) = hex.map_or((number, 10), |digits| (digits, 16));
    let length = digits.bytes().take_while(|it| char::from(*it).is_digit(radix)).count();
    let code = u32::from_str_radix(&digits[..length], radix).ok();
    let Some(c) = code.and_then(char::from_u32) else { return ('&', 1) };
    // Browsers read it without its end, too.
    let begin = text.len() - digits.len() + length;
    (c, begin + usize::from(text[begin..].starts_with(';')))
}

/// Returns the character of the escape with which the text begins, and the escape's length.
fn escape(text: &str) -> (char, usize) {
    let hex = |range| {
        let digits = text.get(range).filter(|it: &&str| it.bytes().all(|b| b.is_ascii_hexdigit()));
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.get(1)) {
        (Some(b'\\'), Some(b'u')) => match hex(2..6) {
            // Half of a pair is no character of an address.
            Some(code) => (char::from_u32(code).unwrap_or(' '), 6),
            None => (' ', 1),
        },
        (Some(b'\\'), Some(b'n' | b'r' | b't' | b'b' | b'f')) => (' ', 2),
        (Some(b'\\'), Some(next)) if next.is_ascii() => (char::from(*next), 2),
        (Some(b'%'), Some(_)) => match hex(1..3).filter(|code| *code < 128) {
            Some(code) => (char::from_u32(code).unwrap_or('%'), 3),
            None => ('%', 1),
        },
        (Some(b'%'), None) => ('%', 1),
        (Some(b'&'), _) => entity(text),
        (Some(_) | None, _) => (' ', 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_found_whole_in_each_way_of_writing() {
        let ada: EmailAddress = "Ada+x@Example.com".parse().unwrap();
        for text in [
            "ada+x@example.com",
            "From <ADA+X@EXAMPLE.COM>, and others",
            "write to ada+x@example.com.",
            r#"{"text":"mail:\nada+x@example.com\tthanks"}"#,
            r#"{"email":"ada\u002Bx\u0040example.com"}"#,
            r#"{"json":"{\"text\":\"a\\nada+x@example.com\"}"}"#,
            "https://example.com/?email=ada%2Bx%40example.com&a=100%",
            "mailto:ada+x@example.com",
            "https://example.com/?email=ada%2Bx@example.com",
            "ada+x&#64;example.com",
            "ada&#43;x&#x40;example&period;com",
            "&#97;&#100;&#97;&#43;&#120;&#64;example&#46;com",
            "&lt;ada&plus;x&commat;example.com&gt;",
            "ada+x&#64 example.com, or ada+x&#64example.com",
            r#"{"html":"<p>ada+x\u0026#64;example.com<\/p>"}"#,
            r#"{"html":"a%26%2364; ada+x&amp;#64;example.com"}"#,
        ] {
            assert!(ada.is_in(text), "{text}");
        }
        for text in [
            "nada+x@example.com",
            "ada@example.com",
            "ada+x@example.com.au",
            "ada+x@example.community",
            "ada+x@example.com-x",
            "x.ada+x@example.com",
            "\\",
            "%",
            "%40",
            "@",
            "&",
            "&#",
            "&#x;",
            "&#64;",
            "&#99999999999;",
            "&#xD800;ada+x",
            "nada+x&#64;example.com",
            "&#110;ada+x&#64;example.com",
            "ada+x&#64;example.com&#46;au",
            "",
        ] {
            assert!(!ada.is_in(text), "{text}");
        }
    }

    #[test]
    fn letter_of_an_escape_is_no_part_of_an_address() {
        let nada: EmailAddress = "nada@example.com".parse().unwrap();
        for text in
            [r#"{"text":"mail:\nnada@example.com"}"#, r#"{"text":"CORP\\nada@example.com"}"#]
        {
            assert!(nada.is_in(text), "{text}");
        }
        for text in [r#"{"text":"mail:\nada@example.com"}"#, r"\\\nada@example.com"] {
            assert!(!nada.is_in(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in ["", "ada", "@example.com", "ada@", "ada @example.com", "a@b\n@c"] {
            assert_eq!(bad.parse::<EmailAddress>(), Err(InvalidEmailAddress), "{bad:?}");
        }
        assert!(format!("{}@example.com", "a".repeat(250)).parse::<EmailAddress>().is_err());
    }
}
