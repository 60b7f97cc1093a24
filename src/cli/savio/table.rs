//! Tables and details of Savio's records for people.

use serde_json::{Map, Value, json};

use crate::cli::output::{self, fields, stdout_style};
use crate::cli::table::table;
use crate::savio::{Company, Contact, FeatureRequest};

/// Longest text in a cell on a terminal.
const CHARS_MAX: usize = 50;

pub(super) fn feature_requests(entries: &[FeatureRequest]) -> String {
    let row = |one: &FeatureRequest| {
        let tags: Vec<&str> = one.tags.iter().map(|tag| tag.title.as_str()).collect();
        [
            one.id.to_string(),
            cell(Some(&one.title)),
            cell(one.state_display.as_ref().or(one.state.as_ref())),
            cell(one.product_display.as_ref().or(one.product.as_ref())),
            cell(Some(&tags.join(", "))),
            one.count("Feedback").map_or(String::new(), |count| count.to_string()),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    listed(["id", "title", "state", "product", "tags", "feedback"], &rows)
}

/// Formats all fields of a feature request.
pub(super) fn feature_request(one: &FeatureRequest) -> String {
    let Value::Object(mut known) = json!(one) else { return String::new() };
    // Tags and roadmaps are objects in Savio's API, of which a person needs the names.
    let tags: Vec<&str> = one.tags.iter().map(|tag| tag.title.as_str()).collect();
    known.insert("tags".to_owned(), json!(tags));
    let roadmaps = one.roadmaps.iter().map(|it| match &it.column {
        Some(column) => format!("{} ({column})", it.roadmap),
        None => it.roadmap.clone(),
    });
    known.insert("roadmaps".to_owned(), roadmaps.map(Value::from).collect());
    filled(&known)
}

pub(super) fn contacts(entries: &[Contact]) -> String {
    let row = |one: &Contact| {
        // Savio's reference does not list it for contacts, so `Contact` has no field for it.
        let internal_id = one.other.get("internal_id").and_then(Value::as_str);
        [
            one.id.to_string(),
            cell(internal_id.map(str::to_owned).as_ref()),
            cell(one.name.as_ref()),
            cell(one.email.as_ref()),
            cell(one.company_name.as_ref()),
            attributes(one.filterable_attributes.as_ref()),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    listed(["id", "internal id", "name", "e-mail", "company", "attributes"], &rows)
}

pub(super) fn companies(entries: &[Company]) -> String {
    let row = |one: &Company| {
        [
            one.id.to_string(),
            cell(one.internal_id.as_ref()),
            cell(one.name.as_ref()),
            attributes(one.filterable_attributes.as_ref()),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    listed(["id", "internal id", "name", "attributes"], &rows)
}

/// Formats the fields of a record that are not empty.
pub(super) fn filled(known: &Map<String, Value>) -> String {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    fields(known.iter().filter(|(_, value)| !is_empty(value)))
}

fn listed<const N: usize>(names: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return "nothing found\n".to_owned();
    }
    table(names, rows, stdout_style())
}

fn attributes(attributes: Option<&Map<String, Value>>) -> String {
    let print = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    };
    let printed: Vec<String> = attributes.into_iter().flatten().map(print).collect();
    cell(Some(&printed.join(" ")))
}

fn cell(text: Option<&String>) -> String {
    output::cell(text.map_or("", String::as_str), CHARS_MAX, stdout_style())
}
