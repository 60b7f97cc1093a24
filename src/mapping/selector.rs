//! One value of the language outside of a block: how a provider's file tells an event's id and type.

use serde_json::Value;

use crate::event::Headers;
use crate::mistake::{Document, Mistake};
use crate::table::{Mistakes, Text};

use super::explain::Tries;
use super::expression::{Expression, Reader, Takes};
use super::plain::{clean, joined};
use super::query::Patterns;
use super::scope::{Scope, View};
use super::template::{Templates, Variable};

/// One value of the language outside of a block: a provider file's `id`, `type`. It is `$...`, a
/// template with `payload` and `headers`, or `header:X-Name`.
#[derive(Debug, Clone)]
pub struct Selector {
    templates: Templates,
    origin: Origin,
}

/// Why a selector gives nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Untold(String);

#[derive(Debug, Clone)]
enum Origin {
    Header(String),
    Expression(Expression),
    /// It was a mistake.
    Nothing,
}

impl Selector {
    pub fn compile(text: &Text, mistakes: &mut Mistakes) -> Selector {
        Selector::compile_within(text, &Patterns::of_file(), mistakes)
    }

    /// The same, with patterns that the rest of the file shares the costs of.
    pub fn compile_within(text: &Text, patterns: &Patterns, mistakes: &mut Mistakes) -> Selector {
        let mut templates = Templates::new(patterns);
        let origin = match text.text.strip_prefix("header:") {
            Some(name) => header(name, text, mistakes),
            None => expression(text, &mut templates, mistakes),
        };
        Selector { templates: templates.seal(), origin }
    }

    /// The members of the payload's outermost object that it looks at; none if it may look at all.
    pub fn members(&self) -> Option<Vec<String>> {
        match &self.origin {
            Origin::Header(_) | Origin::Nothing => Some(Vec::new()),
            Origin::Expression(expression) => expression.members(),
        }
    }

    /// The text that the payload gives; `None` if it is empty or cannot be told.
    pub fn select(&self, payload: &Value, headers: &Headers) -> Option<String> {
        self.text(payload, headers).ok().filter(|text| !text.is_empty())
    }

    /// The text that the payload gives, which may be empty; else why it cannot be told.
    pub fn text(&self, payload: &Value, headers: &Headers) -> Result<String, Untold> {
        match &self.origin {
            Origin::Header(name) => Ok(headers.get(name).map(|it| clean(it)).unwrap_or_default()),
            Origin::Expression(expression) => {
                let scope = Scope::new(payload, headers);
                let view = View::new(&scope, &self.templates, None);
                let nodes = expression.nodes(&view, Takes::One, &mut Tries::default());
                nodes.map(|nodes| joined(&nodes, ", ")).map_err(|failure| Untold(failure.0))
            }
            Origin::Nothing => Ok(String::new()),
        }
    }
}

fn header(name: &str, text: &Text, mistakes: &mut Mistakes) -> Origin {
    let name = name.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_!#$%&'*+.^`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_name) {
        let mistake = Mistake::error(text.place.clone(), format!("`{name}` is no header's name"));
        mistakes.push(mistake.help("write \"header:X-Name\""));
        return Origin::Nothing;
    }
    Origin::Header(name.to_ascii_lowercase())
}

fn expression(text: &Text, templates: &mut Templates, mistakes: &mut Mistakes) -> Origin {
    let known = [Variable::Payload, Variable::Headers, Variable::Jsonpath];
    let document = Document { name: String::new(), text: String::new() };
    let read = Reader::new(&document, templates, &known, mistakes).text(text);
    read.map_or(Origin::Nothing, Origin::Expression)
}
