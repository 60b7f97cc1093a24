//! The fields of a form: first as bytes, then as text, once all declared character sets are known.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::charset::{Charset, TextReader, of_label};
use super::excerpt::excerpt;
use super::transfer::TransferEncoding;

/// The field in which browsers send the character set of a form (RFC 7578, 4.6).
const CHARSET_FIELD: &[u8] = b"_charset_";

/// Longer lists of character sets are ignored: they are parsed for each form.
const CHARSETS_BYTES_MAX: usize = 64 * 1024;

/// A field whose bytes are not decoded yet.
#[derive(Debug)]
pub(super) struct RawField<'b> {
    pub(super) name: Cow<'b, [u8]>,
    pub(super) content: RawContent<'b>,
}

#[derive(Debug)]
pub(super) enum RawContent<'b> {
    Text {
        bytes: Cow<'b, [u8]>,
        /// Character set that the part declares.
        charset: Option<Charset>,
        encoding: TransferEncoding,
    },
    File {
        name: Vec<u8>,
        charset: Option<Charset>,
        content_type: Vec<u8>,
        content: &'b [u8],
        encoding: TransferEncoding,
    },
}

impl RawField<'_> {
    /// Undoes the transfer encoding of the field's part. Malformed content stays unchanged, with a note.
    fn decoded(mut self, texts: &mut TextReader) -> Self {
        let RawContent::Text { bytes, encoding, .. } = &mut self.content else { return self };
        match encoding.decoded(bytes) {
            Ok(Cow::Borrowed(_)) => {}
            Ok(Cow::Owned(decoded)) => *bytes = Cow::Owned(decoded),
            Err(reason) => {
                let name = String::from_utf8_lossy(&self.name);
                texts.note(format!("the field `{}` {reason}: it is kept as it is", excerpt(&name)));
            }
        }
        self
    }
}

/// Declarations for a whole form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared<'d> {
    pub(super) of_request: Option<Charset>,
    /// The field that names the character sets of the others, as a JSON object of labels.
    pub(super) charsets_field: Option<&'d str>,
}

/// Decodes the fields. The character set of a field is declared by its part, else by `charsets_field`, else by
/// `_charset_`, else by the request.
pub(super) fn read(
    fields: Vec<RawField<'_>>,
    declared: Declared<'_>,
    texts: &mut TextReader,
) -> Vec<(String, Value)> {
    // Two passes, since the fields with the declarations may come after those that they are for.
    let fields: Vec<_> = fields.into_iter().map(|field| field.decoded(texts)).collect();
    let of_fields = declared.charsets_field.and_then(|name| charsets(&fields, name));
    let of_fields = of_fields.unwrap_or_default();
    let of_form =
        text_of(&fields, CHARSET_FIELD).and_then(|label| of_label(str::from_utf8(label).ok()?));
    let of_form = of_form.or(declared.of_request);
    let read = fields.into_iter().map(|RawField { name, content }| {
        let name = texts.read("the name of a field", &name, of_form).into_owned();
        let value = match content {
            RawContent::Text { bytes, charset, .. } => {
                let charset = charset.or_else(|| of_label(of_fields.get(&name)?)).or(of_form);
                let what = format_args!("the field `{}`", excerpt(&name));
                Value::String(texts.read(what, &bytes, charset).into_owned())
            }
            RawContent::File { name: file, charset, content_type, content, encoding } => {
                let decoded = encoding.decoded(content);
                let size = decoded.map_or(content.len(), |decoded| decoded.len());
                let file = texts.read("the name of a file", &file, charset.or(of_form));
                let content_type = String::from_utf8_lossy(&content_type);
                json!({ "name": file, "type": content_type, "size": size })
            }
        };
        (name, value)
    });
    read.collect()
}

fn charsets(fields: &[RawField<'_>], name: &str) -> Option<HashMap<String, String>> {
    let text = text_of(fields, name.as_bytes())?;
    if text.len() > CHARSETS_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(text).ok()
}

fn text_of<'f>(fields: &'f [RawField<'_>], name: &[u8]) -> Option<&'f [u8]> {
    fields.iter().find(|field| *field.name == *name).and_then(|field| match &field.content {
        RawContent::Text { bytes, .. } => Some(bytes.as_ref()),
        RawContent::File { .. } => None,
    })
}
