//! Decodes a verified body to one JSON text for each event, within limits. Pure.

mod batch;
mod projection;
mod body_config;
mod charset;
pub(super) mod content_type;
mod error;
pub(super) mod excerpt;
mod fields;
pub mod form;
mod form_field;
mod gzip;
mod json;
mod limits;
mod multipart;
mod parameter;
mod transfer;
mod xml;

use std::borrow::Cow;
use std::ops::Range;

use crate::event::Headers;
use crate::json::without_lone_surrogates;
pub use batch::BatchPath;
pub(super) use batch::{member, members, range_in};
pub use body_config::{BodyConfig, BodyFormat};
pub use error::DecodeError;
use error::malformed;
use excerpt::excerpt;
pub(super) use form_field::FormField;
use json::check_limits;
pub use json::{Decoded, parse};
pub(super) use json::{check_weight, without_bom};
pub use limits::{EVENTS_MAX, PayloadLimits};
pub(super) use projection::Projection;

/// Memory reserved while a form or XML is decoded.
// More than 100,000 values take, the most that either may have: an object in an object takes 448
// bytes.
const FORM_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Decompresses and decodes a body, and checks the limits of its JSON.
pub fn decode<'b>(
    packing: &BodyConfig,
    headers: &Headers,
    body: &'b [u8],
    limits: &PayloadLimits,
) -> Result<Decoded<'b>, DecodeError> {
    let content_type = content_type::of(headers);
    let Decoded { text, notes } = match decompressed(headers, body, limits.bytes_max)? {
        Cow::Borrowed(bytes) => packing.to_json(&content_type, bytes, limits)?,
        Cow::Owned(bytes) => packing.to_json(&content_type, &bytes, limits)?.into_owned(),
    };
    if text.trim_ascii().is_empty() {
        return Err(malformed("the body is empty"));
    }
    // Before a parser recurses into it or keeps its keys.
    check_limits(&text, limits)?;
    Ok(Decoded { text: without_lone_surrogates(text), notes })
}

/// Returns a JSON text as the payload of an event, if one that a webhook brought would be accepted.
pub fn checked<'t>(text: &'t str, limits: &PayloadLimits) -> Result<Cow<'t, str>, DecodeError> {
    check_limits(text, limits)?;
    check_weight(text, limits)?;
    Ok(without_lone_surrogates(Cow::Borrowed(text)))
}

/// Returns the memory that decoding takes beside the body and its text. Forms and XML become a bounded number of
/// values first; a field that holds JSON may hold as many as the limit allows.
pub fn decoding_weight(packing: &BodyConfig, headers: &Headers, limits: &PayloadLimits) -> usize {
    match packing.format(&content_type::of(headers)) {
        Ok(BodyFormat::Json) | Err(_) => 0,
        Ok(_) if !packing.json_fields.is_empty() => limits.parsed_bytes_max,
        Ok(BodyFormat::Form | BodyFormat::Multipart | BodyFormat::Xml) => FORM_BYTES_MAX,
    }
}

/// Undoes the content encoding of a body.
pub(super) fn decompressed<'b>(
    headers: &Headers,
    body: &'b [u8],
    bytes_max: usize,
) -> Result<Cow<'b, [u8]>, DecodeError> {
    let written = headers.get("content-encoding").map_or("", String::as_str);
    match written.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Cow::Borrowed(body)),
        "gzip" | "x-gzip" => gzip::inflate(body, bytes_max).map(Cow::Owned),
        other => Err(DecodeError::Encoding(excerpt(other))),
    }
}

/// Returns whether the decoded body may be larger than the body.
pub fn is_encoded(headers: &Headers) -> bool {
    headers.contains_key("content-encoding")
}

