//! The keys of `[answer]` and `[[handshake]]` that describe a response.

use http::HeaderValue;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};

/// The response that the provider expects to an accepted webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedResponse {
    pub status: u16,
    pub content_type: HeaderValue,
    pub body: String,
}

impl AcceptedResponse {
    pub(super) fn read(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> AcceptedResponse {
        let content_type = content_type(&mut table, mistakes);
        let accepted = AcceptedResponse {
            status: status(&mut table, mistakes),
            content_type: content_type.unwrap_or(HeaderValue::from_static("text/plain")),
            body: table.text_or("body", "", mistakes),
        };
        table.finish(mistakes);
        accepted
    }
}

pub(super) fn status(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> u16 {
    let status = table.number("status", mistakes).unwrap_or(200);
    // Other statuses would make the provider treat the address as broken.
    if !(200..300).contains(&status) {
        let message = "an answer has a status from 200 to 299";
        mistakes.push(Diagnostic::error(table.value_place("status"), message));
    }
    u16::try_from(status).unwrap_or_default()
}

pub(super) fn content_type(
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> Option<HeaderValue> {
    let text = table.text("content_type", mistakes)?;
    let value = HeaderValue::try_from(text.text).ok();
    if value.is_none() {
        let message = "`content_type` does not fit in a header";
        mistakes.push(Diagnostic::error(text.place, message));
    }
    value
}
