//! The bytes that a signature covers in one request.

use std::borrow::Cow;

use super::body_field;
use super::message_template::{MessagePart, MessageTemplate};
use super::request::{SignError, SignedRequest};
use crate::intake::payload::{content_type, form};
use crate::json;

/// Fields of a form that are sorted, the same number as are decoded. Sorting comes before verification.
const FIELDS_MAX: usize = 10_000;

/// Values of one request for the template.
#[derive(Clone, Copy)]
pub(super) struct MessageValues<'r> {
    pub(super) timestamp: Option<&'r str>,
    pub(super) id: Option<&'r str>,
    /// The form of the URL that is tried.
    pub(super) url: Option<&'r str>,
    pub(super) request: &'r SignedRequest<'r>,
}

/// A message; the secret, which may be part of it, is inserted later.
pub(super) struct SignedMessage<'r>(Vec<SignedPart<'r>>);

enum SignedPart<'r> {
    Bytes(Cow<'r, [u8]>),
    Secret,
}

impl<'r> SignedMessage<'r> {
    pub(super) fn new(
        template: &'r MessageTemplate,
        values: &MessageValues<'r>,
    ) -> Result<SignedMessage<'r>, SignError> {
        let parts = template.parts().iter().map(|piece| values.part(piece));
        parts.collect::<Result<_, _>>().map(SignedMessage)
    }

    pub(super) fn parts<'m>(&'m self, secret: &'m [u8]) -> Vec<&'m [u8]> {
        let part = |part: &'m SignedPart<'r>| match part {
            SignedPart::Bytes(bytes) => bytes.as_ref(),
            SignedPart::Secret => secret,
        };
        self.0.iter().map(part).collect()
    }
}

impl<'r> From<&'r str> for SignedMessage<'r> {
    fn from(text: &'r str) -> SignedMessage<'r> {
        SignedMessage(vec![SignedPart::Bytes(text.as_bytes().into())])
    }
}

impl<'r> MessageValues<'r> {
    fn part(&self, piece: &'r MessagePart) -> Result<SignedPart<'r>, SignError> {
        let no_header = |name: &str| SignError::NoHeader(name.to_owned());
        let SignedRequest { method, query, headers, body, .. } = *self.request;
        let text = |text: &'r str| Cow::Borrowed(text.as_bytes());
        Ok(SignedPart::Bytes(match piece {
            MessagePart::Secret => return Ok(SignedPart::Secret),
            MessagePart::Literal(literal) => text(literal),
            MessagePart::Body => Cow::Borrowed(body),
            MessagePart::First => Cow::Borrowed(body_field::first_element(body).unwrap_or(body)),
            MessagePart::Form => Cow::Owned(self.form()?),
            MessagePart::Field(field) => Cow::Owned(field.bytes(headers, body).unwrap_or_default()),
            MessagePart::Timestamp => text(self.timestamp.ok_or_else(|| no_header("timestamp"))?),
            MessagePart::Id => text(self.id.ok_or_else(|| no_header("id"))?),
            MessagePart::Method => text(method),
            MessagePart::Url => text(self.url.ok_or(SignError::NoUrl)?),
            MessagePart::Header(name) => text(headers.get(name).ok_or_else(|| no_header(name))?),
            MessagePart::Query(name) => {
                let value =
                    form::pairs(query.unwrap_or_default()).find(|(parameter, _)| parameter == name);
                let value = value.ok_or_else(|| SignError::NoParameter(name.clone()))?;
                Cow::Owned(value.1.into_bytes())
            }
        }))
    }

    /// Returns names and values of a form, sorted and without duplicates; nothing for other bodies.
    fn form(&self) -> Result<Vec<u8>, SignError> {
        if !is_form(self.request) {
            return Ok(Vec::new());
        }
        // As bytes: the provider signs them in the form's own character set.
        let pairs = form::byte_pairs(json::without_bom(self.request.body)).map(|(name, value)| {
            (form::unescape_bytes(name), form::unescape_bytes(value.unwrap_or_default()))
        });
        let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = pairs.take(FIELDS_MAX + 1).collect();
        if pairs.len() > FIELDS_MAX {
            return Err(SignError::NoField);
        }
        // As Twilio's SDK does: sorted by name and value, equal pairs once.
        pairs.sort_unstable();
        pairs.dedup();
        Ok(pairs.into_iter().flat_map(|(name, value)| [name, value].concat()).collect())
    }
}

pub(super) fn is_form(request: &SignedRequest<'_>) -> bool {
    let content_type = content_type::of(request.headers);
    content_type::essence(&content_type) == "application/x-www-form-urlencoded"
}
