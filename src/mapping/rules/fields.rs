//! Fields of the three kinds of requests, and how each is filled from its value.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{SpannedText, TomlTable, as_text};
use crate::event::RequestKind;
use crate::mapping::language::expression::{Expression, ValidNodes};
use crate::mapping::language::item_values::ItemValues;
use crate::mapping::language::query::Query;
use crate::mapping::language::query_log::QueryLog;
use crate::mapping::language::validator::{EMAIL, URL, Validator};
use crate::mapping::language::value::{Cardinality, Scalar, ValueError, clean, joined};
use crate::mapping::language::value_reader::ValueReader;
use crate::mapping::result::LinkMode;

/// Rule of one key of a request's body.
#[derive(Debug)]
pub(crate) struct FieldRule {
    pub(crate) name: &'static str,
    pub(crate) field_type: FieldType,
    pub(crate) if_empty: EmptyPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldType {
    Text,
    Url,
    Email,
    Whole,
    Tags,
    Attributes,
}

impl FieldType {
    pub(crate) fn validator(self) -> Option<&'static Validator> {
        match self {
            FieldType::Url => Some(&URL),
            FieldType::Email => Some(&EMAIL),
            FieldType::Text | FieldType::Whole | FieldType::Tags | FieldType::Attributes => None,
        }
    }
}

/// Effect of an empty field on the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EmptyPolicy {
    LeaveOut,
    NoRequest,
    Unmappable,
}

/// Notes on the attributes of one field.
const NOTES_MAX: usize = 20;

const fn optional(name: &'static str, field_type: FieldType) -> FieldRule {
    FieldRule { name, field_type, if_empty: EmptyPolicy::LeaveOut }
}

const fn required(name: &'static str, if_empty: EmptyPolicy) -> FieldRule {
    FieldRule { name, field_type: FieldType::Text, if_empty }
}

// Their positions are stored: further ones go to the end.
const FEEDBACK: [FieldRule; 10] = [
    // Feedback without a problem is dead, not ignored: a wrong query would lose it unseen.
    required("problem", EmptyPolicy::Unmappable),
    optional("feedback_type", FieldType::Text),
    optional("state", FieldType::Text),
    optional("source_url", FieldType::Url),
    optional("source_username", FieldType::Text),
    optional("person_email", FieldType::Email),
    optional("person_name", FieldType::Text),
    optional("company_name", FieldType::Text),
    optional("feature_request_title", FieldType::Text),
    optional("tags", FieldType::Tags),
];

// Many payloads name no person, which is no mistake: an empty id or name only makes no request.
const CONTACT: [FieldRule; 6] = [
    required("internal_id", EmptyPolicy::NoRequest),
    required("name", EmptyPolicy::NoRequest),
    optional("email", FieldType::Email),
    optional("company", FieldType::Whole),
    optional("company_internal_id", FieldType::Text),
    optional("filterable_attributes", FieldType::Attributes),
];

const COMPANY: [FieldRule; 3] = [
    required("internal_id", EmptyPolicy::NoRequest),
    required("name", EmptyPolicy::NoRequest),
    optional("filterable_attributes", FieldType::Attributes),
];

pub(crate) fn fields(kind: RequestKind) -> &'static [FieldRule] {
    match kind {
        RequestKind::Feedback => &FEEDBACK,
        RequestKind::Contact => &CONTACT,
        RequestKind::Company => &COMPANY,
    }
}

/// Source of a field's value.
#[derive(Debug, Clone)]
pub(crate) enum FieldValue {
    Expression(Expression),
    /// Attributes by name, each with its own value.
    Each(Vec<(String, Expression)>),
    /// All scalar entries of the objects that a query gives, and the query's text.
    Entries(Query, SpannedText),
}

impl FieldValue {
    /// Returns the mode in which delivery looks the value up, if it does.
    pub(crate) fn existing(&self) -> Option<LinkMode> {
        match self {
            FieldValue::Expression(Expression::Table { steps, .. }) => steps.existing,
            FieldValue::Expression(_) | FieldValue::Each(_) | FieldValue::Entries(..) => None,
        }
    }
}

/// Value of a field, and notes on what was left out of it.
#[derive(Debug, Default)]
pub(crate) struct FilledField {
    /// `None` if the field is empty.
    pub(crate) value: Option<Value>,
    pub(crate) notes: Vec<String>,
}

impl FieldRule {
    /// Returns whether words that are written in the file are usual here.
    pub(crate) fn takes_words(&self) -> bool {
        let words = ["feedback_type", "state", "source_username", "feature_request_title"];
        matches!(self.field_type, FieldType::Tags | FieldType::Attributes)
            || words.contains(&self.name)
    }

    /// Reads the field's value; `None` if it is absent or wrong.
    pub(crate) fn read(
        &self,
        table: &mut TomlTable<'_>,
        reader: &mut ValueReader<'_>,
    ) -> Option<FieldValue> {
        let value = table.value(self.name)?;
        if self.field_type != FieldType::Attributes {
            reader.single_value = self.field_type.validator();
            let read = reader.read(self.name, value).map(FieldValue::Expression);
            // The reader is that of the whole block.
            reader.single_value = None;
            return read;
        }
        if let Some(entries) = value.get_ref().as_table() {
            let table = TomlTable::new(reader.document, entries, value.span());
            let mut read = Vec::new();
            for (key, value) in table.entries() {
                read.extend(reader.read(&key.text, value).map(|expression| (key.text, expression)));
            }
            return Some(FieldValue::Each(read));
        }
        let text = as_text(reader.document, value).filter(|text| text.text.starts_with(['$', '@']));
        let Some(text) = text else {
            let message = format!("`{}` must be a table or a query", self.name);
            let help = "write { plan = \"$.plan\" }, or \"$.traits\" for all entries of an object";
            reader.mistakes.push(Diagnostic::error(value.span(), message).help(help));
            return None;
        };
        reader.query(&text).map(|query| FieldValue::Entries(query, text))
    }

