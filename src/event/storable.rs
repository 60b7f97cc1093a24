//! What Savio can store of a text: PostgreSQL, and with it Savio, refuses NUL and the whole request with it.

use serde_json::Value;

pub const NUL: char = '\0';

/// A value of a request without what Savio cannot store, keys included.
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
