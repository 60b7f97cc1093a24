//! Finds the first e-mail address in a text that people wrote.

use crate::event::{is_email, is_zero_width};

/// Characters that end a word. `=` and `/` may be in an address, and are in none that people have.
const SEPARATORS: &str = "<>()[]{}\",;|=`\u{201c}\u{201d}\u{201e}\u{ab}\u{bb}";
/// Characters of an address before its `@`, beside letters and digits.
const LOCAL_SIGNS: &str = ".!#$%&'*+-^_~";

/// The first one that Savio takes. A URL may have a user and `@`, and none of that is an address.
pub(crate) fn first_email(text: &str) -> Option<&str> {
    let words = text.split(|c: char| c.is_whitespace() || SEPARATORS.contains(c));
    words.filter(|word| word.contains('@')).find_map(|word| {
        let end = word.find("://").unwrap_or(word.len());
        // Each look goes no further than the next `@`, so that a text of them takes linear time.
        word[..end].match_indices('@').find_map(|(at, _)| address(word, at))
    })
}

/// The address around this `@`.
fn address(word: &str, at: usize) -> Option<&str> {
    let is_local = |c: char| c.is_ascii_alphanumeric() || LOCAL_SIGNS.contains(c);
    let before = word[..at].trim_end_matches(is_local);
    // Half of a name would be another's address.
    let seen = before.trim_end_matches(is_zero_width);
    let is_cut = seen.len() < before.len() && seen.ends_with(is_local);
    if is_cut || seen.ends_with(|c: char| c.is_alphanumeric() || c == '@') {
        return None;
    }
    let marks = word[before.len()..at].trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let start = at - marks.len();
    let rest = &word[at + 1..];
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    let host = &rest[..rest.find(|c| !is_host(c)).unwrap_or(rest.len())];
    if rest[host.len()..].starts_with('@') || goes_on_unseen(&rest[host.len()..]) {
        return None;
    }
    let end = at + 1 + host_without_tail(host).len();
    Some(&word[start..end]).filter(|found| found[at - start..].contains('.') && is_email(found))
}

/// Whether a host has more of its name behind characters without width.
fn goes_on_unseen(rest: &str) -> bool {
    let is_skipped = |c: char| is_zero_width(c) || matches!(c, '.' | '-');
    rest.starts_with(is_zero_width)
        && rest.trim_start_matches(is_skipped).starts_with(char::is_alphanumeric)
}

/// The host without what follows it with no space between: a full stop, or letters of another script or behind a
/// hyphen at the top-level domain, which has neither.
fn host_without_tail(host: &str) -> &str {
    let host = host.split("..").next().unwrap_or(host).trim_end_matches(['.', '-']);
    let top = host.rfind('.').map_or(0, |dot| dot + 1);
    let is_plain = host[top..].starts_with(|c: char| c.is_ascii_alphabetic());
    if !is_plain || host[top..].starts_with("xn--") {
        return host;
    }
    let tail = host[top..].find(|c: char| !c.is_ascii_alphanumeric());
    tail.map_or(host, |tail| &host[..top + tail])
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Linear, each takes a few hundredths of a second in a debug build; quadratic, half a minute and more.
    const PARTS: usize = 50_000;
    const TIME_MAX: Duration = Duration::from_secs(10);

    #[test]
    fn text_full_of_at_signs_is_searched_in_linear_time() {
        for part in
            ["@", "a@", "a@b.", "a@b.c@", "\u{e9}@", "://@", "a.a", "a@b..c", "@-", "a@b.c\u{200b}"]
        {
            let start = Instant::now();
            assert_eq!(first_email(&(part.repeat(PARTS) + "@")), None, "{part}");
            let took = start.elapsed();
            assert!(took < TIME_MAX, "{part}: {took:?}");
        }
    }

    #[test]
    fn characters_without_width_around_an_address_are_no_part_of_it() {
        for zero_width in ["\u{200b}", "\u{200c}", "\u{200d}", "\u{2060}", "\u{feff}"] {
            let found = |text: &str| first_email(&text.replace('*', zero_width)).map(str::to_owned);
            for around in [
                "*ada@example.com",
                "ada@example.com*",
                "ask **ada@example.com** now",
                "ask ada@example.com*.",
                "(*ada@example.com*), she knows",
            ] {
                assert_eq!(found(around).as_deref(), Some("ada@example.com"), "{around}");
            }
            for inside in [
                "a*da@example.com",
                "a.*da@example.com",
                "ada*@example.com",
                "ada@*example.com",
                "ada@example.co*m",
                "ada@mail.example*.com",
                "ada@mail.example.*com",
            ] {
                assert_eq!(found(inside), None, "{inside}");
            }
        }
    }

    #[test]
    fn address_keeps_what_belongs_to_it() {
        for address in [
            "first.last+tag@sub.example.com",
            "o'x@a.bc",
            "ada_r@b\u{fc}cher.example",
            "ada@xn--bcher-kva.xn--p1ai",
            "test@domain.with.idn.tld.\u{909}\u{926}.\u{92a}\u{930}\u{940}",
        ] {
            assert_eq!(first_email(&format!("ask {address}, she knows")), Some(address));
        }
    }
}
