//! Structs that are read from JSON objects only, since a derived `Deserialize` also accepts a list,
//! by position: `[true]` for `{"arrived": true}`. Texts that are JSON except for what programs often
//! get wrong.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deserializes a struct from a JSON object only. Lists of structs inside it need [`objects`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Object<T>(pub T);

const EXPECTED: &str = "a JSON object is expected";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        // `deserialize_map` would refuse other types itself: "invalid type: sequence, expected …".
        deserializer.deserialize_any(ObjectVisitor(PhantomData)).map(Object)
    }
}

/// Deserializes a list of structs, each from a JSON object only; for `deserialize_with`.
pub fn objects<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(object)| object).collect())
}

/// Deserializes a struct from the text of a JSON object, which may begin with a byte order mark.
pub fn from_slice<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(without_bom(text)).map(|Object(object)| object)
}

/// Strips the byte order mark that some editors and tools write before a text. RFC 8259 allows a
/// parser to ignore it, and serde_json refuses it.
pub fn without_bom(mut text: &[u8]) -> &[u8] {
    // More than one after files with marks were joined.
    while let Some(rest) = text.strip_prefix(b"\xef\xbb\xbf") {
        text = rest;
    }
    text
}

/// Returns whether the bytes begin as UTF-16, with or without a byte order mark.
pub fn is_utf16(bytes: &[u8]) -> bool {
    // Without a mark, the first character of a JSON text or a table is ASCII, with a zero byte
    // before or after it.
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [a, b, c, d, ..] => (*a == 0) != (*b == 0) && (*a == 0, *b == 0) == (*c == 0, *d == 0),
        _ => false,
    }
}

/// Returns the text as JSON that serde_json reads: without a byte order mark, and with U+FFFD for
/// escapes of lone surrogates.
pub fn repaired(text: &[u8]) -> Cow<'_, [u8]> {
    let text = without_bom(text);
    match str::from_utf8(text).map(|text| without_lone_surrogates(Cow::Borrowed(text))) {
        Ok(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        Ok(Cow::Borrowed(_)) | Err(_) => Cow::Borrowed(text),
    }
}

/// Replaces escapes of lone surrogates in JSON by U+FFFD.
pub fn without_lone_surrogates(text: Cow<'_, str>) -> Cow<'_, str> {
    // JavaScript cuts a preview text inside an emoji and sends the half as `\ud83d`, which is no
    // character and which serde_json refuses. The record must not be lost for it.
    let mut replaced: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        let width = match escaped_unit(&text, at) {
            Some(0xD800..=0xDBFF)
                if matches!(escaped_unit(&text, at + 6), Some(0xDC00..=0xDFFF)) =>
            {
                12
            }
            Some(0xD800..=0xDFFF) => {
                let replaced = replaced.get_or_insert_default();
                replaced.push_str(&text[copied..at]);
                replaced.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
            // Skips the escaped character, which may be a backslash or have several bytes.
            None => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
        at += width;
    }
    match replaced {
        Some(replaced) => Cow::Owned(replaced + &text[copied..]),
        None => text,
    }
}

/// Returns the code unit of a `\uXXXX` at this position.
fn escaped_unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u16::from_str_radix(digits, 16).ok())?
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }

    // The defaults of these methods would name Rust's types: "invalid type: sequence, expected …".
    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<T, A::Error> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Err(Error::custom(EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        arrived: bool,
        #[serde(default, deserialize_with = "objects")]
        parts: Vec<Part>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Part {
        id: u64,
    }

    fn error(text: &str) -> String {
        from_slice::<Order>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn object_is_read() {
        let order: Order = from_slice(br#"{"arrived": true, "parts": [{"id": 7}]}"#).unwrap();

        assert_eq!(order, Order { arrived: true, parts: vec![Part { id: 7 }] });
        assert!(error(r#"{"arived": true}"#).starts_with("unknown field `arived`"));
    }

    #[test]
    fn other_json_types_are_refused_with_the_expectation() {
        let others = ["[true]", "[]", "[[true]]", "7", "-7", "1.5", "\"arrived\"", "null", "true"];
        for other in others {
            assert!(error(other).starts_with(EXPECTED), "{other}: {}", error(other));
        }
    }

    #[test]
    fn list_for_an_inner_object_is_refused() {
        assert!(error(r#"{"arrived": true, "parts": [[7]]}"#).starts_with(EXPECTED));
    }

    #[test]
    fn lone_surrogate_and_byte_order_mark_are_repaired() {
        let check = |text: &str, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&repaired(text.as_bytes())), expected);
        };
        check("\u{feff}\u{feff}[1]", "[1]");
        check(r#"["\ud83d"]"#, r#"["\ufffd"]"#);
        check(r#"["\ud83d\ude00","\\ud83d"]"#, r#"["\ud83d\ude00","\\ud83d"]"#);
        assert_eq!(&*repaired(b"\xff\\ud83d"), b"\xff\\ud83d");
    }

    #[test]
    fn utf16_is_recognised_with_and_without_its_mark() {
        for text in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"{\0}\0", b"\0{\0}"] {
            assert!(is_utf16(text), "{text:?}");
        }
        for text in [&b"{}"[..], b"", b"\xef\xbb\xbf{}", b"\0\0\0\0"] {
            assert!(!is_utf16(text), "{text:?}");
        }
    }
}
