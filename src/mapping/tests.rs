//! Mapping files applied to events.

mod answers;
mod blocks;
mod explained;
mod forms;
mod hostile;
mod lookups;
mod mistakes;
mod optional_fields;
mod remedies;
mod revenue;
mod values;
mod zero_comparisons;

use serde_json::{Value, json};

use super::*;
use crate::diagnostics::diagnostic::Document;
use crate::diagnostics::fix_check::check_fixes;
use crate::diagnostics::report::OutputStyle;
use crate::diagnostics::table;
use crate::event::{EventId, FieldSet, FilledBlock, Headers};

fn document(text: &str) -> Document {
    Document { name: "m.toml".to_owned(), text: text.to_owned() }
}

/// Compiles a file, which may have `[answers]`, and checks the corrections of its mistakes.
#[track_caller]
fn compile(text: &str) -> (Mapping, Diagnostics) {
    let (mapping, mistakes) = compile_only(text);
    check_fixes(text, &mistakes, |fixed| compile_only(fixed).1);
    (mapping, mistakes)
}

fn compile_only(text: &str) -> (Mapping, Diagnostics) {
    let document = document(text);
    let mut mistakes = Diagnostics::new();
    let root = table::parse(&document, &mut mistakes);
    let mut file = TomlTable::root(&document, &root);
    let answers = file.table("answers", &mut mistakes);
    let patterns = Patterns::of_file();
    let answers = answers.map(|table| AnswerRules::compile(table, &patterns, &mut mistakes));
    let mapping = Mapping::compile_within(&mut file, answers, &patterns, &mut mistakes);
    file.finish(&mut mistakes);
    (mapping, mistakes)
}

fn compile_valid(text: &str) -> Mapping {
    let (mapping, mistakes) = compile(text);
    assert_eq!(mistakes, [], "{text}");
    mapping
}

fn event(event_type: Option<&str>) -> Event {
    let headers = [("x-kind".to_owned(), "note".to_owned())];
    Event {
        id: EventId::from_bytes([7; 16]),
        source: "form".parse().unwrap(),
        event_type: event_type.map(str::to_owned),
        delivery_id: None,
        received_at: "2026-01-31T12:00:00Z".parse().unwrap(),
        headers: Headers::from(headers),
        payload: String::new(),
    }
}

fn apply(file: &str, payload: &Value) -> Result<MappedRequests, MappingError> {
    compile_valid(file).apply(&event(Some("note")), &payload.clone().into())
}

fn explain(file: &str, payload: &Value) -> Explanation {
    let lines = LineIndex::of(file);
    compile_valid(file).explain(&event(Some("note")), &payload.clone().into(), &lines)
}

/// Returns the requests as JSON.
fn requests(file: &str, payload: &Value) -> Value {
    json!(apply(file, payload).unwrap().requests)
}

/// Evaluates a value as `problem`: null if it is empty, and the reason if it fails.
fn problem(value: &str, payload: &Value) -> Value {
    match apply(&format!("[[feedback]]\nproblem = {value}"), payload) {
        Ok(mapped) => mapped.requests[0].body["problem"].clone(),
        Err(unmappable) if unmappable.reason == "it is empty" => Value::Null,
        Err(unmappable) => json!({ "failed": unmappable.reason }),
    }
}

/// Evaluates a value as `tags`: null if it is left out.
fn tags(value: &str, payload: &Value) -> Value {
    let file = format!("[[feedback]]\nproblem = \"x\"\ntags = {value}");
    let mapped = apply(&file, payload).unwrap();
    mapped.requests[0].body.get("tags").cloned().unwrap_or(Value::Null)
}
