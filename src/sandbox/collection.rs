//! A bounded collection of the newest records of one kind, with lookup by key.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::warn;

pub(super) const ENTRIES_MAX: usize = 200_000;
/// Size of the entries as JSON; in memory they take several times as much.
const BYTES_MAX: usize = 64 * 1024 * 1024;

pub(super) type Fields = Map<String, Value>;
/// A key field of an entry, and its value.
type LookupKey = (&'static str, String);

#[derive(Debug)]
pub(super) struct Collection {
    /// Fields by which entries are found.
    key_fields: &'static [&'static str],
    entries: BTreeMap<u64, StoredRecord>,
    keys: HashMap<LookupKey, u64>,
    last_id: u64,
    bytes: usize,
    bytes_max: usize,
    dropped: u64,
}

#[derive(Debug)]
struct StoredRecord {
    fields: Fields,
    bytes: usize,
}

impl Collection {
    pub(super) fn new(key_fields: &'static [&'static str]) -> Collection {
        Collection {
            key_fields,
            entries: BTreeMap::new(),
            keys: HashMap::new(),
            last_id: 0,
            bytes: 0,
            bytes_max: BYTES_MAX,
            dropped: 0,
        }
    }

    pub(super) fn add(&mut self, fields: Fields) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        let mut with_id = Map::from_iter([("id".to_owned(), Value::from(id))]);
        with_id.extend(fields.into_iter().filter(|(name, _)| name != "id"));
        self.put(id, with_id);
        id
    }

    /// Adds an entry with the times of its creation and last update, unless it has them.
    pub(super) fn add_at(&mut self, now: Timestamp, fields: Fields) -> u64 {
        let mut dated = fields;
        for name in ["created", "updated"] {
            dated.entry(name).or_insert_with(|| Value::from(now.to_string()));
        }
        self.add(dated)
    }

    pub(super) fn change(&mut self, id: u64, change: impl FnOnce(&mut Fields)) {
        // Removed and inserted again, so that its keys and its size are kept up to date.
        if let Some(mut fields) = self.take(id) {
            change(&mut fields);
            self.put(id, fields);
        }
    }

    /// Updates an entry: adds attributes to its own, and replaces all other fields.
    pub(super) fn update(&mut self, id: u64, fields: Fields, now: Timestamp) {
        self.change(id, |entry| {
            for (name, value) in fields.into_iter().filter(|(name, _)| name != "id") {
                merge(entry, name, value);
            }
            entry.insert("updated".to_owned(), Value::from(now.to_string()));
        });
    }

    /// Finds the entry with this value of a key field; of several, the one that was changed last.
    pub(super) fn find(&self, field: &'static str, value: &str) -> Option<u64> {
        self.keys.get(&(field, key(field, value))).copied()
    }

    pub(super) fn get(&self, id: u64) -> Option<&Fields> {
        self.entries.get(&id).map(|entry| &entry.fields)
    }

    /// Number of entries that were dropped to make room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// All entries, oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Fields> {
        self.entries.values().map(|entry| &entry.fields)
    }

    fn put(&mut self, id: u64, fields: Fields) {
        let bytes = serde_json::to_string(&fields).map_or(0, |text| text.len());
        self.bytes += bytes;
        self.keys.extend(self.keys_of(&fields).into_iter().map(|key| (key, id)));
        self.entries.insert(id, StoredRecord { fields, bytes });
        while self.entries.len() > ENTRIES_MAX || self.bytes > self.bytes_max {
            self.drop_oldest();
        }
    }

    fn take(&mut self, id: u64) -> Option<Fields> {
        let entry = self.entries.remove(&id)?;
        self.bytes -= entry.bytes;
        for key in self.keys_of(&entry.fields) {
            // Another entry may have taken the key over: names need not be unique.
            if self.keys.get(&key) == Some(&id) {
                self.keys.remove(&key);
            }
        }
        Some(entry.fields)
    }

    fn drop_oldest(&mut self) {
        let Some(id) = self.entries.keys().next().copied() else {
            return;
        };
        self.take(id);
        if self.dropped == 0 {
            warn!("the sandbox is full: it keeps the newest {ENTRIES_MAX} of a kind, and 64 MiB");
        }
        self.dropped += 1;
    }

    fn keys_of(&self, fields: &Fields) -> Vec<LookupKey> {
        let known = |field: &&'static str| {
            let value = fields.get(*field)?.as_str()?;
            Some((*field, key(field, value)))
        };
        self.key_fields.iter().filter_map(known).collect()
    }
}

/// Returns the value as a key. Only addresses are compared without regard to case.
fn key(field: &str, value: &str) -> String {
    if field == "email" { value.to_lowercase() } else { value.to_owned() }
}

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

    fn shelf_with(fields: &Value) -> Collection {
        let mut shelf = Collection::new(&["internal_id", "email"]);
        shelf.add(fields.as_object().unwrap().clone());
        shelf
    }

    #[test]
    fn entry_is_found_by_each_of_its_keys() {
        let mut shelf = shelf_with(&json!({ "internal_id": "a7", "email": "Ann@b.co" }));

        assert_eq!(shelf.find("internal_id", "a7"), Some(1));
        assert_eq!(shelf.find("internal_id", "A7"), None);
        assert_eq!(shelf.find("email", "ANN@b.co"), Some(1));
        shelf.change(1, |fields| drop(fields.insert("internal_id".to_owned(), json!("8"))));
        assert_eq!(shelf.find("internal_id", "a7"), None);
    }

    #[test]
    fn update_merges_attributes() {
        let mut shelf = shelf_with(&json!({ "filterable_attributes": { "a": 1 } }));
        let both = json!({ "filterable_attributes": { "b": 2 } });

        shelf.update(1, both.as_object().unwrap().clone(), Timestamp::UNIX_EPOCH);

        let kept = shelf.get(1).unwrap();
        assert_eq!(kept["filterable_attributes"], json!({ "a": 1, "b": 2 }));
    }

    #[test]
    fn oldest_entries_are_dropped_beyond_the_limits() {
        let mut shelf = Collection { bytes_max: 1_000, ..Collection::new(&[]) };
        let large = Value::String("x".repeat(250));
        for _ in 0..5 {
            shelf.add(Map::from_iter([("problem".to_owned(), large.clone())]));
        }

        assert_eq!(shelf.entries.keys().copied().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(shelf.dropped(), 2);
    }
}
