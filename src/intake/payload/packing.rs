//! `[body]`: how a source's bodies are written, beyond what their content types say.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::{Limits, Undecodable, excerpt, form, multipart, unmarked, utf8, xml};
use crate::table::{Mistakes, Table, word};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packing {
    /// Whatever the content type says.
    pub format: Option<Format>,
    /// Fields of a form that hold JSON.
    pub json_fields: Vec<String>,
    /// Elements of XML that are always lists.
    pub lists: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Form,
    Multipart,
    Xml,
}

const FORMATS: [(&str, Format); 3] =
    [("json", Format::Json), ("form", Format::Form), ("xml", Format::Xml)];

impl Packing {
    pub fn read(mut table: Table<'_>, mistakes: &mut Mistakes) -> Packing {
        let format = table.text("format", mistakes);
        let mut texts = |key| {
            let texts = table.texts(key, mistakes).unwrap_or_default();
            texts.into_iter().map(|text| text.text).collect()
        };
        let (json_fields, lists) = (texts("json_fields"), texts("lists"));
        let format = format.and_then(|text| word(&text, &FORMATS, mistakes));
        table.finish(mistakes);
        Packing { format, json_fields, lists }
    }

    /// XML has to be asked for; a missing content type is JSON.
    pub(super) fn format(&self, content_type: &str) -> Result<Format, Undecodable> {
        let essence = content_type.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        let is_json = essence.is_empty()
            || essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"));
        match (self.format, essence.as_str()) {
            (Some(Format::Form), "multipart/form-data") => Ok(Format::Multipart),
            (Some(format), _) => Ok(format),
            (None, _) if is_json => Ok(Format::Json),
            (None, "application/x-www-form-urlencoded") => Ok(Format::Form),
            (None, "multipart/form-data") => Ok(Format::Multipart),
            (None, _) => Err(Undecodable::ContentType(excerpt(&essence))),
        }
    }

    pub(super) fn to_json<'b>(
        &self,
        content_type: &str,
        body: &'b [u8],
        limits: &Limits,
    ) -> Result<Cow<'b, str>, Undecodable> {
        Ok(match self.format(content_type)? {
            Format::Json => Cow::Borrowed(unmarked(utf8(body)?)),
            Format::Form => {
                let body = unmarked(utf8(body)?);
                if is_json(body) {
                    return Ok(Cow::Borrowed(body));
                }
                let fields = form::fields(body)?;
                Cow::Owned(form::to_json(fields, &self.json_fields, limits)?)
            }
            Format::Multipart => {
                let fields = multipart::fields(content_type, body)?;
                Cow::Owned(form::to_json(fields, &self.json_fields, limits)?)
            }
            Format::Xml => Cow::Owned(xml::to_json(utf8(body)?, &self.lists, limits)?),
        })
    }
}

/// Whether this is an object or a list, which no form is: tools that send any body as a form send JSON so.
fn is_json(body: &str) -> bool {
    body.trim_ascii_start().starts_with(['{', '['])
        && serde_json::from_str::<IgnoredAny>(body).is_ok()
}
