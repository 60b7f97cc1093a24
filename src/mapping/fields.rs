//! Which fields a request has, and how each is made from its value.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::event::RequestKind;
use crate::mistake::Mistake;
use crate::table::{Table, text_of};

use super::Existing;
use super::explain::Tries;
use super::expression::{Expression, Reader, Takes};
use super::plain::{Failure, Plain, clean, joined};
use super::query::Query;
use super::scope::View;
use super::validators::{is_email, is_url};

/// One key of a request's body.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) wants: Wants,
    pub(super) if_empty: IfEmpty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    Text,
    Url,
    Email,
    Whole,
    Tags,
    Attributes,
}

/// What becomes of the request when the field is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IfEmpty {
    LeaveOut,
    NoRequest,
    Unmappable,
}

/// How many attributes that cannot be sent are noted.
const NOTES_MAX: usize = 20;

const fn optional(name: &'static str, wants: Wants) -> Field {
    Field { name, wants, if_empty: IfEmpty::LeaveOut }
}

const fn required(name: &'static str, if_empty: IfEmpty) -> Field {
    Field { name, wants: Wants::Text, if_empty }
}

const FEEDBACK: [Field; 10] = [
    required("problem", IfEmpty::Unmappable),
    optional("feedback_type", Wants::Text),
    optional("state", Wants::Text),
    optional("source_url", Wants::Url),
    optional("source_username", Wants::Text),
    optional("person_email", Wants::Email),
    optional("person_name", Wants::Text),
    optional("company_name", Wants::Text),
    optional("feature_request_title", Wants::Text),
    optional("tags", Wants::Tags),
];

const CONTACT: [Field; 6] = [
    required("internal_id", IfEmpty::NoRequest),
    required("name", IfEmpty::NoRequest),
    optional("email", Wants::Email),
    optional("company", Wants::Whole),
    optional("company_internal_id", Wants::Text),
    optional("filterable_attributes", Wants::Attributes),
];

const COMPANY: [Field; 3] = [
    required("internal_id", IfEmpty::NoRequest),
    required("name", IfEmpty::NoRequest),
    optional("filterable_attributes", Wants::Attributes),
];

pub(super) fn fields(kind: RequestKind) -> &'static [Field] {
    match kind {
        RequestKind::Feedback => &FEEDBACK,
        RequestKind::Contact => &CONTACT,
        RequestKind::Company => &COMPANY,
    }
}

/// Where a field's value comes from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    Expression(Expression),
    /// The attributes, each with its own value.
    Each(Vec<(String, Expression)>),
    /// All plain entries of an object.
    Entries(Query, String),
}

impl Origin {
    /// Whether delivery is to look the value up, and what becomes of it if it is not found.
    pub(super) fn existing(&self) -> Option<Existing> {
        match self {
            Origin::Expression(Expression::Steps(steps)) => steps.existing,
            Origin::Expression(_) | Origin::Each(_) | Origin::Entries(..) => None,
        }
    }
}

/// A field's value, and what had to be left out of it.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// None if the field is empty.
    pub(super) value: Option<Value>,
    pub(super) notes: Vec<String>,
}

impl Field {
    /// Reads the field's value; nothing if it is not there, or a mistake.
    pub(super) fn read(&self, table: &mut Table<'_>, reader: &mut Reader<'_>) -> Option<Origin> {
        let value = table.value(self.name)?;
        if self.wants != Wants::Attributes {
            reader.one = match self.wants {
                Wants::Url => Some("URL"),
                Wants::Email => Some("address"),
                Wants::Text | Wants::Whole | Wants::Tags | Wants::Attributes => None,
            };
            let read = reader.read(self.name, value).map(Origin::Expression);
            reader.one = None;
            return read;
        }
        if let Some(entries) = value.get_ref().as_table() {
            let table = Table::new(reader.document, entries, value.span());
            let mut read = Vec::new();
            for (key, value) in table.entries() {
                read.extend(reader.read(&key.text, value).map(|expression| (key.text, expression)));
            }
            return Some(Origin::Each(read));
        }
        let text = text_of(reader.document, value).filter(|text| text.text.starts_with(['$', '@']));
        let Some(text) = text else {
            let message = format!("`{}` wants a table or a query", self.name);
            let help = "write { plan = \"$.plan\" }, or \"$.traits\" for all entries of an object";
            reader.mistakes.push(Mistake::error(value.span(), message).help(help));
            return None;
        };
        reader.query(&text).map(|query| Origin::Entries(query, text.text))
    }

