//! One field of a form, found before anything else of the body is read: a proof, or what a proof covers. The character
//! sets of other fields make no difference.

use std::borrow::Cow;
use std::ops::Range;

use super::fields::RawContent;
use super::{content_type, form, multipart};
use crate::event::Headers;
use crate::json;

#[derive(Debug, Default)]
pub(in crate::intake) struct FormField {
    /// The places of its values in the body, in order.
    pub(in crate::intake) ranges: Vec<Range<usize>>,
    /// The last value, without escapes and encodings.
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

    /// The body with this value in the field; none if there is no room for it.
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
        let pairs = form::byte_pairs(json::unmarked(body).trim_ascii_end());
        let own = pairs.filter(|(written, _)| form::unescape_bytes(written) == name.as_bytes());
        let values: Vec<&[u8]> = own.filter_map(|(_, value)| value).collect();
        FormField {
            value: values.last().map(|value| form::unescape_bytes(value)),
            ranges: values.into_iter().map(|value| place(body, value)).collect(),
        }
    }

    /// None of a body that cannot be split into its parts, nor of a part that is a file.
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

/// The urlencoded body with this value in the field, and nowhere else in it.
fn put_urlencoded(body: &[u8], (name, value): (&str, &str)) -> Vec<u8> {
    let is_other = |pair: &&[u8]| {
        let mut named = form::byte_pairs(pair).map(|(written, _)| form::unescape_bytes(written));
        named.next().is_some_and(|written| written != name.as_bytes())
    };
    let own = format!("{}={}", form::escape(name), form::escape(value));
    let pairs = json::unmarked(body).split(|byte| *byte == b'&').filter(is_other);
    pairs.chain([own.as_bytes()]).collect::<Vec<_>>().join(&b'&')
}

/// `part` is a piece of `body`, not a copy.
fn place(body: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - body.as_ptr() as usize;
    start..start + part.len()
}