    /// Fills the field for one event.
    pub(crate) fn fill(
        &self,
        value: &FieldValue,
        view: &ItemValues<'_>,
        log: &mut QueryLog,
    ) -> Result<FilledField, ValueError> {
        let expression = match value {
            FieldValue::Expression(expression) => expression,
            FieldValue::Each(attributes) => return Ok(fill_each(attributes, view, log)),
            FieldValue::Entries(query, written) => return entries((query, written), view, log),
        };
        let cardinality =
            if self.field_type == FieldType::Tags { Cardinality::Many } else { Cardinality::One };
        // Each alternative is checked, so that a refused one gives way to the next or `default`.
        let ValidNodes { nodes, replaced } = match (self.field_type.validator(), self.field_type) {
            (Some(validator), _) => {
                let check = |nodes: &[Scalar]| validated(nodes, validator).map(drop);
                expression.valid_nodes(view, &check, log)?
            }
            (None, FieldType::Whole) => {
                expression.valid_nodes(view, &|nodes| whole_number(nodes).map(drop), log)?
            }
            (None, _) => expression.nodes(view, cardinality, log)?.into(),
        };
        let notes = Vec::from_iter(replaced.map(|reason| default_note(&reason)));
        if nodes.is_empty() {
            return Ok(FilledField::default());
        }
        // Checked again: if no alternative was valid, the nodes are those of the first that was
        // refused, and its error becomes the note.
        let value = match self.field_type {
            FieldType::Tags => tags(&nodes),
            FieldType::Whole => Value::from(whole_number(&nodes)?),
            FieldType::Url => Value::String(validated(&nodes, &URL)?),
            FieldType::Email => Value::String(validated(&nodes, &EMAIL)?),
            FieldType::Text | FieldType::Attributes => Value::String(joined(&nodes, ", ")),
        };
        Ok(FilledField { value: Some(value), notes })
    }
}

fn default_note(reason: &ValueError) -> String {
    format!("{reason}: `default` is sent instead")
}

fn tags(nodes: &[Scalar]) -> Value {
    let mut seen = HashSet::new();
    let tags = nodes.iter().map(Scalar::text).filter(|tag| seen.insert(tag.clone()));
    tags.map(Value::String).collect()
}

/// Parses Savio's own id of a company, written as 9, 9.0 or "9".
fn whole_number(nodes: &[Scalar]) -> Result<i64, ValueError> {
    let text = joined(nodes, ", ");
    text.parse().map_err(|_| ValueError::new("it is not a whole number"))
}

/// Returns the nodes as one text if it is valid.
fn validated(nodes: &[Scalar], validator: &Validator) -> Result<String, ValueError> {
    // Savio answers 400 to the whole request for one invalid optional field.
    let what = validator.what;
    let text = joined(nodes, ", ");
    if (validator.is_valid)(&text) {
        return Ok(text);
    }
    Err(ValueError(match nodes {
        [_] => format!("it is no {what}"),
        several => format!("{} values are no {what}: take one of them", several.len()),
    }))
}

/// Evaluates each attribute; one that fails is left out by itself.
fn fill_each(
    attributes: &[(String, Expression)],
    view: &ItemValues<'_>,
    log: &mut QueryLog,
) -> FilledField {
    let mut object = Map::new();
    let mut notes = Vec::new();
    for (name, expression) in attributes {
        match expression.valid_nodes(view, &|_| Ok(()), log) {
            Ok(ValidNodes { nodes, replaced }) => {
                notes.extend(replaced.map(|reason| format!("`{name}`: {}", default_note(&reason))));
                // A single node keeps its JSON type; several can only be one text.
                let value = match <[Scalar; 1]>::try_from(nodes) {
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
    FilledField { value: filled(object), notes }
}

/// Collects the scalar entries of the objects that a query gives.
fn entries(
    (query, written): (&Query, &SpannedText),
    view: &ItemValues<'_>,
    log: &mut QueryLog,
) -> Result<FilledField, ValueError> {
    let scope = view.scope.event_scope;
    let mut filled = FilledField::default();
    // Charged inside, so that an explanation shows the query with its error.
    log.evaluate((&written.text, &written.place), &scope.taken, || {
        let objects = view.scope.nodes(query)?;
        scope.taken.add(&objects);
        let (object, notes) = scalar_entries(objects)?;
        let charged = object.values().map(|value| Scalar::Text(value.to_string())).collect();
        filled = FilledField { value: self::filled(object), notes };
        scope.charge(charged)
    })?;
    Ok(filled)
}

/// Returns the scalar entries of objects, and notes on the others.
fn scalar_entries(objects: Vec<&Value>) -> Result<(Map<String, Value>, Vec<String>), ValueError> {
    let mut object = Map::new();
    let mut notes = Vec::new();
    for node in objects {
        let found = match node {
            Value::Object(found) => found,
            Value::Null => continue,
            _ => return Err(ValueError::new("it gives something that is no object")),
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
    Ok((object, notes))
}

fn filled(object: Map<String, Value>) -> Option<Value> {
    (!object.is_empty()).then_some(Value::Object(object))
}
