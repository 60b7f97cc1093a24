//! Texts of an answer, filled with what the request brought.

use std::fmt;

use serde_json::Value;

use super::exchange::HandshakeRequest;
use crate::intake::payload::form;
use crate::intake::signature::{Algorithm, Encoding};

/// Longer values are nobody's challenge.
const VALUE_BYTES_MAX: usize = 1_024;

/// The most that is signed for a stranger.
const SIGNED_BYTES_MAX: usize = 256;

/// Where a value lies in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestField {
    /// A header by its lower-case name.
    Header(String),
    Query(String),
    /// A member of the body, by the names that lead to it.
    Field(Vec<String>),
}

/// How keyed answers are computed and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HmacFormat {
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
}

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling<'r> {
    pub(super) asked: &'r HandshakeRequest<'r>,
    pub(super) keyed: HmacFormat,
    /// Whether only who has the secret gets the answer.
    pub(super) is_proven: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TextTemplate(Vec<TextPart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TextPart {
    Literal(String),
    Value(RequestField),
    /// An HMAC of the value with the source's secret.
    Keyed(RequestField),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidTextTemplate(String);

impl fmt::Display for InvalidTextTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl RequestField {
    /// `header:NAME`, `query:NAME` or `$.name.name`.
    pub(super) fn parse(text: &str) -> Option<RequestField> {
        let fits = |name: &str| !name.is_empty();
        if let Some(name) = text.strip_prefix("header:").filter(|name| fits(name)) {
            return Some(RequestField::Header(name.to_ascii_lowercase()));
        }
        if let Some(name) = text.strip_prefix("query:").filter(|name| fits(name)) {
            return Some(RequestField::Query(name.to_owned()));
        }
        let names: Vec<String> = text.strip_prefix("$.")?.split('.').map(str::to_owned).collect();
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        names
            .iter()
            .all(|name| fits(name) && name.chars().all(plain))
            .then_some(RequestField::Field(names))
    }

    pub(super) fn find(&self, asked: &HandshakeRequest<'_>) -> Option<String> {
        let found = match self {
            RequestField::Header(name) => asked.headers.get(name).cloned(),
            RequestField::Query(name) => {
                let mut pairs = form::pairs(asked.query.unwrap_or_default());
                pairs.find(|(given, _)| given == name).map(|(_, value)| value)
            }
            RequestField::Field(names) => match member(asked.body?, names)? {
                Value::String(text) => Some(text.clone()),
                value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
        };
        found.filter(|value| value.len() <= VALUE_BYTES_MAX)
    }

    pub(super) fn holds(&self, expected: &Value, asked: &HandshakeRequest<'_>) -> bool {
        match self {
            RequestField::Field(names) => {
                asked.body.and_then(|body| member(body, names)) == Some(expected)
            }
            RequestField::Header(_) | RequestField::Query(_) => {
                self.find(asked).is_some_and(|found| expected.as_str() == Some(found.as_str()))
            }
        }
    }
}

fn member<'v>(value: &'v Value, names: &[String]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| value.get(name))
}

impl TextTemplate {
    /// `{{` and `}}` stand for the braces themselves.
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

    /// Nothing if a value is not there, or is nothing to sign for a stranger.
    pub(super) fn fill(&self, filling: &Filling<'_>) -> Option<String> {
        let Filling { asked, keyed, is_proven } = *filling;
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                TextPart::Literal(literal) => text.push_str(literal),
                TextPart::Value(place) => text.push_str(&place.find(asked)?),
                TextPart::Keyed(place) => {
                    let value = place.find(asked).filter(|it| is_proven || is_challenge(it))?;
                    let mac = asked.key?.mac(keyed.algorithm, value.as_bytes());
                    text.push_str(&keyed.encoding.encode(&mac));
                }
            }
        }
        Some(text)
    }

    pub(super) fn is_keyed(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, TextPart::Keyed(_)))
    }

    /// The text of one that has no values in it.
    pub(super) fn literal(&self) -> Option<String> {
        let literal = |piece: &TextPart| match piece {
            TextPart::Literal(literal) => Some(literal.clone()),
            TextPart::Value(_) | TextPart::Keyed(_) => None,
        };
        self.0.iter().map(literal).collect()
    }

    /// Whether it has a value of the request in it, as it is.
    pub(super) fn repeats(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, TextPart::Value(_)))
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &RequestField> {
        self.0.iter().filter_map(|piece| match piece {
            TextPart::Literal(_) => None,
            TextPart::Value(place) | TextPart::Keyed(place) => Some(place),
        })
    }
}

/// Webhooks are signed with the same key, so that nothing is signed for a stranger that could be one:
/// neither JSON, nor XML, nor a form of two fields.
fn is_challenge(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~=-".contains(&byte);
    (1..=SIGNED_BYTES_MAX).contains(&value.len()) && value.bytes().all(plain)
}

fn piece(name: &str) -> Result<TextPart, InvalidTextTemplate> {
    let piece = match name.strip_prefix("hmac:") {
        Some(name) => RequestField::parse(name).map(TextPart::Keyed),
        None => RequestField::parse(name).map(TextPart::Value),
    };
    piece.ok_or_else(|| InvalidTextTemplate(format!("unknown part `{{{name}}}`")))
}
