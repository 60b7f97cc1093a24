//! Finds the first e-mail address in a text that people wrote.

use crate::event::{NUL, is_email, is_invisible};

/// Characters that end a word.
// RFC 5322 permits some of them in an address; in texts they stand beside one, as in
// `email=ada@example.com` and in Slack's `<mailto:ada@example.com|Ada>`.
const SEPARATORS: &str = "<>()[]{}\",;|=`\u{201c}\u{201d}\u{201e}\u{ab}\u{bb}";
/// Characters of an address before its `@`, in addition to letters and digits.
const LOCAL_SIGNS: &str = ".!#$%&'*+-^_~";

/// Returns the first address that Savio accepts.
pub(crate) fn first_email(text: &str) -> Option<String> {
    // NUL is removed from all that is sent, so an address with NUL inside is one without it.
    first_address(&text.replace(NUL, "")).map(str::to_owned)
}

fn first_address(text: &str) -> Option<&str> {
    let words = text.split(|c: char| is_word_end(c) || SEPARATORS.contains(c));
    words.filter(|word| word.contains('@')).find_map(|word| {
        // A URL may have a user and a password before `@`, and neither is an address.
        let end = word.find("://").unwrap_or(word.len());
        // Each search stops at the next `@`, so that a text full of them takes linear time.
        word[..end].match_indices('@').find_map(|(at, _)| address(word, at))
    })
}

/// Returns whether people write the character between words.
fn is_word_end(c: char) -> bool {
    // U+3000 is the space of Chinese and Japanese texts. Other spaces beyond ASCII, such as
    // U+00A0, also get into the middle of an address by copying.
    matches!(c, '\t'..='\r' | ' ' | '\u{2028}' | '\u{2029}' | '\u{3000}')
}

fn is_hidden(c: char) -> bool {
    is_invisible(c) || (c.is_control() && !is_word_end(c))
}

/// Returns whether the character may be inside an address, where it looks like its end.
fn is_gap(c: char) -> bool {
    is_hidden(c) || (c.is_whitespace() && !is_word_end(c))
}

/// Returns the address around the `@` at this byte.
fn address(word: &str, at: usize) -> Option<&str> {
    let is_local = |c: char| c.is_ascii_alphanumeric() || LOCAL_SIGNS.contains(c);
    let before = word[..at].trim_end_matches(is_local);
    // Part of a name would be the address of somebody else, and `x@y@z` has no address in it.
    let visible = before.trim_end_matches(is_gap);
    let gap = &before[visible.len()..];
    let is_cut = gap.contains(is_hidden) && visible.ends_with(is_local);
    let is_name = visible.ends_with(|c: char| c.is_alphanumeric() || c == '@');
    let begins = word[before.len()..at].starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_separate = begins && is_visible_space(gap) && is_word_behind_space(visible);
    if is_cut || (is_name && !is_separate) {
        return None;
    }
    // Signs before the first letter belong to the text: `*ada@example.com*`, `'ada@example.com'`.
    let local = word[before.len()..at].trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let start = at - local.len();
    let rest = &word[at + 1..];
    let is_host = |c: char| (c.is_alphanumeric() && !is_invisible(c)) || matches!(c, '.' | '-');
    let host = &rest[..rest.find(|c| !is_host(c)).unwrap_or(rest.len())];
    if rest[host.len()..].starts_with('@') || continues_after_gap(&rest[host.len()..]) {
        return None;
    }
    let end = at + 1 + host_without_tail(host).len();
    // Savio accepts `a@localhost` too, which is no person's address.
    Some(&word[start..end]).filter(|found| found[at - start..].contains('.') && is_email(found))
}

/// Returns whether the text is one space that is shown, beyond ASCII.
fn is_visible_space(text: &str) -> bool {
    text.chars().count() == 1 && text.contains(is_gap) && !text.contains(is_hidden)
}

/// Returns whether the text ends with such a space and a word, behind another word.
// One space beyond ASCII may cut an address in two; before two words of one line, it is how the
// writer separates words.
fn is_word_behind_space(text: &str) -> bool {
    let before = text.trim_end_matches(char::is_alphabetic);
    let outer = before.trim_end_matches(is_gap);
    before.len() < text.len()
        && is_visible_space(&before[outer.len()..])
        && outer.ends_with(char::is_alphabetic)
}

/// Returns whether the host continues after characters that look like its end.
fn continues_after_gap(rest: &str) -> bool {
    let behind = rest.trim_start_matches(is_gap);
    let gap = &rest[..rest.len() - behind.len()];
    // A visible space alone may end the host: "ada@example.com\u{a0}please".
    let is_joined = gap.contains(is_hidden) || behind.starts_with(['.', '-']);
    let is_skipped = |c: char| is_gap(c) || matches!(c, '.' | '-');
    let continues = behind.trim_start_matches(is_skipped).starts_with(char::is_alphanumeric);
    !gap.is_empty() && is_joined && continues
}

