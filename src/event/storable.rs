//! Removes what Savio cannot store from texts.

use serde_json::Value;

// PostgreSQL cannot store NUL in a text, so Savio refuses the whole request for one.
pub const NUL: char = '\0';

/// Removes NUL from all texts and keys of a value.
pub fn storable(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains(NUL) => Value::String(text.replace(NUL, "")),
        Value::Array(items) => items.into_iter().map(storable).collect(),
        Value::Object(members) => {
            let members = members.into_iter().map(|(key, value)| (key.replace(NUL, ""), value));
            Value::Object(members.map(|(key, value)| (key, storable(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}
