//! Finds what identifies an event: its id, its type, and the list of events if there are several.
//! Pure.

use serde_json::Value;

use super::candidates::{best, is_secret, is_time, key_has, ranked};
use super::clue::Known;
use super::evidence::Field;
use super::leaves::{Leaf, ValuePath, leaves};
use super::vocabulary::{CUSTOMERS, STAFF, VERBS};
use super::words::{has, words};
use crate::event::{Headers, is_email, is_url};

/// Lists of events at the top of a payload.
const BATCHES: &str = "event notification record webhook";
/// Objects that happen once, or whose id names the event.
const OBJECTS: &str = "answer booking bug case comment conversation entry event feedback idea issue item message note \
    object part post record recording reply request response review story submission suggestion task ticket vote";
/// Ids that many events share.
const SHARED: &str = "account app author board bucket business calendar campaign category channel chat client company \
    conversation-id creator department form group inbox member org organisation organization page parent person \
    product profile project question schema session site source status subscription survey team template tenant \
    thread topic type user visitor webhook workflow workspace";
/// Ids of the event or of its delivery itself.
const OWN_IDS: &str = "delivery-id event-id event-uuid idempotency-key message-id notification-id";
/// Times of the event; those of an attempt to deliver it differ each time.
const EVENT_TIMES: &str =
    "created-at createdat date occurred-at occurredat time timestamp triggered-at";
/// Those that cannot be the time at which an object was made.
const MOMENTS: &str = "occurred-at timestamp triggered-at event-time";
/// Times of the last change of an object.
const CHANGE_TIMES: &str = "changed edited last-modified last-updated modified updated";
/// Types that the same object can have several times.
const CHANGES: &str = "change changed edited modified update updated";

/// A value as `[event]` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IdentityValue {
    /// The text of the key: a query, a template or `header:NAME`.
    pub(super) written: String,
    /// For use in a template between braces.
    expression: String,
    /// What it is in the payload.
    pub(super) value: String,
    /// The object that has it; that of a header is the payload.
    place: ValuePath,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EventIdentity {
    pub(super) event_type: Option<IdentityValue>,
    pub(super) id: Option<IdentityValue>,
    /// Ids that were found and not used, each with its value.
    pub(super) other_ids: Vec<IdentityValue>,
    /// Set if the same id may name several events, so that none is used.
    pub(super) id_repeats: bool,
}

/// Objects of the event that are known already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EventObjects<'p> {
    pub(super) text: Option<&'p ValuePath>,
    /// The list of questions and answers.
    pub(super) form: Option<&'p ValuePath>,
}

/// Returns the path of the events, if the payload is nothing but a list of them.
pub(super) fn batch(payload: &Value) -> Option<String> {
    let is_list = |value: &Value| {
        value
            .as_array()
            .is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_object))
    };
    if is_list(payload) {
        // The answers of a form are one event.
        return super::question_list::find(payload).is_none().then(|| "$[*]".to_owned());
    }
    let entries = payload.as_object()?;
    let mut lists = entries.iter().filter(|(_, value)| value.is_array() || value.is_object());
    let (key, list) = lists.next().filter(|_| lists.next().is_none())?;
    let is_plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (is_list(list) && is_plain && has(&words(key), BATCHES)).then(|| format!("$.{key}[*]"))
}