/// Returns the host without the punctuation and words that follow it without a space.
fn host_without_tail(host: &str) -> &str {
    let host = host.split("..").next().unwrap_or(host).trim_end_matches(['.', '-']);
    // A top-level domain has no hyphen, and letters of one script: "example.com-she",
    // "example.comが". Only a punycoded one (`xn--`) has hyphens.
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

    // In linear time each takes a few hundredths of a second in a debug build; in quadratic time,
    // half a minute and more.
    const PARTS: usize = 50_000;
    const TIME_MAX: Duration = Duration::from_secs(10);

    #[test]
    fn text_of_at_signs_is_searched_in_linear_time() {
        for part in [
            "@",
            "a@",
            "a@b.",
            "a@b.c@",
            "\u{e9}@",
            "://@",
            "a.a",
            "a@b..c",
            "@-",
            "a@b.c\u{200b}",
            "\u{ad}@",
            "a@b.c\u{a0}",
        ] {
            let start = Instant::now();
            assert_eq!(first_email(&(part.repeat(PARTS) + "@")), None, "{part}");
            let took = start.elapsed();
            assert!(took < TIME_MAX, "{part}: {took:?}");
        }
    }

    #[test]
    fn zero_width_characters_around_an_address_are_left_out() {
        for zero_width in ["\u{200b}", "\u{200c}", "\u{200d}", "\u{2060}", "\u{feff}"] {
            let found = |text: &str| first_email(&text.replace('*', zero_width));
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

    /// Format characters, others without a glyph, spaces beyond ASCII, and control characters.
    const UNSEEN: &str = "\u{200b}\u{200e}\u{202a}\u{61c}\u{2061}\u{ad}\u{180e}\u{34f}\u{fe0f}\u{e0020}\u{3164}\
        \u{115f}\u{ffa0}\u{17b4}\u{fffa}\u{1bca0}\u{a0}\u{2009}\u{202f}\u{85}\u{1f}\u{1}\u{7f}";

    #[test]
    fn part_of_an_address_is_never_taken() {
        for unseen in UNSEEN.chars() {
            for inside in [
                "long*name@example.com",
                "ask long*name@example.com now",
                "long**name@example.com",
                "longname*@example.com",
                "longname@*example.com",
                "longname@mail.example*.com",
            ] {
                let text = inside.replace('*', &unseen.to_string());
                assert_eq!(first_email(&text), None, "{text:?}");
            }
            let around = format!("to: {unseen}ada@example.com{unseen}, she knows");
            assert_eq!(first_email(&around).as_deref(), Some("ada@example.com"), "{around:?}");
            if unseen != '\u{a0}' && unseen != '\u{2009}' && unseen != '\u{202f}' {
                let cut = format!("ada@example.co{unseen}m");
                assert_eq!(first_email(&cut), None, "{cut:?}");
            }
        }
    }

    #[test]
    fn spaces_and_line_ends_separate_an_address_from_words() {
        for text in [
            "write to ada@example.com\u{a0}please",
            "e-mail:\u{a0}ada@example.com",
            "E-mail -\u{a0}ada@example.com",
            "one\u{2028}ada@example.com\u{2029}two",
            "\u{30e1}\u{30fc}\u{30eb}\u{3000}ada@example.com\u{3000}\u{3067}\u{3059}",
            "one\r\nada@example.com\ttwo",
            "a\0da@exam\0ple.com",
        ] {
            assert_eq!(first_email(text).as_deref(), Some("ada@example.com"), "{text:?}");
        }
    }

    // One such space before an address cannot be told from one inside of an address:
    // "to\u{a0}ada@example.com" from "long\u{a0}name@example.com".
    #[test]
    fn address_behind_words_with_spaces_beyond_ascii_is_found() {
        for space in ["\u{a0}", "\u{2009}", "\u{202f}", "\u{2003}"] {
            for text in [
                "please*write*to*ada@example.com",
                "Bonjour, merci d\u{2019}\u{e9}crire*\u{e0}*ada@example.com*demain",
                "\u{434}\u{43b}\u{44f}*\u{410}\u{434}\u{44b}*ada@example.com",
                "one @ two*three*four*ada@example.com",
            ] {
                let text = text.replace('*', space);
                assert_eq!(first_email(&text).as_deref(), Some("ada@example.com"), "{text:?}");
            }
            for text in [
                "long*name@example.com",
                "ask long*name@example.com",
                "x**long*name@example.com*now",
                "9*long9*name@example.com",
                "first.*last*name@example.com",
                "first*.last*name@example.com",
                "first*last*.name@example.com",
                "first*last*\u{200b}name@example.com",
                "first*last\u{200b}*name@example.com",
                "first\u{200b}*last*name@example.com",
                "ada@example.com*or*name@example.co\u{200b}m",
            ] {
                let text = text.replace('*', space);
                let found = first_email(&text);
                assert!(found.is_none_or(|it| it == "ada@example.com"), "{text:?}");
            }
        }
    }

    #[test]
    fn address_keeps_unusual_characters() {
        for address in [
            "first.last+tag@sub.example.com",
            "o'x@a.bc",
            "ada_r@b\u{fc}cher.example",
            "ada@xn--bcher-kva.xn--p1ai",
            "test@domain.with.idn.tld.\u{909}\u{926}.\u{92a}\u{930}\u{940}",
        ] {
            assert_eq!(first_email(&format!("ask {address}, she knows")).as_deref(), Some(address));
        }
    }
}
