//! Finds a secret in a text in which it may be encoded: percent-encoded, escaped as in JSON, or in base64. Proxies
//! write the URL of a request into headers, and each may encode it once more.

use std::collections::BTreeSet;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding};

/// Levels of encoding that are decoded. Each level makes the text shorter, or the search ends.
const ROUNDS_MAX: usize = 8;

/// Returns whether the text contains the secret, encoded or not.
pub(super) fn contains_secret(text: &[u8], secret: &[u8]) -> bool {
    // Every encoding is at least as long as what it encodes. Most headers are done here.
    if text.len() < secret.len() {
        return false;
    }
    // The text is decoded, not the secret encoded: one character has several encodings (`%2f`,
    // `%2F`, `/`), so a secret has too many forms to list. `+` may be a space or itself, so the
    // decoded secret is looked for as well, unless it is so much shorter that it would be found by
    // chance.
    let last_form = rounds(secret).pop().filter(|last| last.len() > secret.len() / 2);
    let has = |text: &[u8]| {
        contains(text, secret) || last_form.as_ref().is_some_and(|last| contains(text, last))
    };
    let least = last_form.as_ref().map_or(secret.len(), |last| last.len().min(secret.len()));
    let decoded_has = |text: &[u8]| in_base64(text, least).iter().any(|text| has(text));
    rounds(text).iter().any(|text| has(text) || decoded_has(text))
}

/// Returns the bytes, and the result of each round of decoding that changes them.
fn rounds(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rounds = vec![bytes.to_vec()];
    while let Some(last) = rounds.last().filter(|_| rounds.len() <= ROUNDS_MAX) {
        let next = decoded(last);
        if next == *last {
            break;
        }
        rounds.push(next);
    }
    rounds
}

/// Decodes one level of `%XX`, `+` and escapes of JSON. Everything else stays as it is.
fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) if let Some(byte) = hex(&[*high, *low]) => {
                plain.extend(u8::try_from(byte));
                rest = after;
            }
            (b'\\', [b'u', a, b, c, d, after @ ..]) if let Some(unit) = hex(&[*a, *b, *c, *d]) => {
                let character = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                plain.extend(character.to_string().bytes());
                rest = after;
            }
            (b'\\', [escaped @ (b'"' | b'\\' | b'/'), after @ ..]) => {
                plain.push(*escaped);
                rest = after;
            }
            (b'+', _) => plain.push(b' '),
            _ => plain.push(*byte),
        }
    }
    plain
}

fn hex(digits: &[u8]) -> Option<u32> {
    let digits = str::from_utf8(digits).ok().filter(|it| it.bytes().all(|b| b.is_ascii_hexdigit()));
    u32::from_str_radix(digits?, 16).ok()
}

/// Decodes the words of the text that are base64 and at least that long.
fn in_base64(text: &[u8], least: usize) -> BTreeSet<Vec<u8>> {
    let words = |symbols: [u8; 2], encoding: Encoding| {
        let is_digit = move |byte: &u8| byte.is_ascii_alphanumeric() || symbols.contains(byte);
        let long = text.split(move |byte| !is_digit(byte)).filter(move |it| it.len() >= least);
        long.filter_map(move |word| encoding.decode(word).ok())
    };
    words(*b"+/", BASE64_NOPAD).chain(words(*b"-_", BASE64URL_NOPAD)).collect()
}

fn contains(text: &[u8], secret: &[u8]) -> bool {
    text.windows(secret.len()).any(|window| window == secret)
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(secret: &str, text: &str) {
        assert!(contains_secret(text.as_bytes(), secret.as_bytes()), "{secret} in {text}");
    }

    #[test]
    fn secret_is_found_in_each_form_of_a_url() {
        check("se/cret+=", "https://a/b?t=se/cret+=&c");
        check("se/cret+=", "/b?t=se%2Fcret%2B%3D");
        check("se/cret+=", "/b?t=se%2fcret%2b%3d");
        check("se/cret+=", "/b?t=%73e/cret%2B=");
        check("se/cret+=", "/login?to=%2Fb%3Ft%3Dse%252Fcret%252B%253D");
        check("se cret&1", "/b?t=se+cret%261");
        check("se cret+1", "/b?t=se%20cret+1&x=%2B");
        check("se%41cret", "/b?t=se%2541cret");
        check("s\u{e9}cret 1", "/b?t=s%C3%A9cret%201");
    }

    #[test]
    fn secret_is_found_in_json() {
        check("se\"cr/e\\t", r#"{"url":"\/b?t=se\"cr\/e\\t"}"#);
        check("secret-1", r#"{"t":"\u0073ecret\u002d1"}"#);
        check("se/cret-1", r#"{"url":"b?t=se%2Fcret-1"}"#);
        check("se/cret-1", "%7B%22t%22%3A%22se%5C%2Fcret-1%22%7D");
    }

    #[test]
    fn secret_is_found_in_base64() {
        for prefix in ["", "a", "ab", "user:"] {
            let text = format!("{prefix}p\u{e4}ss?word>");
            check("p\u{e4}ss?word>", &format!("Basic {}", BASE64.encode(text.as_bytes())));
            check("p\u{e4}ss?word>", &format!("b={}&c", BASE64URL.encode(text.as_bytes())));
            let escaped = BASE64.encode(text.as_bytes()).replace('+', "%2B").replace('=', "%3D");
            check("p\u{e4}ss?word>", &format!("b={escaped}"));
        }
    }

    #[test]
    fn secret_is_not_found_in_other_texts() {
        for text in ["", "100%", "%zz%", "\\", "\\u00", "secret", "Basic c2VjcmV0", "%73ecret-2"] {
            assert!(!contains_secret(text.as_bytes(), b"secret-1"), "{text}");
        }
    }

    fn escaped(text: &[u8], chosen: &[bool]) -> Vec<u8> {
        let escape = |(byte, is_chosen): (&u8, &bool)| match (byte, is_chosen) {
            (b'%' | b'+' | b'\\' | b'"', _) | (_, true) => format!("%{byte:02X}").into_bytes(),
            _ => vec![*byte],
        };
        text.iter().zip(chosen.iter().cycle()).flat_map(escape).collect()
    }

    proptest! {
        #[test]
        fn secret_is_found_after_repeated_escaping(
            secret in "[ -~]{8,30}",
            around in "[ -~]{0,20}",
            rounds in prop::collection::vec(prop::collection::vec(any::<bool>(), 1..9), 0..5),
        ) {
            let mut text = [around.as_bytes(), b"=", secret.as_bytes(), b"&", around.as_bytes()].concat();
            for chosen in rounds {
                text = escaped(&text, &chosen);
            }
            prop_assert!(contains_secret(&text, secret.as_bytes()));
        }
    }
}
