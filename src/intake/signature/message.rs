//! The bytes that a signature covers in one request.

use std::borrow::Cow;

use super::{Piece, Presented, Template, Unsignable, field};
use crate::intake::payload::{form, unmarked};

/// A form with more fields than this is not sorted.
const FIELDS_MAX: usize = 10_000;

/// The template's values, as they are in one request.
#[derive(Clone, Copy)]
pub(super) struct Values<'r> {
    pub(super) timestamp: Option<&'r str>,
    pub(super) id: Option<&'r str>,
    /// The URL as it is taken to be signed.
    pub(super) url: Option<&'r str>,
    pub(super) presented: &'r Presented<'r>,
}

/// A message but for the secret, which may be part of it.
pub(super) struct Message<'r>(Vec<Part<'r>>);

enum Part<'r> {
    Bytes(Cow<'r, [u8]>),
    Secret,
}

impl<'r> Message<'r> {
    pub(super) fn new(
        template: &'r Template,
        values: &Values<'r>,
    ) -> Result<Message<'r>, Unsignable> {
        let parts = template.pieces().iter().map(|piece| values.part(piece));
        parts.collect::<Result<_, _>>().map(Message)
    }

    pub(super) fn parts<'m>(&'m self, secret: &'m [u8]) -> Vec<&'m [u8]> {
        let part = |part: &'m Part<'r>| match part {
            Part::Bytes(bytes) => bytes.as_ref(),
            Part::Secret => secret,
        };
        self.0.iter().map(part).collect()
    }
}

impl<'r> Values<'r> {
    fn part(&self, piece: &'r Piece) -> Result<Part<'r>, Unsignable> {
        let no_header = |name: &str| Unsignable::NoHeader(name.to_owned());
        let Presented { method, query, headers, body, .. } = *self.presented;
        let text = |text: &'r str| Cow::Borrowed(text.as_bytes());
        Ok(Part::Bytes(match piece {
            Piece::Secret => return Ok(Part::Secret),
            Piece::Literal(literal) => text(literal),
            Piece::Body => Cow::Borrowed(body),
            Piece::First => Cow::Borrowed(field::first_element(body).unwrap_or(body)),
            Piece::Form => Cow::Owned(self.form()?),
            Piece::Field(field) => Cow::Owned(field.text(body).unwrap_or_default().into_bytes()),
            Piece::Timestamp => text(self.timestamp.ok_or_else(|| no_header("timestamp"))?),
            Piece::Id => text(self.id.ok_or_else(|| no_header("id"))?),
            Piece::Method => text(method),
            Piece::Url => text(self.url.ok_or(Unsignable::NoUrl)?),
            Piece::Header(name) => text(headers.get(name).ok_or_else(|| no_header(name))?),
            Piece::Query(name) => {
                let value = form::pairs(query.unwrap_or_default()).find(|(given, _)| given == name);
                let value = value.ok_or_else(|| Unsignable::NoParameter(name.clone()))?;
                Cow::Owned(value.1.into_bytes())
            }
        }))
    }

    /// The names and values of a form, sorted, each pair once; of another body nothing.
    fn form(&self) -> Result<Vec<u8>, Unsignable> {
        if !is_form(self.presented) {
            return Ok(Vec::new());
        }
        let body = std::str::from_utf8(self.presented.body).map_err(|_| Unsignable::NoField)?;
        let pairs = form::pairs(unmarked(body)).take(FIELDS_MAX + 1);
        let mut pairs: Vec<(String, String)> = pairs.collect();
        if pairs.len() > FIELDS_MAX {
            return Err(Unsignable::NoField);
        }
        pairs.sort_unstable();
        pairs.dedup();
        Ok(pairs.into_iter().flat_map(|(name, value)| (name + &value).into_bytes()).collect())
    }
}

pub(super) fn is_form(presented: &Presented<'_>) -> bool {
    let written = presented.headers.get("content-type").map_or("", String::as_str);
    let essence = written.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