/// Finds id and type of one event.
pub(super) fn find(payload: &Value, headers: &Headers, objects: EventObjects<'_>) -> EventIdentity {
    let leaves = leaves(payload);
    let event_type = header(headers, is_type_header).or_else(|| event_type(&leaves));
    if let Some(id) = header(headers, is_id_header) {
        return EventIdentity { event_type, id: Some(id), ..EventIdentity::default() };
    }
    // That an envelope beside the type has, if the object of the event has an id of its own.
    let type_place = event_type.as_ref().map(|it| &it.place);
    let envelope = type_place.filter(|_| leaves.iter().any(is_object_id));
    let mut ids: Vec<(i32, &Leaf<'_>)> = leaves
        .iter()
        .map(|leaf| (id_points(leaf, envelope, objects), leaf))
        .filter(|(points, _)| *points >= ID_MIN)
        .collect();
    ids.sort_by_key(|(points, _)| std::cmp::Reverse(*points));
    let mut ids = ids.into_iter();
    let first = ids.next();
    let mut other_ids: Vec<IdentityValue> = ids.map(|(_, leaf)| value(leaf)).take(3).collect();
    let id = first.and_then(|(points, leaf)| {
        if points >= OWN_ID {
            Some(value(leaf))
        } else {
            object_id(leaf, &leaves, event_type.as_ref())
        }
    });
    let id_repeats = id.is_none() && first.is_some();
    if id_repeats {
        other_ids.splice(..0, first.map(|(_, leaf)| value(leaf)));
    }
    EventIdentity { event_type, id, other_ids, id_repeats }
}

fn value(leaf: &Leaf<'_>) -> IdentityValue {
    IdentityValue {
        written: leaf.path.query(),
        expression: leaf.path.expression(),
        value: leaf.text.to_string(),
        place: leaf.path.parent(),
    }
}

fn header(headers: &Headers, is_it: fn(&[String]) -> bool) -> Option<IdentityValue> {
    let (name, value) = headers.iter().find(|(name, _)| is_it(&words(name)))?;
    Some(IdentityValue {
        written: format!("header:{}", canonical(name)),
        expression: format!("headers['{name}']"),
        value: value.clone(),
        place: ValuePath::default(),
    })
}

/// Returns the name as tools document it: `X-Acme-Event`.
pub(super) fn canonical(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        letters
            .next()
            .map(|c| c.to_uppercase().collect::<String>() + letters.as_str())
            .unwrap_or_default()
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

fn is_type_header(name: &[String]) -> bool {
    has(name, "event topic")
        && !has(name, "id uuid delivery time timestamp signature version attempt")
}

fn is_id_header(name: &[String]) -> bool {
    // `x-request-id` is often another one for each attempt.
    let is_delivery = has(name, "delivery") && !has(name, "attempt count time");
    is_delivery || has(name, OWN_IDS) || name == ["webhook", "id"] || name == ["svix", "id"]
}

/// Returns the type; one that is a verb alone together with the kind of object beside it.
fn event_type(leaves: &[Leaf<'_>]) -> Option<IdentityValue> {
    let candidates = ranked(Field::EventType, leaves, Known::default());
    let found = best(Field::EventType, &candidates)?.leaf;
    let verb = words(&found.text);
    let is_verb = verb.len() == 1 && has(&verb, VERBS);
    let is_kind = |leaf: &&Leaf<'_>| {
        leaf.path.parent() == found.path.parent()
            && leaf.path != found.path
            && key_has(leaf, "type object resource entity model kind")
            && !key_has(leaf, "id")
            && !leaf.text.contains(char::is_whitespace)
    };
    match leaves.iter().find(is_kind).filter(|_| is_verb) {
        Some(kind) => {
            let expression =
                format!("{} ~ '.' ~ {}", kind.path.expression(), found.path.expression());
            let written = format!(
                "{{{{ {} }}}}.{{{{ {} }}}}",
                kind.path.expression(),
                found.path.expression()
            );
            let value = format!("{}.{}", kind.text, found.text);
            Some(IdentityValue { written, expression, value, place: found.path.parent() })
        }
        None => Some(value(found)),
    }
}

/// Points from which an id is the event's own, so that no two events share it.
const OWN_ID: i32 = 100;
/// Points below which an id is none of the event.
const ID_MIN: i32 = 30;

/// Returns how surely a value is an id by which repeats can be told.
fn id_points(leaf: &Leaf<'_>, envelope: Option<&ValuePath>, objects: EventObjects<'_>) -> i32 {
    let names = &leaf.names;
    let (Some(key), false) = (names.first(), leaf.path.has_items()) else { return 0 };
    if !is_id_value(&leaf.text) || is_secret(leaf) || leaf.path.last_key().is_none() {
        return 0;
    }
    // The id of a question is the same in all answers.
    if objects.form.is_some_and(|form| form.depth() > 0 && leaf.path.starts_with(form)) {
        return 0;
    }
    if has(key, OWN_IDS) && leaf.path.depth() <= 2 {
        return if leaf.path.depth() == 1 { OWN_ID + 20 } else { OWN_ID };
    }
    let is_plain = key.len() == 1 && has(key, "id uuid uid guid idx");
    let is_of_object = key.len() > 1 && has(key, "id uuid uid guid") && has(key, OBJECTS);
    let above = names
        .get(1)
        .is_some_and(|name| has(name, SHARED) || has(name, CUSTOMERS) || has(name, STAFF));
    let is_objects = names.get(1).is_some_and(|name| has(name, OBJECTS));
    if !(is_plain || is_of_object) || has(key, SHARED) || above && !is_objects {
        return 0;
    }
    if is_plain && leaf.path.depth() == 1 && envelope.is_some_and(|it| leaf.path.parent() == *it) {
        return OWN_ID;
    }
    // A word that many events share, such as `message`, is no id of one of them.
    if !leaf.text.contains(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase()) {
        return 0;
    }
    let form = objects.form.map(ValuePath::parent);
    let near = objects.text.into_iter().chain(&form);
    let place = near.map(|object| nearness(leaf, object)).max().unwrap_or(0);
    let kind = if is_plain { 20 } else { 15 };
    let is_once = has(key, "response submission entry feedback review");
    let below = i32::try_from(leaf.path.depth()).unwrap_or(9);
    place + kind + if is_once { 10 } else { 0 } + if is_objects { 20 } else { 0 } - below
}

fn is_id_value(text: &str) -> bool {
    let is_compact = !text.contains(char::is_whitespace) && text.chars().nth(128).is_none();
    is_compact && !is_email(text) && !is_url(text) && !is_iso_time(text)
}

// An id with hyphens, such as a UUID, also looks like a time.
fn is_iso_time(text: &str) -> bool {
    is_time(text) && text.contains([':', '/'])
}

/// Returns how near the id is to an object: in it, or in one around it.
fn nearness(leaf: &Leaf<'_>, object: &ValuePath) -> i32 {
    let parent = leaf.path.parent();
    if parent == *object {
        40
    } else if object.starts_with(&parent) {
        let between = i32::try_from(object.depth() - parent.depth()).unwrap_or(9);
        30 - 5 * between
    } else {
        0
    }
}

/// Returns whether it is the id of an object below the top of the payload.
fn is_object_id(leaf: &Leaf<'_>) -> bool {
    let is_id = leaf.names.first().is_some_and(|key| {
        key.len() == 1 && has(key, "id uuid uid guid number") || has(key, "id") && has(key, OBJECTS)
    });
    let is_of_object = leaf
        .names
        .get(1)
        .is_some_and(|name| has(name, OBJECTS) || has(name, "data payload attributes"));
    is_id && is_of_object && leaf.path.depth() > 1 && !leaf.path.has_items()
}

/// Returns an id that is made of an object's: with the type, since several events are of one
/// object, and with the time of the change if there is one.
fn object_id(
    leaf: &Leaf<'_>,
    leaves: &[Leaf<'_>],
    event_type: Option<&IdentityValue>,
) -> Option<IdentityValue> {
    let changed = leaves.iter().find(|other| {
        other.path.parent() == leaf.path.parent()
            && key_has(other, CHANGE_TIMES)
            && is_moment(&other.text)
    });
    let Some(event_type) = event_type else {
        // A form sends a submission once, or again when it was changed.
        return Some(joined(&[Some(value(leaf)), changed.map(value)]));
    };
    // Beside an object's own id, `created_at` is the object's time and the same for all its events.
    let times = if leaf.path.parent() == event_type.place { MOMENTS } else { EVENT_TIMES };
    let of_event = leaves.iter().find(|other| {
        let is_time = key_has(other, times) && !key_has(other, "sent delivered attempt due");
        other.path.parent() == event_type.place && is_time && is_moment(&other.text)
    });
    let time = of_event.or(changed);
    if time.is_none() && has(&words(&event_type.value.to_lowercase()), CHANGES) {
        return None;
    }
    Some(joined(&[Some(event_type.clone()), Some(value(leaf)), time.map(value)]))
}

fn is_moment(text: &str) -> bool {
    let is_epoch = text.len() >= 10 && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_time(text) || is_epoch
}

/// Returns the values as one, with spaces between them.
fn joined(values: &[Option<IdentityValue>]) -> IdentityValue {
    let values: Vec<&IdentityValue> = values.iter().flatten().collect();
    if let [one] = values.as_slice() {
        return (*one).clone();
    }
    let part = |value: &&IdentityValue| format!("{{{{ {} }}}}", value.expression);
    let written = values.iter().map(part).collect::<Vec<_>>().join(" ");
    let value = values.iter().map(|it| it.value.as_str()).collect::<Vec<_>>().join(" ");
    IdentityValue { expression: String::new(), written, value, place: ValuePath::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(payload: &Value, headers: &[(&str, &str)]) -> [Option<String>; 2] {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let leaves = leaves(payload);
        let candidates = ranked(Field::Text, &leaves, Known::default());
        let text = best(Field::Text, &candidates).map(|text| text.leaf.path.parent());
        let objects = EventObjects { text: text.as_ref(), form: None };
        let found = find(payload, &headers.collect(), objects);
        [found.event_type, found.id].map(|value| value.map(|value| value.written))
    }

    #[track_caller]
    fn check(payload: &Value, headers: &[(&str, &str)], expected: [Option<&str>; 2]) {
        assert_eq!(found(payload, headers), expected.map(|it| it.map(str::to_owned)), "{payload}");
    }

    #[test]
    fn id_of_the_event_is_used_alone() {
        let object = json!({"id": 7, "comment": "Too slow for us"});

        check(
            &json!({"event_id": "e1", "type": "note.created", "data": object}),
            &[],
            [Some("$.type"), Some("$.event_id")],
        );
        check(
            &json!({"id": "e1", "event": "note.created", "data": object}),
            &[],
            [Some("$.event"), Some("$.id")],
        );
    }

    #[test]
    fn id_of_an_object_comes_with_the_type_and_the_time_of_its_change() {
        let object =
            json!({"id": 7, "comment": "Too slow for us", "updated_at": "2026-01-31T09:30:00Z"});

        let with_time = "{{ payload.event }} {{ payload.data.id }} {{ payload.data.updated_at }}";
        check(
            &json!({"event": "note.updated", "data": object}),
            &[],
            [Some("$.event"), Some(with_time)],
        );
        let without =
            json!({"event": "note.created", "data": {"id": 7, "comment": "Too slow for us"}});
        check(&without, &[], [Some("$.event"), Some("{{ payload.event }} {{ payload.data.id }}")]);
    }

    #[test]
    fn id_that_several_changes_share_is_not_used() {
        let payload =
            json!({"event": "note.updated", "data": {"id": 7, "comment": "Too slow for us"}});

        check(&payload, &[], [Some("$.event"), None]);
        let objects = EventObjects::default();
        assert!(find(&payload, &Headers::new(), objects).other_ids.is_empty());
    }

    #[test]
    fn headers_precede_the_payload() {
        let headers = [
            ("x-acme-event", "note.created"),
            ("x-acme-delivery", "d1"),
            ("x-acme-event-time", "9"),
        ];

        let expected = [Some("header:X-Acme-Event"), Some("header:X-Acme-Delivery")];
        check(&json!({"event": "other.created", "id": 7}), &headers, expected);
    }

    #[test]
    fn verb_alone_is_completed_by_the_kind_of_object() {
        let payload =
            json!({"action": "create", "type": "comment", "data": {"text": "Too slow for us"}});

        check(&payload, &[], [Some("{{ payload.type }}.{{ payload.action }}"), None]);
    }

    #[test]
    fn ids_and_types_of_other_things_are_not_used() {
        let payload = json!({"form_id": 3, "user": {"id": 7}, "organization_id": "o", "status": "completed",
            "comment": "Too slow for us", "type": "bug"});

        check(&payload, &[], [None, None]);
    }

    #[test]
    fn id_of_a_question_is_not_that_of_the_event() {
        let payload =
            json!({"fields": {"name": {"id": "q1"}, "message": {"id": "q2"}}, "id": "sub-1"});
        let form = ValuePath::default().below("fields");
        let objects = EventObjects { text: None, form: Some(&form) };

        let found = find(&payload, &Headers::new(), objects);

        assert_eq!(found.id.map(|id| id.written).as_deref(), Some("$.id"));
        assert_eq!(found.other_ids, []);
    }

    #[test]
    fn list_of_events_is_a_batch_and_a_list_of_answers_is_none() {
        let batch = |payload: Value| batch(&payload);

        assert_eq!(batch(json!({"events": [{"id": 1}]})).as_deref(), Some("$.events[*]"));
        assert_eq!(batch(json!([{"id": 1, "text": "a"}])).as_deref(), Some("$[*]"));
        assert_eq!(
            batch(
                json!([{"question": "Why?", "answer": "a"}, {"question": "How?", "answer": "b"}])
            ),
            None
        );
        assert_eq!(batch(json!({"events": [{"id": 1}], "data": {"id": 2}})), None);
    }
}