    /// Fills the field for one event.
    pub(super) fn fill(
        &self,
        origin: &Origin,
        view: &View<'_>,
        tries: &mut Tries,
    ) -> Result<Filled, Failure> {
        let expression = match origin {
            Origin::Expression(expression) => expression,
            Origin::Each(attributes) => return Ok(each(attributes, view, tries)),
            Origin::Entries(query, written) => return entries((query, written), view, tries),
        };
        let takes = if self.wants == Wants::Tags { Takes::Many } else { Takes::One };
        let nodes = expression.nodes(view, takes, tries)?;
        if nodes.is_empty() {
            return Ok(Filled::default());
        }
        let value = match self.wants {
            Wants::Tags => tags(&nodes),
            Wants::Whole => Value::from(whole(&nodes)?),
            Wants::Url => Value::String(valid(&nodes, is_url, "URL")?),
            Wants::Email => Value::String(valid(&nodes, is_email, "e-mail address")?),
            Wants::Text | Wants::Attributes => Value::String(joined(&nodes, ", ")),
        };
        Ok(Filled { value: Some(value), notes: Vec::new() })
    }
}

fn tags(nodes: &[Plain]) -> Value {
    let mut seen = HashSet::new();
    let tags = nodes.iter().map(Plain::text).filter(|tag| seen.insert(tag.clone()));
    tags.map(Value::String).collect()
}

/// Savio's own id of a company: 9, 9.0 or "9".
fn whole(nodes: &[Plain]) -> Result<i64, Failure> {
    let text = joined(nodes, ", ");
    text.parse().map_err(|_| Failure::new("it is no whole number"))
}

/// A value that Savio would refuse, and the whole request with it, is left out.
fn valid(nodes: &[Plain], is_valid: fn(&str) -> bool, what: &str) -> Result<String, Failure> {
    let text = joined(nodes, ", ");
    if is_valid(&text) {
        return Ok(text);
    }
    Err(Failure(match nodes {
        [_] => format!("it is no {what}"),
        several => format!("{} values are no {what}: take one of them", several.len()),
    }))
}

/// Attributes keep numbers and booleans; each that fails is left out by itself.
fn each(attributes: &[(String, Expression)], view: &View<'_>, tries: &mut Tries) -> Filled {
    let mut object = Map::new();
    let mut notes = Vec::new();
    for (name, expression) in attributes {
        match expression.nodes(view, Takes::One, tries) {
            Ok(found) => {
                let value = match <[Plain; 1]>::try_from(found) {
                    Ok([node]) => Some(node.into_json()),
                    Err(several) => {
                        Some(joined(&several, ", ").into()).filter(|_| !several.is_empty())
                    }
                };
                object.extend(value.map(|value| (name.clone(), value)));
            }
            Err(failure) => notes.push(format!("`{name}` was left out: {failure}")),
        }
    }
    Filled { value: filled(object), notes }
}

/// All plain entries of the objects that a query gives.
fn entries(
    (query, written): (&Query, &str),
    view: &View<'_>,
    tries: &mut Tries,
) -> Result<Filled, Failure> {
    let mut object = Map::new();
    let mut notes = Vec::new();
    for node in view.nodes(query)? {
        let found = match node {
            Value::Object(found) => found,
            Value::Null => continue,
            _ => return Err(Failure::new("it gives something that is no object")),
        };
        for (key, value) in found {
            match value {
                Value::Bool(_) | Value::Number(_) => {
                    object.insert(key.clone(), value.clone());
                }
                Value::String(text) if clean(text).is_empty() => {}
                Value::String(text) => {
                    object.insert(key.clone(), clean(text).into());
                }
                Value::Null => {}
                Value::Array(_) | Value::Object(_) if notes.len() == NOTES_MAX => {}
                Value::Array(_) | Value::Object(_) => {
                    notes.push(format!("`{key}` was left out: it is a list or an object"));
                }
            }
        }
    }
    let held =
        view.scope.hold(object.values().map(|value| Plain::Text(value.to_string())).collect());
    tries.add(written, &held);
    held?;
    Ok(Filled { value: filled(object), notes })
}

fn filled(object: Map<String, Value>) -> Option<Value> {
    (!object.is_empty()).then_some(Value::Object(object))
}
