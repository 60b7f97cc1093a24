//! Templates for the response, filled with values of the request.

use std::fmt;

use serde_json::Value;

use super::exchange::HandshakeRequest;
use crate::intake::payload::{form, members};
use crate::intake::signature::{Algorithm, Encoding};

/// Longer values are ignored; challenges are shorter.
const VALUE_BYTES_MAX: usize = 1_024;

/// Longest value that is signed for an unauthenticated sender.
const SIGNED_BYTES_MAX: usize = 256;

/// The place of a value in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestField {
    /// A header by its lower-case name.
    Header(String),
    Query(String),
    /// A member of the body, by its path.
    Field(Vec<String>),
}

/// Digest and encoding of `{hmac:...}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HmacFormat {
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
}

/// Context for filling a template.
#[derive(Debug, Clone, Copy)]
pub(super) struct TemplateContext<'r> {
    pub(super) request: &'r HandshakeRequest<'r>,
    pub(super) hmac: HmacFormat,
    /// Whether the request was signed, so that only the owner of the secret gets the response.
    pub(super) is_signed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TextTemplate(Vec<TextPart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TextPart {
    Literal(String),
    Value(RequestField),
    /// An HMAC of the value with the source's secret.
    Hmac(RequestField),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidTextTemplate(String);

impl fmt::Display for InvalidTextTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl RequestField {
    /// Parses `header:NAME`, `query:NAME` or `$.name.name`.
    pub(super) fn parse(text: &str) -> Option<RequestField> {
        if let Some(name) = text.strip_prefix("header:") {
            let name = http::HeaderName::try_from(name).ok()?;
            return Some(RequestField::Header(name.as_str().to_owned()));
        }
        if let Some(name) = text.strip_prefix("query:").filter(|name| !name.is_empty()) {
            return Some(RequestField::Query(name.to_owned()));
        }
        let names = members(text.strip_prefix('$')?)?;
        (!names.is_empty()).then_some(RequestField::Field(names))
    }

    pub(super) fn find(&self, request: &HandshakeRequest<'_>) -> Option<String> {
        let found = match self {
            RequestField::Header(name) => request.headers.get(name).cloned(),
            RequestField::Query(name) => {
                let mut pairs = form::pairs(request.query.unwrap_or_default());
                pairs.find(|(parameter, _)| parameter == name).map(|(_, value)| value)
            }
            RequestField::Field(names) => match member(request.body?, names)? {
                Value::String(text) => Some(text.clone()),
                value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
        };
        found.filter(|value| value.len() <= VALUE_BYTES_MAX)
    }

    pub(super) fn holds(&self, expected: &Value, request: &HandshakeRequest<'_>) -> bool {
        match self {
            // As JSON, not as text: Discord's ping has the number 0, and `"0"` is none.
            RequestField::Field(names) => {
                request.body.and_then(|body| member(body, names)) == Some(expected)
            }
            RequestField::Header(_) | RequestField::Query(_) => {
                self.find(request).is_some_and(|found| expected.as_str() == Some(found.as_str()))
            }
        }
    }
}

fn member<'v>(value: &'v Value, names: &[String]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| value.get(name))
}

impl TextTemplate {
    /// Parses a template; `{{` and `}}` are literal braces.
    pub(super) fn parse(text: &str) -> Result<TextTemplate, InvalidTextTemplate> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let after = &rest[next.len_utf8()..];
            let doubled = matches!(next, '{' | '}') && after.starts_with(next);
            if doubled {
                literal.push(next);
                rest = &after[1..];
            } else if next == '{' {
                let (name, after) = after
                    .split_once('}')
                    .ok_or_else(|| InvalidTextTemplate("a `{` without its `}`".into()))?;
                pieces.push(TextPart::Literal(std::mem::take(&mut literal)));
                pieces.push(piece(name)?);
                rest = after;
            } else if next == '}' {
                return Err(InvalidTextTemplate("a `}` without its `{`".into()));
            } else {
                literal.push(next);
                rest = after;
            }
        }
        pieces.push(TextPart::Literal(literal));
        Ok(TextTemplate(pieces))
    }

    /// Fills the template; none if a value is absent or must not be signed.
    pub(super) fn fill(&self, context: &TemplateContext<'_>) -> Option<String> {
        let TemplateContext { request, hmac, is_signed } = *context;
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                TextPart::Literal(literal) => text.push_str(literal),
                TextPart::Value(place) => text.push_str(&place.find(request)?),
                TextPart::Hmac(place) => {
                    let value = place.find(request).filter(|it| is_signed || is_challenge(it))?;
                    let mac = request.key?.mac(hmac.algorithm, value.as_bytes());
                    text.push_str(&hmac.encoding.encode(&mac));
                }
            }
        }
        Some(text)
    }

    pub(super) fn has_hmac(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, TextPart::Hmac(_)))
    }

    /// Returns the text of a template without values.
    pub(super) fn literal(&self) -> Option<String> {
        let literal = |piece: &TextPart| match piece {
            TextPart::Literal(literal) => Some(literal.clone()),
            TextPart::Value(_) | TextPart::Hmac(_) => None,
        };
        self.0.iter().map(literal).collect()
    }

    /// Returns whether the template repeats a value of the request unchanged.
    pub(super) fn repeats_request(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, TextPart::Value(_)))
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &RequestField> {
        self.0.iter().filter_map(|piece| match piece {
            TextPart::Literal(_) => None,
            TextPart::Value(place) | TextPart::Hmac(place) => Some(place),
        })
    }
}

/// Returns whether the value may be signed for an unauthenticated sender.
fn is_challenge(value: &str) -> bool {
    // Webhooks are signed with the same key. Without these characters a value is neither JSON, nor
    // XML, nor a form of two fields, so nobody can have a forged webhook signed.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~=-".contains(&byte);
    (1..=SIGNED_BYTES_MAX).contains(&value.len()) && value.bytes().all(allowed)
}

fn piece(name: &str) -> Result<TextPart, InvalidTextTemplate> {
    let piece = match name.strip_prefix("hmac:") {
        Some(name) => RequestField::parse(name).map(TextPart::Hmac),
        None => RequestField::parse(name).map(TextPart::Value),
    };
    piece.ok_or_else(|| InvalidTextTemplate(format!("unknown part `{{{name}}}`")))
}
