//! Where the text of a question is in an item of a list, and its ids.

use serde_json::Value;

use crate::draft::leaves::member;
use crate::draft::toml_text::quoted;
use crate::draft::words::{are_distinct, has, words};

/// Where the text of a question is in an item.
#[derive(Debug)]
pub(super) struct QuestionKey<'v> {
    /// Relative to the item: `@.title`.
    pub(super) path: String,
    pub(super) points: i32,
    pub(super) texts: Vec<&'v str>,
}

pub(super) fn question_key<'v>(items: &[&'v Value]) -> Option<QuestionKey<'v>> {
    let first = items.first()?.as_object()?;
    let mut best: Option<QuestionKey<'v>> = None;
    let mut consider = |path: String, points: i32, texts: Option<Vec<&'v str>>| {
        // Equal ones are kinds of things rather than questions.
        let Some(texts) = texts.filter(|texts| are_distinct(texts)) else { return };
        if points > 0 && best.as_ref().is_none_or(|best| points > best.points) {
            best = Some(QuestionKey { path, points, texts });
        }
    };
    for (key, value) in first {
        let points = question_points(&words(key));
        let step = member(key);
        consider(format!("@{step}"), points, texts(items, |item| item.get(key)));
        // `"question": {"id": ..., "text": ...}`
        for inner in value.as_object().into_iter().flatten().map(|(inner, _)| inner) {
            let is_question = has(&words(key), "question field");
            let points = if is_question { question_points(&words(inner)) + 10 } else { 0 };
            let at = format!("@{step}{}", member(inner));
            consider(at, points, texts(items, |item| item.get(key)?.get(inner)));
        }
    }
    best
}

fn question_points(key: &[String]) -> i32 {
    if has(
        key,
        "id type kind index order position number required answer value url description options",
    ) {
        return 0;
    }
    // The first that fits counts; a name may be a key for programs.
    let ranks = [
        ("question", 50),
        ("prompt", 45),
        ("title label", 40),
        ("heading", 35),
        ("text body", 30),
        ("name", 30),
    ];
    ranks.into_iter().find(|(known, _)| has(key, known)).map_or(0, |(_, points)| points)
}

fn texts<'v>(
    items: &[&'v Value],
    text: impl Fn(&'v Value) -> Option<&'v Value>,
) -> Option<Vec<&'v str>> {
    let text = |item: &&'v Value| text(item)?.as_str().filter(|text| !text.trim().is_empty());
    items.iter().map(text).collect()
}

/// Returns `keys`: the ids by which a template may look an answer up, if all items have them.
pub(super) fn lookup_keys(items: &[&Value], question: &str) -> String {
    let Some(first) = items.first().and_then(|item| item.as_object()) else { return String::new() };
    let is_key = |key: &str| {
        let words = words(key);
        let is_id = ["id", "key", "ref", "name", "slug"].map(|it| words == [it]).contains(&true);
        let is_field_id =
            words.len() == 2 && has(&words, "question field") && has(&words, "id key name");
        (is_id || is_field_id) && format!("@{}", member(key)) != question
    };
    let is_everywhere =
        |key: &String| items.iter().all(|item| item[key].is_string() || item[key].is_number());
    let keys = first.keys().filter(|key| is_key(key)).filter(|key| is_everywhere(key));
    let keys: Vec<String> = keys.map(|key| quoted(&format!("@{}", member(key)))).collect();
    if keys.is_empty() { String::new() } else { format!("keys     = [{}]\n", keys.join(", ")) }
}
