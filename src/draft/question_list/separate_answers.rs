//! Questions and answers in two places, which share an id.

use std::collections::HashSet;

use serde_json::Value;

use super::answer_shape::{answer_key, answer_values};
use super::item_list::{ItemList, line};
use super::question_key::question_key;
use crate::draft::leaves::{ValuePath, member};
use crate::draft::toml_text::quoted;
use crate::draft::words::{are_distinct, has};

/// Returns the first list of questions to which another list, or an object, has answers.
pub(super) fn find(
    lists: &[ItemList<'_>],
    objects: &[(ValuePath, &Value)],
) -> Option<(ValuePath, String)> {
    lists.iter().filter(|list| list.items.len() > 1).find_map(|questions| {
        let text = question_key(&questions.items)?.path;
        if answer_key(&questions.items, &text).is_some() {
            return None;
        }
        let id = ["id", "key", "ref", "uuid"]
            .into_iter()
            .find(|id| !ids(&questions.items, id).is_empty())?;
        let known: HashSet<String> = ids(&questions.items, id).into_iter().collect();
        let mut keys = line("each", &questions.each()) + &line("question", &text);
        keys += &listed(lists, questions, &known, id).or_else(|| keyed(objects, &known, id))?;
        keys += &format!("keys     = [{}]\n", quoted(&format!("@.{id}")));
        Some((questions.path.clone(), keys))
    })
}

/// Returns the ids of all items; none if one has no id, or two have the same.
fn ids(items: &[&Value], key: &str) -> Vec<String> {
    let ids: Option<Vec<String>> = items.iter().map(|item| scalar(&item[key])).collect();
    let ids = ids.unwrap_or_default();
    if are_distinct(&ids) { ids } else { Vec::new() }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the keys for answers in a list of their own.
fn listed(
    lists: &[ItemList<'_>],
    questions: &ItemList<'_>,
    known: &HashSet<String>,
    id: &str,
) -> Option<String> {
    let others = lists.iter().filter(|list| list.path != questions.path && !list.items.is_empty());
    others.into_iter().find_map(|answers| {
        let reference = reference(&answers.items, known)?;
        let key = answer_key(&answers.items, &reference)?.key;
        let (question, answer) = (quoted(&format!("@.{id}")), quoted(&reference));
        let mut keys = line("found_in", &answers.each());
        keys += &format!("match    = {{ question = {question}, answer = {answer} }}\n");
        keys += &format!("answer   = {}\n", answer_values(&answers.items, &key));
        Some(keys)
    })
}

/// Returns where each answer has the id of its question.
fn reference(answers: &[&Value], known: &HashSet<String>) -> Option<String> {
    let first = answers.first()?.as_object()?;
    let refers = |at: &dyn Fn(&Value) -> Option<String>| {
        answers.iter().all(|answer| at(answer).is_some_and(|id| known.contains(&id)))
    };
    first.iter().find_map(|(key, value)| {
        if refers(&|answer| scalar(&answer[key])) {
            return Some(format!("@{}", member(key)));
        }
        let inner = value.as_object()?;
        let inner =
            inner.keys().find(|inner| refers(&|answer| scalar(&answer[key][inner.as_str()])))?;
        Some(format!("@{}{}", member(key), member(inner)))
    })
}

/// Returns the keys for answers in an object by the ids of their questions.
fn keyed(objects: &[(ValuePath, &Value)], known: &HashSet<String>, id: &str) -> Option<String> {
    let is_it = |(path, object): &&(ValuePath, &Value)| {
        let Some(entries) = object.as_object() else { return false };
        let is_named =
            path.names().first().is_some_and(|name| has(name, "answer response data value result"));
        is_named && !entries.is_empty() && entries.keys().all(|key| known.contains(key))
    };
    let (path, _) = objects.iter().find(is_it)?;
    Some(format!("answer   = {}\n", quoted(&format!("{{{{ {}[item.{id}] }}}}", path.expression()))))
}
