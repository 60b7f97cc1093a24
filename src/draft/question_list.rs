//! Finds the questions and answers of a form in a payload, and writes where they are as `[answers]`.
//! Pure.

mod answer_shape;
mod item_list;
mod question_key;
mod separate_answers;

use serde_json::Value;

use super::leaves::ValuePath;
use super::surroundings::has_parts;
use super::words::{has, is_for_people};
use answer_shape::{answer_key, answer_values};
use item_list::{ItemList, line};
use question_key::{lookup_keys, question_key};

/// Limits of the search.
const DEPTH_MAX: usize = 8;
const LISTS_MAX: usize = 200;
/// Points from which a list is one of questions: a key for questions and one for answers, or a name
/// of the list that says so.
const POINTS_MIN: i32 = 70;

/// Names of lists of questions and answers.
const FORMS: &str = "answer form-data form-response named-value question survey-response";
/// Names that such a list may have, beside many others.
const GROUPS: &str = "data entry field form input item response submission value";
/// Names of lists that have the same shape and were not answered by anybody.
const NO_FORMS: &str = "attachment attribute calculation header hidden link metadata meta option param parameter property \
    properties quiz tag trait utm variable";

/// Where the questions of a form are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QuestionList {
    /// What is below it are questions and answers.
    pub(super) path: ValuePath,
    /// Keys of `[answers]`, one a line.
    pub(super) keys: String,
    points: i32,
}

/// Returns the list with the most evidence for questions; the first one of equal ones.
pub(super) fn find(payload: &Value) -> Option<QuestionList> {
    let (mut lists, mut objects) = (Vec::new(), Vec::new());
    collect(payload, &ValuePath::default(), &mut lists, &mut objects);
    let of_items = lists.iter().filter_map(of_items);
    let of_objects = objects.iter().filter_map(|(path, object)| of_object(path, object));
    let separate = separate_answers::find(&lists, &objects);
    // Chance gives no two lists that share their ids.
    let separate = separate.map(|(path, keys)| QuestionList { path, keys, points: 120 });
    let mut found: Vec<QuestionList> =
        of_items.chain(of_objects).chain(separate).filter(|it| it.points >= POINTS_MIN).collect();
    found.sort_by_key(|list| std::cmp::Reverse(list.points));
    found.into_iter().next()
}

fn collect<'v>(
    value: &'v Value,
    path: &ValuePath,
    lists: &mut Vec<ItemList<'v>>,
    objects: &mut Vec<(ValuePath, &'v Value)>,
) {
    if path.depth() > DEPTH_MAX || lists.len() + objects.len() >= LISTS_MAX {
        return;
    }
    match value {
        // The items of a list are no lists of their own: a query for all of them would mix them.
        Value::Array(items) => {
            let items = items.iter().collect();
            lists.push(ItemList { path: path.clone(), step: "[*]", items });
        }
        Value::Object(entries) => {
            if entries.len() > 1 && entries.values().all(Value::is_object) {
                let items = entries.values().collect();
                lists.push(ItemList { path: path.clone(), step: ".*", items });
            }
            objects.push((path.clone(), value));
            for (key, value) in entries {
                collect(value, &path.below(key), lists, objects);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Reads a list whose items are questions with their answers.
fn of_items(list: &ItemList<'_>) -> Option<QuestionList> {
    if list.items.is_empty() || !list.items.iter().all(|item| item.is_object()) {
        return None;
    }
    let question = question_key(&list.items)?;
    let answer = answer_key(&list.items, &question.path)?;
    let is_asked = question.texts.iter().filter(|text| is_for_people(text)).count() * 2;
    let asked = if is_asked >= question.texts.len() { 20 } else { 0 };
    let points = question.points + answer.points + asked + name_points(&list.path, true);
    let mut keys = line("each", &list.each());
    keys += &line("question", &question.path);
    keys += &format!("answer   = {}\n", answer_values(&list.items, &answer.key));
    keys += &lookup_keys(&list.items, &question.path);
    Some(QuestionList { path: list.path.clone(), keys, points })
}

/// Reads an object whose keys are questions.
fn of_object(path: &ValuePath, object: &Value) -> Option<QuestionList> {
    // A payload of two values is no form: each is a field.
    let questions_min = if path.depth() == 0 { 3 } else { 2 };
    let entries = object.as_object().filter(|entries| entries.len() >= questions_min)?;
    let asked = entries.keys().filter(|key| is_for_people(key)).count();
    // One object among the values, such as an address, is an answer of several parts.
    let objects = entries.values().filter(|value| has_parts(value)).count();
    let asks = match asked * 2 {
        // Keys for programs are questions only in an object that is named for its answers.
        0 if !path.names().first().is_some_and(|name| has(name, "answer named-value")) => {
            return None;
        }
        0 => 0,
        most if most >= entries.len() => 70,
        _ => 20,
    };
    let nested = i32::try_from(objects * 20).unwrap_or(i32::MAX / 2);
    let points = asks + name_points(path, false) * 2 - nested;
    let has_answer = entries.values().any(|value| !value.is_null() && !has_parts(value));
    has_answer.then(|| QuestionList { path: path.clone(), keys: line("of", &path.path()), points })
}

/// Returns what the name of a list says of it.
fn name_points(path: &ValuePath, is_list: bool) -> i32 {
    let names = path.names();
    let Some(name) = names.first().filter(|_| path.depth() > 0) else { return 0 };
    if has(name, NO_FORMS) || has(name, "custom-attribute custom-property url-parameter") {
        return -50;
    }
    match (has(name, FORMS), has(name, GROUPS)) {
        (true, _) => {
            if is_list {
                20
            } else {
                40
            }
        }
        (false, true) => 10,
        (false, false) => 0,
    }
}

#[cfg(test)]
mod tests;
