//! Validation of fields, with the messages of Savio's framework (Django REST framework).

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
    /// List of objects with the names of a roadmap and of a column in it.
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

/// Validates the known fields and returns them as they are stored: texts trimmed, and numbers as
/// texts where a text belongs.
pub(super) fn clean(
    body: &Map<String, Value>,
    rules: &[Rule],
) -> Result<Map<String, Value>, FieldErrors> {
    // The framework ignores unknown fields, and reports the mistakes of all fields at once.
    let mut errors = FieldErrors::new();
    let mut valid = Map::new();
    for (field, kind, need) in rules {
        let message = match body.get(*field) {
            Some(value) => mistake(value, *kind),
            None if *need == Need::Required => Some("This field is required.".to_owned()),
            None => None,
        };
        if let Some(message) = message {
            errors.insert((*field).to_owned(), json!([message]));
        } else if let Some(value) = body.get(*field) {
            valid.insert((*field).to_owned(), normalized(value, *kind));
        }
    }
    if errors.is_empty() { Ok(valid) } else { Err(errors) }
}

fn normalized(value: &Value, kind: FieldKind) -> Value {
    match (kind, value) {
        (FieldKind::Text | FieldKind::Email | FieldKind::Url, Value::String(text)) => {
            Value::from(text.trim())
        }
        (FieldKind::Text, Value::Number(number)) => Value::from(number.to_string()),
        (FieldKind::Texts, Value::Array(items)) => {
            items.iter().map(|item| normalized(item, FieldKind::Text)).collect()
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

// The framework trims texts before it validates them.
fn holds(value: &Value, rule: fn(&str) -> bool) -> bool {
    value.as_str().is_some_and(|text| rule(text.trim()))
}

/// Name of the value's type in Python, which the framework shows in messages.
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
    fn feedback_with_valid_fields_is_accepted() {
        feedback(&json!({}), &json!({}));
        feedback(&json!({ "person_email": "a@b.co", "tags": ["red", 7] }), &json!({}));
        feedback(&json!({ "source_url": "https://a.test/x?y=1#z" }), &json!({}));
        feedback(&json!({ "unknown": null }), &json!({}));
    }

    #[test]
    fn each_invalid_field_is_named() {
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
    fn contact_and_company_require_id_and_name() {
        let required = json!(["This field is required."]);
        for rules in [CONTACT, COMPANY] {
            let errors = clean(&Map::new(), rules).unwrap_err();
            assert_eq!(errors.get("internal_id"), Some(&required));
            assert_eq!(errors.get("name"), Some(&required));
        }
    }

    #[test]
    fn stored_fields_are_trimmed_texts() {
        let body = json!({ "problem": " Slow ", "tags": ["red", 7], "other": 1 });

        let valid = clean(body.as_object().unwrap(), FEEDBACK).unwrap();

        assert_eq!(Value::Object(valid), json!({ "problem": "Slow", "tags": ["red", "7"] }));
    }
}
