//! Texts of an answer, filled with what the request brought.

use std::fmt;

use serde_json::Value;

use super::Asked;
use crate::intake::payload::form;
use crate::intake::signature::{Algorithm, Encoding};

/// Longer values are nobody's challenge.
const VALUE_BYTES_MAX: usize = 1_024;

/// The most that is signed for a stranger.
const SIGNED_BYTES_MAX: usize = 256;

/// Where a value lies in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A header by its lower-case name.
    Header(String),
    Query(String),
    /// A member of the body, by the names that lead to it.
    Field(Vec<String>),
}

/// How keyed answers are computed and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keyed {
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
}

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling<'r> {
    pub(super) asked: &'r Asked<'r>,
    pub(super) keyed: Keyed,
    /// Whether only who has the secret gets the answer.
    pub(super) is_proven: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Value(Place),
    /// An HMAC of the value with the source's secret.
    Keyed(Place),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadTemplate(String);

impl fmt::Display for BadTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Place {
    /// `header:NAME`, `query:NAME` or `$.name.name`.
    pub(super) fn parse(text: &str) -> Option<Place> {
        let fits = |name: &str| !name.is_empty();
        if let Some(name) = text.strip_prefix("header:").filter(|name| fits(name)) {
            return Some(Place::Header(name.to_ascii_lowercase()));
        }
        if let Some(name) = text.strip_prefix("query:").filter(|name| fits(name)) {
            return Some(Place::Query(name.to_owned()));
        }
        let names: Vec<String> = text.strip_prefix("$.")?.split('.').map(str::to_owned).collect();
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        names
            .iter()
            .all(|name| fits(name) && name.chars().all(plain))
            .then_some(Place::Field(names))
    }

    pub(super) fn find(&self, asked: &Asked<'_>) -> Option<String> {
        let found = match self {
            Place::Header(name) => asked.headers.get(name).cloned(),
            Place::Query(name) => {
                let mut pairs = form::pairs(asked.query.unwrap_or_default());
                pairs.find(|(given, _)| given == name).map(|(_, value)| value)
            }
            Place::Field(names) => match member(asked.body?, names)? {
                Value::String(text) => Some(text.clone()),
                value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            },
        };
        found.filter(|value| value.len() <= VALUE_BYTES_MAX)
    }

    pub(super) fn holds(&self, expected: &Value, asked: &Asked<'_>) -> bool {
        match self {
            Place::Field(names) => {
                asked.body.and_then(|body| member(body, names)) == Some(expected)
            }
            Place::Header(_) | Place::Query(_) => {
                self.find(asked).is_some_and(|found| expected.as_str() == Some(found.as_str()))
            }
        }
    }
}

fn member<'v>(value: &'v Value, names: &[String]) -> Option<&'v Value> {
    names.iter().try_fold(value, |value, name| value.get(name))
}

impl Template {
    /// `{{` and `}}` stand for the braces themselves.
    pub(super) fn parse(text: &str) -> Result<Template, BadTemplate> {
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
                    .ok_or_else(|| BadTemplate("a `{` without its `}`".into()))?;
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                pieces.push(piece(name)?);
                rest = after;
            } else if next == '}' {
                return Err(BadTemplate("a `}` without its `{`".into()));
            } else {
                literal.push(next);
                rest = after;
            }
        }
        pieces.push(Piece::Literal(literal));
        Ok(Template(pieces))
    }

    /// Nothing if a value is not there, or is nothing to sign for a stranger.
    pub(super) fn fill(&self, filling: &Filling<'_>) -> Option<String> {
        let Filling { asked, keyed, is_proven } = *filling;
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Value(place) => text.push_str(&place.find(asked)?),
                Piece::Keyed(place) => {
                    let value = place.find(asked).filter(|it| is_proven || is_challenge(it))?;
                    let mac = asked.key?.mac(keyed.algorithm, value.as_bytes());
                    text.push_str(&keyed.encoding.encode(&mac));
                }
            }
        }
        Some(text)
    }

    pub(super) fn is_keyed(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Keyed(_)))
    }

    /// The text of one that has no values in it.
    pub(super) fn literal(&self) -> Option<String> {
        let literal = |piece: &Piece| match piece {
            Piece::Literal(literal) => Some(literal.clone()),
            Piece::Value(_) | Piece::Keyed(_) => None,
        };
        self.0.iter().map(literal).collect()
    }

    /// Whether it has a value of the request in it, as it is.
    pub(super) fn repeats(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Value(_)))
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Value(place) | Piece::Keyed(place) => Some(place),
        })
    }
}

/// Webhooks are signed with the same key, so that nothing is signed for a stranger that could be one:
/// neither JSON, nor XML, nor a form of two fields.
fn is_challenge(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~=-".contains(&byte);
    (1..=SIGNED_BYTES_MAX).contains(&value.len()) && value.bytes().all(plain)
}

fn piece(name: &str) -> Result<Piece, BadTemplate> {
    let piece = match name.strip_prefix("hmac:") {
        Some(name) => Place::parse(name).map(Piece::Keyed),
        None => Place::parse(name).map(Piece::Value),
    };
    piece.ok_or_else(|| BadTemplate(format!("unknown part `{{{name}}}`")))
}
