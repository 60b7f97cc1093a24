//! Answers of a form, found and printed; extractors.

use serde_json::{Value, json};

use super::{compile, compile_valid, problem, requests};
use crate::diagnostics::table::SpannedText;
use crate::mapping::Extractor;

/// `[answers]` as in Typeform's provider file.
const TYPEFORM: &str = r#"
[answers]
each = "$.form_response.definition.fields[*]"
nested = "@.properties.fields[*]"
found_in = "$.form_response.answers[*]"
match = { question = "@.id", answer = "@.field.id" }
question = "@.title"
keys = ["@.ref", "@.id"]
answer = [
    "@.text", "@.email", "@.number", "@.date", "@.url", "@.phone_number", "@.file_url",
    "@.choice['label', 'other']",
    "@.choices['labels', 'other']",
    { from = "@.boolean", map = { true = "yes", false = "no" } },
    "@.payment.amount",
    "{{ item[item.type] }}",
]
"#;

fn typeform() -> Value {
    let field =
        |id: &str, title: &str| json!({"id": id, "title": title, "ref": format!("ref-{id}")});
    let answer = |id: &str, kind: &str, value: Value| json!({"type": kind, kind: value, "field": {"id": id}});
    let group = json!({"id": "g", "title": "About you", "ref": "ref-g", "type": "group",
        "properties": {"fields": [field("c", "Your name?")]}});
    json!({"form_response": {
        "definition": {"fields": [
            field("a", "What is missing, {{field:x}}?"), group, field("b", "Which area is it about?"),
            field("d", "May we call?"), field("e", "How much?"), field("f", "Skipped?")
        ]},
        "answers": [
            answer("b", "choices", json!({"labels": ["Billing", "Login"], "other": "Colours"})),
            answer("c", "text", json!("Ann")),
            answer("a", "text", json!("Dark mode\r\n")),
            answer("d", "boolean", json!(false)),
            answer("e", "payment", json!({"amount": "12", "success": true})),
            answer("z", "number", json!(7)),
        ]
    }})
}

#[test]
fn answers_print_questions_in_order_of_the_form() {
    let file = format!("{TYPEFORM}[[feedback]]\nproblem = \"{{{{ answers }}}}\"");

    let requests = requests(&file, &typeform());

    let expected = "What is missing, {{field:x}}?\nDark mode\n\nYour name?\nAnn\n\n\
        Which area is it about?\nBilling, Login, Colours\n\nMay we call?\nno\n\n\
        How much?\n12\n\nz\n7";
    assert_eq!(requests[0]["body"]["problem"], expected);
}

#[test]
fn answer_is_found_by_question_reference_or_id() {
    for (template, expected) in [
        ("{{ answers['Your name?'] }}", json!("Ann")),
        ("{{ answers[' your NAME? '] }}", json!("Ann")),
        ("{{ answers['ref-c'] }} {{ answers.c }}", json!("Ann Ann")),
        ("{{ answers['b'][0] }}", json!("Billing")),
        ("{{ answers['z'] + 1 }}", json!("8")),
        ("{{ answers['Skipped?'] }}", Value::Null),
        ("{{ answers|length }}", json!("6")),
        ("{% for a in answers %}{{ a.question|length }},{% endfor %}", json!("29,10,23,12,9,1,")),
        ("{{ answers.c|upper }}{{ answers|string|length > 9 }}", json!("ANNtrue")),
    ] {
        let file = format!("[[feedback]]\nproblem = \"{template}\"\n{TYPEFORM}");
        let body = compile_valid(&file).apply(&super::event(None), &typeform().into());
        let found = body.map_or(Value::Null, |mapped| mapped.requests[0].body["problem"].clone());
        assert_eq!(found, expected, "{template}");
    }
}

#[test]
fn chosen_labels_are_tags() {
    let file = format!(
        "{TYPEFORM}[[feedback]]\nproblem = \"x\"\ntags = [\"form\", \"{{{{ answers['Which area is it about?'] }}}}\"]"
    );

    let requests = requests(&file, &typeform());

    assert_eq!(requests[0]["body"]["tags"], json!(["form", "Billing", "Login", "Colours"]));
}

#[test]
fn object_of_answers_is_read_by_entry() {
    let file = "[answers]\nof = \"$\"\n[[feedback]]\nproblem = \"{{ answers }}\"";
    let payload = json!({
        "What is missing?": "Dark mode", "Areas": ["a", "b"], "_token": "secret", "empty": "",
        "name": {"first": "Ann", "last": "B"}, "age": 9.0
    });

    let requests = requests(file, &payload);

    let expected = "What is missing?\nDark mode\n\nAreas\na, b\n\nname\nAnn, B\n\nage\n9";
    assert_eq!(requests[0]["body"]["problem"], expected);
}

