//! Questions and answers in the shapes in which tools send them.

use serde_json::json;

use super::*;

#[track_caller]
fn keys(payload: &Value) -> String {
    find(payload).map(|list| list.keys).unwrap_or_default()
}

#[test]
fn questions_and_answers_are_found_under_their_usual_names() {
    for (question, answer) in [
        ("question", "answer"),
        ("label", "value"),
        ("title", "text"),
        ("questionText", "responseText"),
        ("prompt", "response"),
        ("field_label", "field_value"),
        ("name", "value"),
    ] {
        let payload = json!({"id": "7", "answers": [
            {"id": "a", question: "What is missing?", "type": "text", answer: "CSV"},
            {"id": "b", question: "Why do you need it?", "type": "text", answer: "Taxes"}]});

        let written = keys(&payload);

        let expected = format!(
            "each     = \"$.answers[*]\"\nquestion = \"@.{question}\"\nanswer   = \"@.{answer}\"\n"
        );
        assert!(written.starts_with(&expected), "{question}, {answer}: {written}");
    }
}

#[test]
fn object_of_questions_is_found_by_its_keys() {
    let payload = json!({"fields": {"What is missing?": "CSV", "Your name": ["Mia"]}});

    assert_eq!(keys(&payload), "of       = \"$.fields\"\n");
}

#[test]
fn object_of_questions_with_labels_and_values_is_found() {
    let payload = json!({"responses": {"name": {"label": "Your name", "value": "Mia"},
        "notes": {"label": "Notes", "value": {"value": "CSV"}}}});

    let written = "each     = \"$.responses.*\"\nquestion = \"@.label\"\nanswer   = [\"@.value.value\", \"@.value\"]\n";
    assert_eq!(keys(&payload), written);
}

#[test]
fn answers_apart_from_their_questions_are_matched_by_id() {
    let questions = json!([{"id": "a", "title": "Missing?"}, {"id": "b", "title": "Name?"}]);
    let listed =
        json!({"questions": questions, "answers": [{"field": {"id": "b"}, "value": "Mia"}]});
    let keyed = json!({"questions": questions, "answers": {"a": "CSV"}});

    let found_in = "found_in = \"$.answers[*]\"\nmatch    = { question = \"@.id\", answer = \"@.field.id\" }\n";
    assert!(keys(&listed).contains(found_in), "{}", keys(&listed));
    let looked_up = "answer   = \"{{ payload.answers[item.id] }}\"\n";
    assert!(keys(&keyed).contains(looked_up), "{}", keys(&keyed));
}

#[test]
fn lists_that_nobody_answered_are_no_forms() {
    for payload in [
        json!({"attributes": [{"name": "email", "value": "a@example.com"}, {"name": "plan", "value": "pro"}]}),
        json!({"items": [{"title": "Map", "price": 3}, {"title": "Chart", "price": 4}]}),
        json!({"tags": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}),
        json!({"data": {"id": 7, "title": "Export", "description": "As CSV", "created_at": "2026-01-31"}}),
        json!({"attendees": [{"name": "Mia", "email": "mia@example.com"}]}),
    ] {
        assert_eq!(find(&payload), None, "{payload}");
    }
}
