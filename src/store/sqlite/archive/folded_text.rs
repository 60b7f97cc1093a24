//! Text as a search compares it.

use std::borrow::Cow;

/// Returns the text without regard to case: each letter in lower case, in any script.
///
/// Not by `str::to_lowercase`, which writes a sigma at the end of a word as another letter: a part of
/// a word would not be found in it. Accents and normal forms count.
pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let lower = |c: char| if c == 'ς' { 'σ' } else { c };
    text.chars().flat_map(char::to_lowercase).map(lower).collect()
}

/// Returns JSON text as people read it, with the escapes of its strings resolved.
///
/// Many programs escape all letters that are not ASCII, so `schön` would not be found in the text as
/// it was sent.
pub(super) fn unescaped(json: &str) -> Cow<'_, str> {
    if !json.contains('\\') {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let (c, escape) = resolved(after);
        text.push(c);
        rest = &after[escape..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Returns the character of an escape, without its backslash, and the length of the escape.
fn resolved(escape: &str) -> (char, usize) {
    let Some(letter) = escape.chars().next() else { return ('\\', 0) };
    let c = match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => return code_point(escape),
        // `"`, `\` and `/` stand for themselves.
        other => other,
    };
    (c, letter.len_utf8())
}

/// Resolves `uXXXX`, or two of them that are one character.
fn code_point(escape: &str) -> (char, usize) {
    let Some(first) = unit(escape) else { return ('u', 1) };
    let second = escape.get(5..).and_then(|rest| unit(rest.strip_prefix('\\')?));
    let pair = [first, second.unwrap_or_default()];
    match char::decode_utf16(pair).next() {
        Some(Ok(c)) => (c, if c.len_utf16() == 2 { 11 } else { 5 }),
        Some(Err(_)) | None => (char::REPLACEMENT_CHARACTER, 5),
    }
}

fn unit(escape: &str) -> Option<u16> {
    let digits = escape.strip_prefix('u')?.get(..4)?;
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if are_digits { u16::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_any_script_match_in_either_case() {
        for (text, part) in [
            ("Größe", "GRÖ"),
            ("ΟΔΥΣΣΕΥΣ", "σσευς"),
            ("ΟΔΥΣΣΕΥΣ", "ΔΥΣ"),
            ("привет", "ПРИ"),
            ("Export", "export"),
        ] {
            assert!(folded(text).contains(&folded(part)), "{part} in {text}");
        }
        assert!(!folded("résumé").contains(&folded("resume")));
    }

    #[test]
    fn escapes_are_read_as_the_characters_that_they_stand_for() {
        let check = |json: &str, text: &str| assert_eq!(unescaped(json), text, "{json}");
        check(r#"{"a":"b"}"#, r#"{"a":"b"}"#);
        check(r"sch\u00f6n \u00DF", "schön ß");
        check(r"a\nb\t\/\\\u0022\x", "a\nb\t/\\\"x");
        check(r"\ud83d\ude00!", "😀!");
        check(
            r"\ud83d! \ude00 \ud83d\u0041 \ud83d\ud83d\ude00",
            "\u{fffd}! \u{fffd} \u{fffd}A \u{fffd}😀",
        );
        check(r"\u12 \uzzzz \u+123 \", "u12 uzzzz u+123 \\");
        check(r"\u00e4ä\ä", "äää");
    }
}
