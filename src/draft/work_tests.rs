//! The work of a draft grows with the number of values, and not with its square.

use serde_json::{Map, Value, json};

use super::event_identity::{self, EventObjects};
use super::field_guesses::{self, Form};
use super::question_list;
use super::words::COMPARED;
use crate::event::Headers;

/// A payload with so many parts of one kind.
type Shape = fn(usize) -> Value;

/// Returns how many words were compared for a payload.
fn work(payload: &Value) -> usize {
    let before = COMPARED.get();
    question_list::find(payload);
    let found = field_guesses::find(payload, Form::default());
    let objects = EventObjects { text: found.text_object.as_ref(), form: None };
    event_identity::find(payload, &Headers::new(), objects);
    COMPARED.get() - before
}

fn entries(count: usize, entry: impl Fn(usize) -> (String, Value)) -> Value {
    Value::Object((0..count).map(entry).collect::<Map<_, _>>())
}

#[test]
fn twice_the_values_are_twice_the_work() {
    let text = "It is too slow for us all";
    let shapes: [(&str, Shape); 7] = [
        ("texts", |count| entries(count, |at| (format!("key_{at}"), json!("It is too slow")))),
        ("addresses", |count| {
            entries(count, |at| (format!("k{at}"), json!(format!("m{at}@a.io"))))
        }),
        ("people", |count| {
            json!(
                (0..count)
                    .map(|at| json!({"id": at, "email": "mia@example.com",
            "first_name": "Mia", "name": format!("Mia {at}")}))
                    .collect::<Vec<_>>()
            )
        }),
        ("questions", |count| {
            json!({"answers": (0..count).map(|at| json!({"id": at,
            "question": format!("Why {at}?"), "answer": "For taxes"})).collect::<Vec<_>>()})
        }),
        ("answers apart", |count| {
            json!({
            "questions": (0..count).map(|at| json!({"id": at, "title": format!("Why {at}?")})).collect::<Vec<_>>(),
            "answers": (0..count).map(|at| json!({"field": {"id": at}, "value": "Tax"})).collect::<Vec<_>>()})
        }),
        ("ids", |count| {
            let mut ids =
                entries(count, |at| (format!("{}id", "_".repeat(at + 1)), json!(format!("x{at}"))));
            ids["type"] = json!("note.created");
            ids["data"] = entries(count, |at| (format!("key_{at}"), json!("It is too slow")));
            ids
        }),
        ("parts", |count| {
            json!(
                (0..count)
                    .map(|at| json!({format!("k{at}"): "It is too slow"}))
                    .collect::<Vec<_>>()
            )
        }),
    ];
    for (name, shape) in shapes {
        let payload = |count| json!({"text": text, "data": shape(count)});
        let (some, twice) = (work(&payload(150)), work(&payload(300)));

        assert!(some > 150, "{name}: {some}");
        assert!(twice * 2 <= some * 5, "{name}: {some} and {twice}");
    }
}
