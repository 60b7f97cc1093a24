//! Where the answer is in a question of a list, and how it is written.

use std::collections::HashSet;

use serde_json::Value;

use crate::draft::leaves::member;
use crate::draft::toml_text::quoted;
use crate::draft::words::{has, words};

/// Keys of the text within an answer, a choice or an option; the first one that is there counts.
const TEXTS: [&str; 8] = ["label", "text", "value", "title", "name", "answer", "content", "url"];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct AnswerKey {
    pub(super) key: String,
    pub(super) points: i32,
}

/// Returns the key of the answers. `question` is the query for their questions.
pub(super) fn answer_key(items: &[&Value], question: &str) -> Option<AnswerKey> {
    let keys = items.iter().filter_map(|item| item.as_object()).flat_map(|item| item.keys());
    let mut seen = HashSet::new();
    let mut best: Option<AnswerKey> = None;
    for key in keys.filter(|key| seen.insert(*key)) {
        let own = format!("@{}", member(key));
        if question == own || question.starts_with(&format!("{own}.")) || !is_answered(items, key) {
            continue;
        }
        let points = answer_points(&words(key));
        if points > 0 && best.as_ref().is_none_or(|best| points > best.points) {
            best = Some(AnswerKey { key: key.clone(), points });
        }
    }
    best
}

/// Returns whether at least half of the questions have the key, and one of them an answer.
fn is_answered(items: &[&Value], key: &str) -> bool {
    let there = items.iter().filter(|item| item.get(key).is_some()).count();
    there * 2 >= items.len() && items.iter().any(|item| !is_blank(&item[key]))
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn answer_points(key: &[String]) -> i32 {
    if has(key, "id type kind index time at date options question") {
        return 0;
    }
    // What people read precedes what programs do: `answerLabel` before `answerValue`.
    let is_label = has(key, "label text");
    let ranks = [
        ("answer", 50),
        ("value", 45),
        ("response", 40),
        ("reply", 35),
        ("selected choice", 30),
        ("text content body", 30),
        ("rating score", 20),
    ];
    let points =
        ranks.into_iter().find(|(known, _)| has(key, known)).map_or(0, |(_, points)| points);
    if points > 30 && is_label { points + 3 } else { points }
}

/// Returns the value of `answer` for the shapes that the answers of the payload have.
pub(super) fn answer_values(items: &[&Value], key: &str) -> String {
    let answers: Vec<&Value> = items.iter().filter_map(|item| item.get(key)).collect();
    let at = format!("@{}", member(key));
    let mut values: Vec<String> = options(items, key).into_iter().collect();
    let objects: Vec<&Value> = answers.iter().copied().filter(|it| it.is_object()).collect();
    values.extend(text_key(&objects).map(|inner| format!("{at}{}", member(inner))));
    let listed =
        answers.iter().filter_map(|it| it.as_array()).flatten().filter(|it| it.is_object());
    let listed: Vec<&Value> = listed.collect();
    values.extend(text_key(&listed).map(|inner| format!("{at}[*]{}", member(inner))));
    values.push(at);
    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    match values.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

/// Returns the key that holds the text of all of these objects that have one.
fn text_key(objects: &[&Value]) -> Option<&'static str> {
    let is_text = |value: &Value| value.is_string() || value.is_number() || value.is_array();
    TEXTS.into_iter().find(|key| !objects.is_empty() && objects.iter().all(|it| is_text(&it[*key])))
}

/// Returns a template for answers that are ids of options.
fn options(items: &[&Value], key: &str) -> Option<String> {
    ["options", "choices"].into_iter().find_map(|listed| {
        let chosen = items.iter().filter_map(|item| Some((item[listed].as_array()?, &item[key])));
        let (text, id) = chosen.into_iter().find_map(|(options, answer)| of_options(options, answer))?;
        let (item, list) = (member(key), member(listed));
        Some(format!(
            "{{% set chosen = item{item} if item{item} is sequence else [item{item}] %}}{{{{ item{list} | \
             selectattr('{id}', 'in', chosen) | map(attribute='{text}') | join(', ') if item{list} }}}}"
        ))
    })
}

/// Returns the keys of text and id, if the answer is one or several ids of the options.
fn of_options(options: &[Value], answer: &Value) -> Option<(&'static str, &'static str)> {
    let chosen: Vec<&Value> = match answer {
        Value::Array(chosen) => chosen.iter().collect(),
        one => vec![one],
    };
    let all: Vec<&Value> = options.iter().collect();
    let is_id = |key: &&str| {
        !chosen.is_empty()
            && chosen
                .iter()
                .all(|it| all.iter().any(|option| &option[*key] == *it && !it.is_null()))
    };
    let id = ["id", "key", "ref", "value"].into_iter().find(is_id)?;
    let text = text_key(&all).filter(|text| *text != id)?;
    Some((text, id))
}