/// Returns the range of each event in the JSON text.
pub fn split(text: &str, each: Option<&BatchPath>) -> Result<Vec<Range<usize>>, DecodeError> {
    match each {
        Some(each) => each.ranges(text),
        None => Ok(std::iter::once(0..text.len()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: PayloadLimits =
        PayloadLimits { bytes_max: 100, depth_max: 4, key_bytes_max: 8, parsed_bytes_max: 1 << 20 };

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[track_caller]
    fn check(content_type: &str, body: &[u8], expected: Result<&str, &str>) {
        let headers = headers(&[("content-type", content_type)]);
        let decoded = decode(&BodyConfig::default(), &headers, body, &LIMITS)
            .and_then(|decoded| parse(&decoded.text).map(|value| value.to_string()))
            .map_err(|error| error.to_string());
        assert_eq!(decoded.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn json_is_read_under_each_of_its_content_types() {
        check("application/json", b"{\"a\":1}", Ok("{\"a\":1}"));
        check("Application/JSON; charset=utf-8", b" [1] \n", Ok("[1]"));
        check("application/vnd.survey.v1+json", b"\"x\"", Ok("\"x\""));
        let bare = decode(&BodyConfig::default(), &Headers::new(), b"{}", &LIMITS);
        assert_eq!(bare.unwrap().text, "{}");
    }

    #[test]
    fn other_content_types_are_refused() {
        let refused = "the content type is text/plain; send JSON or a form";
        check("text/plain", b"{}", Err(refused));
        check("application/xml", b"{}", Err(&refused.replace("text/plain", "application/xml")));
    }

    #[test]
    fn unknown_content_encoding_is_refused() {
        let encoded = headers(&[("content-encoding", "br")]);
        let identity = headers(&[("content-encoding", "identity")]);

        assert_eq!(
            decode(&BodyConfig::default(), &encoded, b"{}", &LIMITS),
            Err(DecodeError::Encoding("br".into()))
        );
        assert!(decode(&BodyConfig::default(), &identity, b"{}", &LIMITS).is_ok());
    }

    #[test]
    fn invalid_json_is_refused_with_its_place() {
        let json = "application/json";
        check(json, b"{\"a\":", Err("not JSON: EOF while parsing a value at line 1 column 5"));
        check(json, b"{}\n{}", Err("not JSON: trailing characters at line 2 column 1"));
        check(json, b"\xff", Err("not UTF-8 at byte 0"));
        check(json, b"", Err("the body is empty"));
        check(json, "\u{feff}".as_bytes(), Err("the body is empty"));
    }

    #[test]
    fn byte_order_mark_before_json_is_skipped() {
        let marked = "\u{feff}{\"a\":1}".as_bytes();
        for content_type in ["application/json", "", "application/x-www-form-urlencoded"] {
            check(content_type, marked, Ok("{\"a\":1}"));
        }
        check("application/x-www-form-urlencoded", "\u{feff}a=1".as_bytes(), Ok(r#"{"a":"1"}"#));
        let field = "payload=%EF%BB%BF%7B%22a%22%3A1%7D";
        check("application/x-www-form-urlencoded", field.as_bytes(), Ok(r#"{"a":1}"#));
    }

    #[test]
    fn json_with_the_content_type_of_forms_is_json() {
        for content_type in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-urlencoded; charset=utf-8",
        ] {
            for (body, expected) in [
                ("{\"a\":\"x&y=z+%41\"}", r#"{"a":"x&y=z+%41"}"#),
                (" \r\n[1, {\"a\": \"=\"}]\n", r#"[1,{"a":"="}]"#),
                ("[]", "[]"),
                ("{}", "{}"),
                // Bodies that only begin like JSON are forms.
                ("{a}=1", r#"{"{a}":"1"}"#),
                ("[x]=1", r#"{"[x]":"1"}"#),
                ("{}=1&a=2", r#"{"{}":"1","a":"2"}"#),
                ("7", r#"{"7":""}"#),
            ] {
                check(content_type, body.as_bytes(), Ok(expected));
            }
            let deep = "nested deeper than 4 levels at line 1 column 5";
            check(content_type, b"[[[[[1]]]]]", Err(deep));
        }
    }

    #[test]
    fn invalid_json_with_the_content_type_of_forms_is_refused() {
        for (body, expected) in [
            ("{'problem':'x=1'}", "not JSON: key must be a string at line 1 column 2"),
            (
                r#"{"problem":"a=b&c=d""#,
                "not JSON: EOF while parsing an object at line 1 column 20",
            ),
            (
                "\u{feff} {\"problem\":NaN,\"q\":\"a=b\"}",
                "not JSON: expected value at line 1 column 13",
            ),
            ("{problem: 'a=b'}", "not JSON: key must be a string at line 1 column 2"),
            ("[1, 'a=b']", "not JSON: expected value at line 1 column 5"),
            ("[", "not JSON: EOF while parsing a list at line 1 column 1"),
            ("{\"a\":1}\n{\"a\":\"=\"}", "not JSON: trailing characters at line 2 column 1"),
        ] {
            for content_type in ["application/json", "application/x-www-form-urlencoded"] {
                check(content_type, body.as_bytes(), Err(expected));
            }
        }
        check("application/x-www-form-urlencoded", b"{'a':'\xff=1'}", Err("not UTF-8 at byte 6"));
    }

    #[test]
    fn repeated_content_type_counts_once() {
        let form = "application/x-www-form-urlencoded";
        check("application/json, application/json", b"[1]", Ok("[1]"));
        check(&format!("{form}, {form}"), b"a=1", Ok(r#"{"a":"1"}"#));
        let part = "--b, c\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b, c--";
        let multipart = "multipart/form-data; boundary=\"b, c\"";
        check(multipart, part.as_bytes(), Ok(r#"{"a":"1"}"#));
        check(&format!("{multipart}, {multipart}"), part.as_bytes(), Ok(r#"{"a":"1"}"#));
        let utf8 = "application/json; charset=utf-8";
        check(&format!("application/json, {utf8}"), b"[1]", Ok("[1]"));
        check(&format!("{utf8},application/json, {utf8}"), b"[1]", Ok("[1]"));
        check(&format!("{utf8}, application/json; charset=latin1"), b"[1]", Ok("[1]"));
        check(&format!("multipart/form-data, {multipart}"), part.as_bytes(), Ok(r#"{"a":"1"}"#));
        check(&format!("{multipart}, multipart/form-data"), part.as_bytes(), Ok(r#"{"a":"1"}"#));
        for (charsets, expected) in [
            (["", "; charset=latin1"], "\u{f6}"),
            (["; charset=latin1", ""], "\u{f6}"),
            (["; charset=latin2", "; charset=iso-8859-5"], "\u{f6}"),
            (["; charset=iso-8859-5", "; charset=latin2"], "\u{456}"),
        ] {
            let lines = charsets.map(|charset| format!("{form}{charset}")).join(", ");
            check(&lines, b"a=%F6", Ok(&format!("{{\"a\":\"{expected}\"}}")));
        }
        let refused = "the content type is text/plain, application/json; send JSON or a form";
        check("text/plain, application/json", b"[1]", Err(refused));
    }

    #[test]
    fn numbers_are_unchanged() {
        let json = "application/json";
        for number in ["449.49106478873813", "0.30000000000000004", "18446744073709551615"] {
            check(json, number.as_bytes(), Ok(number));
        }
        check(json, b"1e400", Err("not JSON: number out of range at line 1 column 5"));
    }

    #[test]
    fn depth_is_limited() {
        let json = "application/json";
        check(json, b"[[[[1]]]]", Ok("[[[[1]]]]"));
        check(json, b"[[[[[1]]]]]", Err("nested deeper than 4 levels at line 1 column 5"));
        check(json, b"[\"[[[[[[\",{\"a\":{}}]", Ok("[\"[[[[[[\",{\"a\":{}}]"));
    }

    #[test]
    fn long_keys_are_refused_and_long_strings_are_not() {
        let json = "application/json";
        check(json, b"{\"12345678\":1}", Ok("{\"12345678\":1}"));
        let reason = "a key is longer than 8 bytes at line 1 column 2";
        check(json, b"{\"123456789\" : 1}", Err(reason));
        check(json, b"{\"a\":\"123456789:\"}", Ok("{\"a\":\"123456789:\"}"));
    }

    #[test]
    fn lone_surrogate_is_replaced() {
        let json = "application/json";
        check(json, br#"["\ud83d","\ud83d\ude00","\\ud83d"]"#, Ok(r#"["�","😀","\\ud83d"]"#));
        check(json, br#"["cut \uD83D\n","\udc00"]"#, Ok(r#"["cut �\n","�"]"#));
    }

    proptest! {
        #[test]
        fn random_bytes_do_not_panic_the_decoder(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for content_type in ["application/json", "application/x-www-form-urlencoded"] {
                let headers = headers(&[("content-type", content_type)]);
                if let Ok(decoded) = decode(&BodyConfig::default(), &headers, &body, &LIMITS) {
                    let _ = parse(&decoded.text);
                }
            }
        }

        #[test]
        fn random_text_does_not_panic_the_decoder(body in "[\\[\\]{}\":,\\\\ud89a0é&=+%]{0,60}") {
            for content_type in ["application/json", "application/x-www-form-urlencoded"] {
                let headers = headers(&[("content-type", content_type)]);
                if let Ok(decoded) = decode(&BodyConfig::default(), &headers, body.as_bytes(), &LIMITS) {
                    let _ = parse(&decoded.text);
                }
            }
        }
    }
}