#[test]
fn chosen_options_are_looked_up_by_id() {
    let file = r#"
        [answers]
        each = "$.fields[*]"
        question = "@.label"
        keys = "@.key"
        answer = [
            "{{ item.options|selectattr('id', 'in', item.value or [])|map(attribute='text')|list }}",
            "@.value"
        ]
        [[feedback]]
        problem = "{{ answers }}"
    "#;
    let options = json!([{"id": "1", "text": "Large"}, {"id": "2", "text": "Small"}]);
    let payload = json!({"fields": [
        {"key": "q1", "label": "Name", "value": "Ann"},
        {"key": "q2", "label": "Size", "value": ["2"], "options": options},
        {"key": "q3", "label": "None", "value": null, "options": options},
    ]});

    assert_eq!(requests(file, &payload)[0]["body"]["problem"], "Name\nAnn\n\nSize\nSmall");
}

#[test]
fn condition_selects_entries() {
    let file = r#"
        [answers]
        of = "$.raw"
        when = "match(@.key, 'q[0-9]+_.*')"
        [[feedback]]
        problem = "{{ answers }}"
    "#;
    let payload =
        json!({"raw": {"slug": "x", "q3_name": {"first": "Ann", "last": "B"}, "q4_age": "9"}});

    assert_eq!(requests(file, &payload)[0]["body"]["problem"], "q3_name\nAnn, B\n\nq4_age\n9");
}

#[test]
fn failing_answer_is_left_out_and_noted() {
    let file = "[answers]\nof = \"$\"\n[[feedback]]\nproblem = \"{{ answers }}\"";
    let payload = json!({"a": "x", "b": {"c": {"d": 1}}});

    let mapped = compile_valid(file).apply(&super::event(None), &payload.into()).unwrap();

    assert_eq!(mapped.requests[0].body["problem"], "a\nx");
    assert!(mapped.notes[0].contains("object"), "{:?}", mapped.notes);
}

#[test]
fn answers_without_source_or_with_unknown_keys_are_mistakes() {
    for (table, mistakes) in [
        ("question = \"@.a\"\nanswer = \"@.b\"", 1),
        ("each = \"$.a\"\nof = \"$.b\"\nquestion = \"@.x\"\nanswer = \"@.x\"", 1),
        ("each = \"$.a\"", 2),
        ("of = \"$\"\nquestions = \"x\"", 1),
        ("of = \"$\"\nfound_in = \"$.a\"", 1),
        ("of = \"$\"\nanswer = \"{{ answers }}\"", 1),
    ] {
        let (_, found) = compile(&format!("[answers]\n{table}"));
        assert_eq!(found.len(), mistakes, "{table}: {found:?}");
    }
}

#[test]
fn file_without_answers_is_mapped() {
    assert_eq!(problem("\"{{ payload.a }}\"", &json!({"a": 1})), json!("1"));
}

#[test]
fn extractor_reads_a_header_query_or_template() {
    check("$.id", Some("7"));
    check("$.none", None);
    check("$.object", None);
    check("header:X-Kind", Some("note"));
    check("header:X-None", None);
    check("{{ headers['x-kind'] }}.{{ payload.id }}", Some("note.7"));
    check("{{ payload.none }}", None);
}

#[test]
fn wrong_extractor_is_a_mistake() {
    for bad in ["$.[", "{{ x", "header:", "header:a b", "@.a", "{{ event.id }}"] {
        let mut mistakes = Vec::new();
        let selector = Extractor::compile(&text(bad), &mut mistakes);
        assert_eq!(mistakes.len(), 1, "{bad}");
        assert_eq!(selector.select(&json!({}), &super::event(None).headers), None, "{bad}");
    }
}

fn check(selector: &str, expected: Option<&str>) {
    let mut mistakes = Vec::new();
    let selector = Extractor::compile(&text(selector), &mut mistakes);
    let payload = json!({"id": 7, "object": {}});
    let selected = selector.select(&payload, &super::event(None).headers);
    assert_eq!((selected.as_deref(), mistakes), (expected, vec![]));
}

fn text(text: &str) -> SpannedText {
    SpannedText::new(&super::document(text), text, 0..text.len())
}
