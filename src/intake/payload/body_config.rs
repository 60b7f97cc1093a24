//! `[body]`: how the bodies of a source are encoded, beyond their content types.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::charset::{self, TextReader};
use super::error::DecodeError;
use super::excerpt::excerpt;
use super::fields::{self, Declared, RawField};
use super::json::{Decoded, utf8, without_bom};
use super::limits::PayloadLimits;
use super::parameter::parameter;
use super::{content_type, form, multipart, xml};
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::json;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodyConfig {
    /// Format of all bodies, whatever their content type is.
    pub format: Option<BodyFormat>,
    /// Fields of a form that hold JSON.
    pub json_fields: Vec<String>,
    /// Elements of XML that are lists even if there is only one.
    pub lists: Vec<String>,
    /// The field of a form that names the character sets of the other fields, as JSON (SendGrid).
    pub charsets: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    Json,
    Form,
    Multipart,
    Xml,
}

const FORMATS: [(&str, BodyFormat); 3] =
    [("json", BodyFormat::Json), ("form", BodyFormat::Form), ("xml", BodyFormat::Xml)];

impl BodyConfig {
    pub fn read(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> BodyConfig {
        let format = table.keyword("format", &FORMATS, mistakes);
        let charsets = table.text("charsets", mistakes).map(|text| text.text);
        let mut texts = |key| {
            let texts = table.texts(key, mistakes).unwrap_or_default();
            texts.into_iter().map(|text| text.text).collect()
        };
        let (json_fields, lists) = (texts("json_fields"), texts("lists"));
        table.finish(mistakes);
        BodyConfig { format, json_fields, lists, charsets }
    }

    /// Returns the format of a body. XML has to be configured; without a content type a body is JSON.
    pub(super) fn format(&self, content_type: &str) -> Result<BodyFormat, DecodeError> {
        let essence = content_type::essence(content_type);
        let is_json = essence.is_empty()
            || essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"));
        match (self.format, essence.as_str()) {
            (Some(BodyFormat::Form), "multipart/form-data") => Ok(BodyFormat::Multipart),
            (Some(format), _) => Ok(format),
            (None, _) if is_json => Ok(BodyFormat::Json),
            (None, "application/x-www-form-urlencoded") => Ok(BodyFormat::Form),
            (None, "multipart/form-data") => Ok(BodyFormat::Multipart),
            (None, _) => Err(DecodeError::ContentType(excerpt(&essence))),
        }
    }

    pub(super) fn to_json<'b>(
        &self,
        content_type: &str,
        body: &'b [u8],
        limits: &PayloadLimits,
    ) -> Result<Decoded<'b>, DecodeError> {
        match self.format(content_type)? {
            BodyFormat::Json => utf8(body).map(without_bom).map(Decoded::as_it_is),
            BodyFormat::Form => {
                if let Some(json) = json_in(body)? {
                    return Ok(Decoded::as_it_is(json));
                }
                self.form(content_type, form::fields(json::without_bom(body))?, limits)
            }
            BodyFormat::Multipart => {
                self.form(content_type, multipart::fields(content_type, body)?, limits)
            }
            BodyFormat::Xml => {
                let mut texts = TextReader::default();
                let charset = texts.charset_of_xml(body, charset_of(content_type));
                let text =
                    xml::to_json(&texts.read("the XML", body, charset), &self.lists, limits)?;
                Ok(Decoded { text: Cow::Owned(text), notes: texts.into_notes() })
            }
        }
    }

    fn form(
        &self,
        content_type: &str,
        fields: Vec<RawField<'_>>,
        limits: &PayloadLimits,
    ) -> Result<Decoded<'static>, DecodeError> {
        let mut texts = TextReader::default();
        let charsets_field = self.charsets.as_deref();
        let declared = Declared { of_request: charset_of(content_type), charsets_field };
        let fields = fields::read(fields, declared, &mut texts);
        let text = form::to_json(fields, &self.json_fields, limits)?;
        Ok(Decoded { text: Cow::Owned(text), notes: texts.into_notes() })
    }
}

fn charset_of(content_type: &str) -> Option<charset::Charset> {
    charset::of_label(&parameter(content_type, "charset")?)
}

/// Returns the body if it is meant as a JSON object or list, valid or not.
fn json_in(body: &[u8]) -> Result<Option<&str>, DecodeError> {
    // curl and Apps Script send JSON with the content type of forms unless another is set.
    match utf8(body) {
        Ok(text) => Ok(Some(without_bom(text)).filter(|text| is_meant_as_json(text))),
        // JSON is UTF-8 (RFC 8259, 8.1), whatever charset is declared.
        Err(error) if is_meant_as_json(without_bom(&String::from_utf8_lossy(body))) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Returns whether a body with the content type of forms is meant as JSON.
fn is_meant_as_json(body: &str) -> bool {
    // Forms escape quotes, colons, commas and white space in a name and write `=` after it. So an
    // invalid body that begins with a bracket is a form only if these are absent before its `=`, as
    // in `{a}=1`.
    let body = body.trim_ascii_start();
    let is_form = || {
        body.split_once('=').is_some_and(|(name, _)| {
            !name.contains(['"', '\'', ':', ',']) && !name.contains(char::is_whitespace)
        })
    };
    body.starts_with(['{', '[']) && (!is_form() || serde_json::from_str::<IgnoredAny>(body).is_ok())
}
