//! One field of a form that holds a credential or is signed, found in the bytes of the body before it is decoded: the
//! character sets of other fields make no difference.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::IgnoredAny;

use super::fields::RawContent;
use super::{content_type, form, multipart};
use crate::event::Headers;
use crate::json;

#[derive(Debug, Default)]
pub(in crate::intake) struct FormField {
    /// Ranges of its values in the body, in order.
    pub(in crate::intake) ranges: Vec<Range<usize>>,
    /// The last value, decoded.
    pub(in crate::intake) value: Option<Vec<u8>>,
}

impl FormField {
    pub(in crate::intake) fn find(headers: &Headers, body: &[u8], name: &str) -> FormField {
        let content_type = content_type::of(headers);
        if content_type::is_multipart(&content_type) {
            FormField::of_multipart(&content_type, body, name)
        } else {
            FormField::of_urlencoded(body, name)
        }
    }

    /// Returns why the body has no fields, if that is so: it is no form, or not split as its content type says.
    pub(in crate::intake) fn obstacle(headers: &Headers, body: &[u8]) -> Option<String> {
        let content_type = content_type::of(headers);
        if content_type::is_multipart(&content_type) {
            let read = multipart::fields(&content_type, body);
            return read
                .err()
                .map(|error| format!("the fields of the body cannot be read: {error}"));
        }
        let essence = content_type::essence(&content_type);
        let is_other = essence.ends_with("json") || essence.ends_with("xml");
        let hint = "the body is not a form, in which `field` is looked for";
        (is_other || is_json(body)).then(|| hint.to_owned())
    }

    /// Returns the body with this value in the field; none if it has no place for it.
    pub(in crate::intake) fn put(
        headers: &Headers,
        body: &[u8],
        field: (&str, &str),
    ) -> Option<Vec<u8>> {
        let content_type = content_type::of(headers);
        if content_type::is_multipart(&content_type) {
            multipart::with_field(&content_type, body, field)
        } else {
            Some(put_urlencoded(body, field))
        }
    }

    fn of_urlencoded(body: &[u8], name: &str) -> FormField {
        let pairs = form::byte_pairs(json::without_bom(body).trim_ascii_end());
        let own = pairs.filter(|(written, _)| form::unescape_bytes(written) == name.as_bytes());
        let values: Vec<&[u8]> = own.filter_map(|(_, value)| value).collect();
        FormField {
            value: values.last().map(|value| form::unescape_bytes(value)),
            ranges: values.into_iter().map(|value| place(body, value)).collect(),
        }
    }

    /// Finds nothing in a body that cannot be split into parts, and no files.
    fn of_multipart(content_type: &str, body: &[u8], name: &str) -> FormField {
        let mut found = FormField::default();
        for field in multipart::fields(content_type, body).unwrap_or_default() {
            if let RawContent::Text { bytes: Cow::Borrowed(value), encoding, .. } = field.content
                && *field.name == *name.as_bytes()
            {
                found.ranges.push(place(body, value));
                found.value = encoding.decoded(value).ok().map(Cow::into_owned);
            }
        }
        found
    }
}

/// Returns whether the body is a JSON object or list, which is read as JSON whatever its content type is.
fn is_json(body: &[u8]) -> bool {
    let text = json::without_bom(body).trim_ascii_start();
    matches!(text.first(), Some(b'{' | b'[')) && serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// Returns the urlencoded body with this value as the only one of the field.
fn put_urlencoded(body: &[u8], (name, value): (&str, &str)) -> Vec<u8> {
    let is_other = |pair: &&[u8]| {
        let mut named = form::byte_pairs(pair).map(|(written, _)| form::unescape_bytes(written));
        named.next().is_some_and(|written| written != name.as_bytes())
    };
    let own = format!("{}={}", form::escape(name), form::escape(value));
    let pairs = json::without_bom(body).split(|byte| *byte == b'&').filter(is_other);
    pairs.chain([own.as_bytes()]).collect::<Vec<_>>().join(&b'&')
}

/// Returns the range of `part`, which must be a slice of `body` and not a copy.
fn place(body: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - body.as_ptr() as usize;
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_put_into_a_field_is_found() {
        for (content_type, body) in [
            ("application/x-www-form-urlencoded", b"x=\xf6".as_slice()),
            ("application/x-www-form-urlencoded", b""),
            ("multipart/form-data; boundary=b", b"--b--"),
            (
                "multipart/form-data; boundary=b",
                b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n\xf6\r\n--b--\r\n",
            ),
        ] {
            let headers = Headers::from([("content-type".to_owned(), content_type.to_owned())]);
            let changed = FormField::put(&headers, body, ("a \"b", "1 & 2")).unwrap();
            let found = FormField::find(&headers, &changed, "a \"b");
            assert_eq!((found.ranges.len(), found.value), (1, Some(b"1 & 2".to_vec())));
            let other = FormField::find(&headers, &changed, "x").value;
            assert_eq!(other, FormField::find(&headers, body, "x").value);
        }
        let headers =
            Headers::from([("content-type".to_owned(), "multipart/form-data".to_owned())]);
        assert_eq!(FormField::put(&headers, b"--b--", ("a", "1")), None);
    }
}
