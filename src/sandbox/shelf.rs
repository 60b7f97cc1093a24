//! The newest things of one kind, within a bound of number and size.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::warn;

const ENTRIES_MAX: usize = 100_000;
const BYTES_MAX: usize = 64 * 1024 * 1024;

type Fields = Map<String, Value>;
/// A field by which an entry is known, and its value in lower case.
type Key = (&'static str, String);

#[derive(Debug, Default)]
pub(super) struct Shelf {
    entries: BTreeMap<u64, Entry>,
    keys: HashMap<Key, u64>,
    last_id: u64,
    bytes: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    fields: Fields,
    bytes: usize,
}

impl Shelf {
    pub(super) fn add(&mut self, fields: Fields) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let mut with_id = Map::from_iter([("id".to_owned(), Value::from(id))]);
        with_id.extend(fields.into_iter().filter(|(name, _)| name != "id"));
        self.put(id, with_id);
        id
    }

    /// Changes the entry that has one of the same keys, or adds a new one.
    pub(super) fn upsert(&mut self, fields: Fields, now: Timestamp) -> Fields {
        let known = keys_of(&fields).iter().find_map(|key| self.keys.get(key).copied());
        let now = Value::from(now.to_string());
        let id = known
            .unwrap_or_else(|| self.add(Map::from_iter([("created".to_owned(), now.clone())])));
        let mut merged = self.take(id);
        for (name, value) in fields.into_iter().filter(|(name, _)| name != "id") {
            merge(&mut merged, name, value);
        }
        merged.insert("updated".to_owned(), now);
        self.put(id, merged.clone());
        merged
    }

    pub(super) fn find(&self, key: &'static str, value: &str) -> Option<&Fields> {
        let id = self.keys.get(&(key, value.to_lowercase()))?;
        self.entries.get(id).map(|entry| &entry.fields)
    }

    /// How many entries were dropped to make room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Fields> {
        self.entries.values().map(|entry| &entry.fields)
    }

    /// A list, oldest first.
    pub(super) fn to_json(&self) -> String {
        let entries: Vec<&Fields> = self.entries().collect();
        serde_json::to_string(&entries).expect("maps with text keys can be written as JSON")
    }

    fn put(&mut self, id: u64, fields: Fields) {
        let bytes = serde_json::to_string(&fields).map_or(0, |text| text.len());
        self.bytes += bytes;
        self.keys.extend(keys_of(&fields).into_iter().map(|key| (key, id)));
        self.entries.insert(id, Entry { fields, bytes });
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            self.drop_oldest();
        }
    }

    fn take(&mut self, id: u64) -> Fields {
        let Some(entry) = self.entries.remove(&id) else {
            return Map::new();
        };
        self.bytes -= entry.bytes;
        for key in keys_of(&entry.fields) {
            if self.keys.get(&key) == Some(&id) {
                self.keys.remove(&key);
            }
        }
        entry.fields
    }

    fn drop_oldest(&mut self) {
        let Some(id) = self.entries.keys().next().copied() else {
            return;
        };
        self.take(id);
        if self.dropped == 0 {
            warn!("the sandbox is full: it keeps the newest {ENTRIES_MAX}, and at most 64 MiB");
        }
        self.dropped += 1;
    }
}

fn keys_of(fields: &Fields) -> Vec<Key> {
    let key = |name: &'static str| {
        let value = match fields.get(name)? {
            Value::String(text) => text.trim().to_lowercase(),
            other => other.to_string(),
        };
        Some((name, value))
    };
    ["internal_id", "email"].into_iter().filter_map(key).collect()
}

/// Attributes are added to those that are there; all else is replaced.
fn merge(fields: &mut Fields, name: String, value: Value) {
    match (fields.get_mut(&name), value) {
        (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
        (_, value) => {
            fields.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn upsert(shelf: &mut Shelf, fields: &Value) -> Value {
        let fields = fields.as_object().unwrap().clone();
        Value::Object(shelf.upsert(fields, Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn an_entry_is_known_by_its_internal_id_and_by_its_email() {
        let mut shelf = Shelf::default();
        upsert(&mut shelf, &json!({ "internal_id": "7", "email": "Ann@b.co", "name": "Ann" }));
        let same = upsert(&mut shelf, &json!({ "internal_id": "8", "name": "Anna" }));
        let by_email = upsert(&mut shelf, &json!({ "email": "ann@b.co", "name": "Ann B" }));

        assert_eq!(same["id"], json!(2));
        assert_eq!(by_email["id"], json!(1));
        assert_eq!(by_email["internal_id"], json!("7"));
        assert_eq!(shelf.find("email", "ANN@b.co").unwrap()["name"], json!("Ann B"));
    }

    #[test]
    fn attributes_are_added_to_those_that_are_there() {
        let mut shelf = Shelf::default();
        upsert(&mut shelf, &json!({ "internal_id": "7", "filterable_attributes": { "a": 1 } }));
        let both = json!({ "internal_id": "7", "filterable_attributes": { "b": 2 } });

        let kept = upsert(&mut shelf, &both);

        assert_eq!(kept["filterable_attributes"], json!({ "a": 1, "b": 2 }));
    }

    #[test]
    fn the_newest_stay_within_the_bounds() {
        let mut shelf = Shelf::default();
        let large = Value::String("x".repeat(BYTES_MAX / 4));
        for _ in 0..5 {
            shelf.add(Map::from_iter([("problem".to_owned(), large.clone())]));
        }

        assert_eq!(shelf.entries.keys().copied().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(shelf.dropped(), 2);
    }
}
