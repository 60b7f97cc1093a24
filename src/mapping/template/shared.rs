//! JSON as templates see it: null is undefined, so that it can be looked into, and the order of keys
//! is kept.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use serde_json::{Map, Value as Json};

pub(super) fn share(json: &Json) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(boolean) => Value::from(*boolean),
        Json::Number(number) => share_number(number),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from_object(items.iter().map(share).collect::<Vec<_>>()),
        Json::Object(entries) => Value::from_object(Entries::of(entries)),
    }
}

fn share_number(number: &serde_json::Number) -> Value {
    if let Some(whole) = number.as_i64() {
        return Value::from(whole);
    }
    number.as_u64().map_or_else(|| Value::from(number.as_f64()), Value::from)
}

/// Up to here looking at one key after the other is quicker than a table of them.
const SMALL: usize = 16;

#[derive(Debug)]
struct Entries {
    entries: Vec<(Value, Value)>,
    /// Where each key is, if there are many.
    places: HashMap<String, usize>,
}

impl Entries {
    fn of(object: &Map<String, Json>) -> Entries {
        let shared = object.iter().map(|(key, value)| (Value::from(key.as_str()), share(value)));
        let is_small = object.len() <= SMALL;
        let keys = object.keys().filter(|_| !is_small).cloned();
        Entries { entries: shared.collect(), places: keys.zip(0..).collect() }
    }

    fn find(&self, key: &str) -> Option<&Value> {
        if self.entries.len() > SMALL {
            return self.places.get(key).map(|place| &self.entries[*place].1);
        }
        let is_it = |(known, _): &&(Value, Value)| known.as_str() == Some(key);
        self.entries.iter().find(is_it).map(|(_, value)| value)
    }
}

impl Object for Entries {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.find(key.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.find(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys: Vec<Value> = self.entries.iter().map(|(key, _)| key.clone()).collect();
        Enumerator::Iter(Box::new(keys.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries.len())
    }
}
