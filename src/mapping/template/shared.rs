//! JSON as templates see it: null is undefined, so that it can be looked into, and the order of keys
//! is kept.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use serde_json::Value as Json;

pub(super) fn share(json: &Json) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(boolean) => Value::from(*boolean),
        Json::Number(number) => share_number(number),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from_object(items.iter().map(share).collect::<Vec<_>>()),
        Json::Object(entries) => Value::from_object(Entries {
            keys: entries.keys().map(|key| Value::from(key.as_str())).collect(),
            values: entries.iter().map(|(key, value)| (key.clone(), share(value))).collect(),
        }),
    }
}

fn share_number(number: &serde_json::Number) -> Value {
    if let Some(whole) = number.as_i64() {
        return Value::from(whole);
    }
    number.as_u64().map_or_else(|| Value::from(number.as_f64()), Value::from)
}

#[derive(Debug)]
struct Entries {
    keys: Vec<Value>,
    values: HashMap<String, Value>,
}

impl Object for Entries {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.values.get(key.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.values.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.keys.clone();
        Enumerator::Iter(Box::new(keys.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.keys.len())
    }
}
