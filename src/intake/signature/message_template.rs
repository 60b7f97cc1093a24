//! The message that a signature covers, written as a template such as `v0:{timestamp}:{body}`.

use std::ops::Range;

use super::body_field::BodyField;
use crate::diagnostics::suggestion::nearest;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageTemplate(Vec<MessagePart>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessagePart {
    Literal(String),
    Body,
    /// The first element of a body that is a list, otherwise the body (Segment).
    First,
    /// Names and values of a form, decoded and sorted; nothing for other bodies (Twilio).
    Form,
    /// The text of a field; nothing if it is absent.
    Field(BodyField),
    Timestamp,
    Id,
    Method,
    Url,
    Secret,
    /// A header by its lower-case name.
    Header(String),
    /// A parameter of the URL.
    Query(String),
}

/// A mistake in a template, with its place in the text.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidMessageTemplate {
    pub place: Range<usize>,
    pub message: String,
    pub help: String,
}

const NAMES: [&str; 11] = [
    "body",
    "first",
    "form",
    "field:NAME",
    "timestamp",
    "id",
    "method",
    "url",
    "secret",
    "header:NAME",
    "query:NAME",
];

impl MessageTemplate {
    /// Parses a template; `{{` and `}}` are literal braces.
    pub fn parse(text: &str) -> Result<MessageTemplate, InvalidMessageTemplate> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(next) = text[at..].chars().next() {
            let rest = &text[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                literal.push(next);
                at += 2;
            } else if next == '{' {
                let end = rest.find('}').map_or(text.len(), |end| at + end + 1);
                push_literal(&mut pieces, &mut literal);
                pieces.push(piece(&text[at..end], at..end)?);
                at = end;
            } else if next == '}' {
                return Err(bad(at..at + 1, "a `}` without its `{`"));
            } else {
                literal.push(next);
                at += next.len_utf8();
            }
        }
        push_literal(&mut pieces, &mut literal);
        Ok(MessageTemplate(pieces))
    }

    pub fn contains(&self, piece: &MessagePart) -> bool {
        self.0.contains(piece)
    }

    /// Returns whether the message contains at least a part of the body, whatever its type is.
    pub fn covers_body(&self) -> bool {
        self.0.iter().any(|piece| {
            matches!(piece, MessagePart::Body | MessagePart::First | MessagePart::Field(_))
        })
    }

    pub fn parts(&self) -> &[MessagePart] {
        &self.0
    }
}

fn push_literal(pieces: &mut Vec<MessagePart>, literal: &mut String) {
    if !literal.is_empty() {
        pieces.push(MessagePart::Literal(std::mem::take(literal)));
    }
}

fn piece(written: &str, place: Range<usize>) -> Result<MessagePart, InvalidMessageTemplate> {
    let Some(name) = written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return Err(bad(place, "a `{` without its `}`"));
    };
    if let Some(piece) = name.split_once(':').and_then(|(kind, name)| named(kind, name)) {
        return Ok(piece);
    }
    match name {
        "body" => Ok(MessagePart::Body),
        "first" => Ok(MessagePart::First),
        "form" => Ok(MessagePart::Form),
        "timestamp" => Ok(MessagePart::Timestamp),
        "id" => Ok(MessagePart::Id),
        "method" => Ok(MessagePart::Method),
        "url" => Ok(MessagePart::Url),
        "secret" => Ok(MessagePart::Secret),
        _ => {
            let help = match nearest(name, NAMES) {
                Some(known) => format!("did you mean `{{{known}}}`?"),
                None => format!("known here: {}", NAMES.map(|it| format!("{{{it}}}")).join(" ")),
            };
            Err(InvalidMessageTemplate {
                place,
                message: format!("unknown part `{written}`"),
                help,
            })
        }
    }
}

fn named(kind: &str, name: &str) -> Option<MessagePart> {
    match kind {
        _ if name.is_empty() => None,
        "header" => {
            let name = http::HeaderName::try_from(name).ok()?;
            Some(MessagePart::Header(name.as_str().to_owned()))
        }
        "query" => Some(MessagePart::Query(name.to_owned())),
        "field" => BodyField::parse(name).map(MessagePart::Field),
        _ => None,
    }
}

fn bad(place: Range<usize>, message: &str) -> InvalidMessageTemplate {
    let help = "write `{{` and `}}` for the braces themselves".to_owned();
    InvalidMessageTemplate { place, message: message.to_owned(), help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[MessagePart]) {
        assert_eq!(MessageTemplate::parse(text).unwrap().parts(), expected);
    }

    #[track_caller]
    fn check_mistake(text: &str, place: Range<usize>, message: &str) {
        let bad = MessageTemplate::parse(text).unwrap_err();
        assert_eq!((bad.place, bad.message.as_str()), (place, message));
    }

    #[test]
    fn names_in_braces_are_parts_and_other_text_is_literal() {
        let literal = |text: &str| MessagePart::Literal(text.to_owned());
        check("{body}", &[MessagePart::Body]);
        check(
            "v0:{timestamp}:{body}",
            &[literal("v0:"), MessagePart::Timestamp, literal(":"), MessagePart::Body],
        );
        check(
            "{header:X-Nonce}é{{{id}}}",
            &[
                MessagePart::Header("x-nonce".to_owned()),
                literal("é{"),
                MessagePart::Id,
                literal("}"),
            ],
        );
        check("", &[]);
    }

    #[test]
    fn mistakes_have_their_place() {
        check_mistake("a{bdy}", 1..6, "unknown part `{bdy}`");
        check_mistake("a{body", 1..6, "a `{` without its `}`");
        check_mistake("a}", 1..2, "a `}` without its `{`");
        assert_eq!(MessageTemplate::parse("{bdy}").unwrap_err().help, "did you mean `{body}`?");
    }
}
