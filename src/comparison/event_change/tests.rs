//! What would change for one event.

use serde_json::json;

use super::*;
use crate::diagnostics::document::Document;
use crate::event::{EventId, Headers};
use crate::mapping_file::file::MappingFile;

const HEAD: &str = "provider = \"form\"\nsecrets = [\"env:S\"]\n";

fn mapping(blocks: &str) -> Arc<Mapping> {
    let document = Document { name: "form.toml".to_owned(), text: format!("{HEAD}{blocks}") };
    let file = MappingFile::of_text(document);
    assert_eq!(file.mistakes, []);
    file.mapping
}

fn event(payload: &str) -> Event {
    Event {
        id: EventId::from_bytes([1; 16]),
        source: "form".parse().unwrap(),
        event_type: None,
        delivery_id: None,
        received_at: jiff::Timestamp::UNIX_EPOCH,
        headers: Headers::new(),
        payload: payload.to_owned(),
    }
}

fn between(old: &str, new: &str, payload: &Value) -> Option<EventChange> {
    EventChange::between((&mapping(old), &mapping(new)), &event(&payload.to_string()))
}

/// Compares what two files make of a payload, each of whose blocks is `[[feedback]]`.
#[track_caller]
fn check((old, new): (&str, &str), payload: &Value, kind: ChangeKind, expected: &Value) {
    let change = between(old, new, payload);
    let fields = change.as_ref().map_or(json!([]), |change| {
        let short = |it: &FieldChange| json!([it.request, it.field, it.was, it.now]);
        change.fields.iter().map(short).collect()
    });
    assert_eq!(change.map_or(ChangeKind::Same, |change| change.kind), kind);
    assert_eq!(&fields, expected);
}

const PROBLEM: &str = "[[feedback]]\nproblem = \"$.text\"\n";
const WITH_EMAIL: &str = "[[feedback]]\nproblem = \"$.text\"\nperson_email = \"$.email\"\n";
const ONLY_LONG: &str = "[[feedback]]\nwhen = \"@.long == true\"\nproblem = \"$.text\"\n";

#[test]
fn event_is_the_same_if_its_requests_are() {
    let payload = json!({ "text": "Slow" });
    check((PROBLEM, PROBLEM), &payload, ChangeKind::Same, &json!([]));
    // Written differently, and with a field that this event does not have.
    let template = "[[feedback]]\nproblem = \"{{ payload.text }}\"\nperson_email = \"$.email\"\n";
    check((PROBLEM, template), &payload, ChangeKind::Same, &json!([]));
    check((ONLY_LONG, ONLY_LONG), &payload, ChangeKind::Same, &json!([]));
    check((PROBLEM, PROBLEM), &json!({}), ChangeKind::Same, &json!([]));
}

#[test]
fn changed_event_is_told_field_by_field() {
    let payload = json!({ "text": "Slow", "email": "ada@example.com" });
    let lost = json!([["feedback[0]", "person_email", "ada@example.com", null]]);
    check((WITH_EMAIL, PROBLEM), &payload, ChangeKind::Changed, &lost);
    let gained = json!([["feedback[0]", "person_email", null, "ada@example.com"]]);
    check((PROBLEM, WITH_EMAIL), &payload, ChangeKind::Changed, &gained);
    let louder = "[[feedback]]\nproblem = \"{{ payload.text | upper }}\"\n";
    let changed = json!([["feedback[0]", "problem", "Slow", "SLOW"]]);
    check((PROBLEM, louder), &payload, ChangeKind::Changed, &changed);
}

#[test]
fn attributes_are_told_one_by_one() {
    let of = |attributes: &str| {
        format!(
            "[[company]]\ninternal_id = \"$.id\"\nname = \"$.id\"\n\
             filterable_attributes = {{ {attributes} }}\n"
        )
    };
    let old = of("plan = \"$.plan\", seats = \"$.seats\"");
    let new = of("plan = \"$.plan\", size = \"$.seats\"");
    let changed = json!([
        ["company[0]", "filterable_attributes.size", null, 5],
        ["company[0]", "filterable_attributes.seats", 5, null]
    ]);
    let payload = json!({ "id": "7", "plan": "pro", "seats": 5 });
    check((&old, &new), &payload, ChangeKind::Changed, &changed);
}

#[test]
fn request_that_is_added_or_removed_leaves_the_others_the_same() {
    let each = |when: &str| {
        format!(
            "[[feedback]]\nfor_each = \"$.items[*]\"\nwhen = \"{when}\"\nproblem = \"@.text\"\n"
        )
    };
    let (all, some) = (each("@.n > 0"), each("@.n != 1"));
    let payload = json!({ "items": [
        { "n": 1, "text": "a" }, { "n": 2, "text": "b" }, { "n": 3, "text": "c" } ] });

    let removed = json!([["feedback[0]", null, { "problem": "a" }, null]]);
    check((&all, &some), &payload, ChangeKind::Changed, &removed);
    let added = json!([["feedback[0]", null, null, { "problem": "a" }]]);
    check((&some, &all), &payload, ChangeKind::Changed, &added);
    let with_contact = format!("[[contact]]\ninternal_id = \"$.id\"\nname = \"$.id\"\n{PROBLEM}");
    let payload = json!({ "text": "Slow", "id": "7" });
    let added = json!([["contact[0]", null, null, { "internal_id": "7", "name": "7" }]]);
    check((PROBLEM, &with_contact), &payload, ChangeKind::Changed, &added);
}

