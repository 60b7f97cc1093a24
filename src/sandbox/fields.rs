//! Which fields Savio takes, and what it says about those that are wrong.

use serde_json::{Map, Value, json};

use crate::event::{NUL, is_email, is_url};

/// Messages by field.
pub(super) type FieldErrors = Map<String, Value>;

#[derive(Debug, Clone, Copy)]
pub(super) enum FieldKind {
    Text,
    Email,
    Url,
    Number,
    Texts,
    Object,
    Boolean,
    /// Objects with the names of a roadmap and of a column in it.
    Placements,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Need {
    Required,
    Optional,
}

pub(super) type Rule = (&'static str, FieldKind, Need);

pub(super) const FEEDBACK: &[Rule] = &[
    ("problem", FieldKind::Text, Need::Required),
    ("feedback_type", FieldKind::Text, Need::Optional),
    ("state", FieldKind::Text, Need::Optional),
    ("source_url", FieldKind::Url, Need::Optional),
    ("source_username", FieldKind::Text, Need::Optional),
    ("person_email", FieldKind::Email, Need::Optional),
    ("person_name", FieldKind::Text, Need::Optional),
    ("company_name", FieldKind::Text, Need::Optional),
    ("feature_request_title", FieldKind::Text, Need::Optional),
    ("tags", FieldKind::Texts, Need::Optional),
];

pub(super) const CONTACT: &[Rule] = &[
    ("internal_id", FieldKind::Text, Need::Required),
    ("name", FieldKind::Text, Need::Required),
    ("email", FieldKind::Email, Need::Optional),
    ("company", FieldKind::Number, Need::Optional),
    ("company_internal_id", FieldKind::Text, Need::Optional),
    ("filterable_attributes", FieldKind::Object, Need::Optional),
];

pub(super) const COMPANY: &[Rule] = &[
    ("internal_id", FieldKind::Text, Need::Required),
    ("name", FieldKind::Text, Need::Required),
    ("filterable_attributes", FieldKind::Object, Need::Optional),
];

/// The fields that are known, as they are kept: texts trimmed, numbers in their place as texts.
pub(super) fn clean(
    body: &Map<String, Value>,
    rules: &[Rule],
) -> Result<Map<String, Value>, FieldErrors> {
    let mut errors = FieldErrors::new();
    let mut kept = Map::new();
    for (field, kind, need) in rules {
        let message = match body.get(*field) {
            Some(value) => mistake(value, *kind),
            None if *need == Need::Required => Some("This field is required.".to_owned()),
            None => None,
        };
        if let Some(message) = message {
            errors.insert((*field).to_owned(), json!([message]));
        } else if let Some(value) = body.get(*field) {
            kept.insert((*field).to_owned(), tidy(value, *kind));
        }
    }
    if errors.is_empty() { Ok(kept) } else { Err(errors) }
}

fn tidy(value: &Value, kind: FieldKind) -> Value {
    match (kind, value) {
        (FieldKind::Text | FieldKind::Email | FieldKind::Url, Value::String(text)) => {
            Value::from(text.trim())
        }
        (FieldKind::Text, Value::Number(number)) => Value::from(number.to_string()),
        (FieldKind::Texts, Value::Array(items)) => {
            items.iter().map(|item| tidy(item, FieldKind::Text)).collect()
        }
        (_, value) => value.clone(),
    }
}

fn mistake(value: &Value, kind: FieldKind) -> Option<String> {
    if value.is_null() {
        return Some("This field may not be null.".to_owned());
    }
    match kind {
        FieldKind::Text => text_mistake(value),
        FieldKind::Email => text_mistake(value).or_else(|| {
            (!holds(value, is_email)).then(|| "Enter a valid email address.".to_owned())
        }),
        FieldKind::Url => text_mistake(value)
            .or_else(|| (!holds(value, is_url)).then(|| "Enter a valid URL.".to_owned())),
        FieldKind::Number => (!value.is_u64()).then(|| "A valid integer is required.".to_owned()),
        FieldKind::Texts => match value.as_array() {
            Some(items) => items.iter().find_map(text_mistake),
            None => Some(format!("Expected a list of items but got type \"{}\".", name(value))),
        },
        FieldKind::Object => (!value.is_object())
            .then(|| format!("Expected a dictionary of items but got type \"{}\".", name(value))),
        FieldKind::Boolean => (!value.is_boolean()).then(|| "Must be a valid boolean.".to_owned()),
        FieldKind::Placements => {
            let fits = |item: &Value| item["roadmap"].is_string();
            let is_list = value.as_array().is_some_and(|items| items.iter().all(fits));
            (!is_list).then(|| "Expected a list of {\"roadmap\": ..., \"column\": ...}.".to_owned())
        }
    }
}

fn text_mistake(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.trim().is_empty() => {
            Some("This field may not be blank.".to_owned())
        }
        Value::String(text) if text.contains(NUL) => {
            Some("Null characters are not allowed.".to_owned())
        }
        Value::String(_) | Value::Number(_) => None,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Some("Not a valid string.".to_owned())
        }
    }
}

/// The text is without white space around it, as Savio has it.
fn holds(value: &Value, rule: fn(&str) -> bool) -> bool {
    value.as_str().is_some_and(|text| rule(text.trim()))
}

/// What Python calls the value's type.
fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feedback(fields: &Value, expected: &Value) {
        let mut body = json!({ "problem": "It is slow" }).as_object().unwrap().clone();
        body.extend(fields.as_object().unwrap().clone());
        let errors = clean(&body, FEEDBACK).err().unwrap_or_default();
        assert_eq!(&Value::Object(errors), expected, "{fields}");
    }

    #[test]
    fn feedback_with_good_fields_is_taken() {
        feedback(&json!({}), &json!({}));
        feedback(&json!({ "person_email": "a@b.co", "tags": ["red", 7] }), &json!({}));
        feedback(&json!({ "source_url": "https://a.test/x?y=1#z" }), &json!({}));
        feedback(&json!({ "unknown": null }), &json!({}));
    }

    #[test]
    fn each_wrong_field_is_named() {
        feedback(
            &json!({ "problem": " ", "person_email": "nobody", "source_url": "here" }),
            &json!({
                "problem": ["This field may not be blank."],
                "source_url": ["Enter a valid URL."],
                "person_email": ["Enter a valid email address."],
            }),
        );
        feedback(
            &json!({ "person_name": "A\u{0}da", "tags": ["red", "b\u{0}"] }),
            &json!({
                "person_name": ["Null characters are not allowed."],
                "tags": ["Null characters are not allowed."],
            }),
        );
        feedback(
            &json!({ "problem": null, "state": {}, "tags": "red" }),
            &json!({
                "problem": ["This field may not be null."],
                "state": ["Not a valid string."],
                "tags": ["Expected a list of items but got type \"str\"."],
            }),
        );
    }

    #[test]
    fn a_contact_and_a_company_need_their_id_and_name() {
        let wanted = json!(["This field is required."]);
        for rules in [CONTACT, COMPANY] {
            let errors = clean(&Map::new(), rules).unwrap_err();
            assert_eq!(errors.get("internal_id"), Some(&wanted));
            assert_eq!(errors.get("name"), Some(&wanted));
        }
    }

    #[test]
    fn what_is_kept_is_tidy() {
        let body = json!({ "problem": " Slow ", "tags": ["red", 7], "other": 1 });

        let kept = clean(body.as_object().unwrap(), FEEDBACK).unwrap();

        assert_eq!(Value::Object(kept), json!({ "problem": "Slow", "tags": ["red", "7"] }));
    }
}