#[test]
fn event_that_gets_or_loses_its_requests_is_told_with_the_reason() {
    let payload = json!({ "text": "Slow" });
    let body = json!({ "problem": "Slow" });
    let removed = json!([["feedback[0]", null, body, null]]);
    let added = json!([["feedback[0]", null, null, body]]);
    check((PROBLEM, ONLY_LONG), &payload, ChangeKind::NewlyIgnored, &removed);
    check((ONLY_LONG, PROBLEM), &payload, ChangeKind::NewlyMade, &added);

    let ignored = between(PROBLEM, ONLY_LONG, &payload).unwrap();
    let (before, after) = ignored.mapped.unwrap();
    assert_eq!((before.result, before.reason), (MappingResult::Requests, None));
    assert_eq!(after.reason.as_deref(), Some("feedback[0]: `when` is false"));
}

#[test]
fn event_that_cannot_be_mapped_is_compared_by_the_reason() {
    let of = |value: &str| format!("[[feedback]]\nproblem = \"{value}\"\n");
    let failing = "[[feedback]]\nproblem = \"{{ payload.text + 1 }}\"\n";
    let payload = json!({ "text": "Slow" });
    let made = json!([["feedback[0]", null, null, { "problem": "Slow" }]]);
    check((&of("$.missing"), PROBLEM), &payload, ChangeKind::NewlyMade, &made);
    let gone = json!([["feedback[0]", null, { "problem": "Slow" }, null]]);
    check((PROBLEM, &of("$.missing")), &payload, ChangeKind::NewlyDead, &gone);
    check((ONLY_LONG, &of("$.missing")), &payload, ChangeKind::NewlyDead, &json!([]));
    check((&of("$.missing"), ONLY_LONG), &payload, ChangeKind::NewlyIgnored, &json!([]));
    // It is empty by both, whatever was looked for.
    check((&of("$.missing"), &of("$.other")), &payload, ChangeKind::Same, &json!([]));
    check((&of("$.missing"), failing), &payload, ChangeKind::Changed, &json!([]));

    let change = between(PROBLEM, &of("$.missing"), &payload).unwrap();
    let (_, after) = change.mapped.unwrap();
    assert_eq!(after.result, MappingResult::Dead);
    assert_eq!(after.reason.as_deref(), Some("feedback[0].problem: it is empty"));
}

#[test]
fn title_compares_as_written_and_is_marked() {
    let title = |existing: &str| {
        format!("{PROBLEM}feature_request_title = {{ from = \"$.title\"{existing} }}\n")
    };
    let prefer = title(", existing = \"prefer\"");
    let other = prefer.replace("$.title", "$.other");
    let payload = json!({ "text": "Slow", "title": "Dark mode", "other": "Night mode" });

    let change = between(&prefer, &other, &payload).unwrap();
    let [field] = &change.fields[..] else { panic!("{:?}", change.fields) };
    assert_eq!((&field.was, &field.now), (&json!("Dark mode"), &json!("Night mode")));
    assert!(field.linked_at_delivery);

    // The text is the same, but delivery would leave it out if nobody has such a feature request.
    let only = title(", existing = \"only\"");
    let changed = json!([["feedback[0]", "feature_request_title.existing", "prefer", "only"]]);
    check((&prefer, &only), &payload, ChangeKind::Changed, &changed);
    let unlinked = json!([["feedback[0]", "feature_request_title.existing", "prefer", null]]);
    check((&prefer, &title("")), &payload, ChangeKind::Changed, &unlinked);
}

#[test]
fn payload_that_is_no_json_is_unreadable() {
    let change = EventChange::between((&mapping(PROBLEM), &mapping(PROBLEM)), &event("{"));

    let change = change.expect("it is told");
    assert_eq!((change.kind, change.mapped), (ChangeKind::Unreadable, None));
    assert!(change.reason.unwrap().starts_with("the payload is not JSON: "));
}

#[test]
fn differences_of_one_event_are_bounded() {
    let each = |suffix: &str| {
        format!("[[feedback]]\nfor_each = \"$.items[*]\"\nproblem = \"{{{{ item }}}}{suffix}\"\n")
    };
    let items: Vec<usize> = (0..1000).collect();

    let change = between(&each(""), &each("!"), &json!({ "items": items })).unwrap();

    assert_eq!((change.fields.len(), change.more_fields), (200, 800));
    assert!(change.bytes() > 1000);
}
