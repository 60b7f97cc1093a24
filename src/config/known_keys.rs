//! The keys of relay.toml with the kind of value of each, from its JSON Schema.

use serde_json::{Map, Value};

/// Prefix of the variables that set keys.
pub(super) const PREFIX: &str = "SAVIO_RELAY_";

/// A key of relay.toml: its section, its name, and for some a name in between that people choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownKey {
    pub(super) path: Vec<KeySegment>,
    pub(super) kind: ValueKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeySegment {
    Name(String),
    /// Any name: of a destination, of a header.
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    Text,
    /// A number, or true or false.
    Bare,
    List,
    /// True, false or a list.
    BooleanOrList,
    /// Tables, each written as `[[key]]`.
    Tables,
}

/// Returns all keys, sorted as in the schema.
// From the schema that editors use, which a test compares with what is read: a table of its own
// would be one more place to forget.
pub(super) fn all() -> Vec<KnownKey> {
    let schema = include_str!("../../relay.schema.json");
    let schema: Value = serde_json::from_str(schema).expect("a test reads it");
    let mut keys = Vec::new();
    collect(&schema, &schema, &mut Vec::new(), &mut keys);
    keys
}

fn collect(root: &Value, schema: &Value, path: &mut Vec<KeySegment>, keys: &mut Vec<KnownKey>) {
    let schema = resolved(root, schema);
    let properties = schema["properties"].as_object();
    let any = Some(&schema["additionalProperties"]).filter(|any| any.is_object());
    if properties.is_none() && any.is_none() {
        keys.push(KnownKey { path: path.clone(), kind: kind(root, schema) });
        return;
    }
    for (name, property) in properties.unwrap_or(&Map::new()) {
        path.push(KeySegment::Name(name.clone()));
        collect(root, property, path, keys);
        path.pop();
    }
    if let Some(any) = any {
        path.push(KeySegment::Any);
        collect(root, any, path, keys);
        path.pop();
    }
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let target = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    target.and_then(|path| root.pointer(path)).unwrap_or(schema)
}

fn kind(root: &Value, schema: &Value) -> ValueKind {
    let options = ["oneOf", "anyOf"].into_iter().find_map(|key| schema[key].as_array());
    let options = options.map_or_else(|| vec![schema], |options| options.iter().collect());
    let types: Vec<&str> =
        options.iter().flat_map(|option| types(resolved(root, option))).collect();
    let has = |name| types.contains(&name);
    let items = options.iter().map(|option| resolved(root, &option["items"]));
    match () {
        () if items.into_iter().any(|items| items["type"] == "object") => ValueKind::Tables,
        () if has("array") && has("boolean") => ValueKind::BooleanOrList,
        () if has("array") => ValueKind::List,
        () if has("string") || types.is_empty() => ValueKind::Text,
        () => ValueKind::Bare,
    }
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

impl KnownKey {
    /// Returns the segments of the key that these parts of a variable's name are; none if they are
    /// not this key.
    pub(super) fn matched(&self, parts: &[&str]) -> Option<Vec<String>> {
        let (last, before) = self.path.split_last()?;
        if parts.len() < self.path.len() || parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        let (first, rest) = parts.split_at(before.len());
        // Only the name at the end may have two underscores, as that of a header may.
        let rest = rest.join("__");
        let all = first.iter().copied().chain([rest.as_str()]);
        let is_same =
            all.clone().zip(before.iter().chain([last])).all(|(part, segment)| match segment {
                KeySegment::Name(name) => name == part,
                KeySegment::Any => true,
            });
        is_same.then(|| all.map(str::to_owned).collect())
    }

    /// Returns whether the parts begin with the names of this key.
    pub(super) fn is_prefix_of(&self, parts: &[&str]) -> bool {
        self.matched(parts.get(..self.path.len()).unwrap_or_default()).is_some()
    }

    /// Returns the key as part of a variable's name, in lower case, with a name in place of `Any`.
    pub(super) fn variable(&self, any: &str) -> String {
        let segments = self.path.iter().map(|segment| match segment {
            KeySegment::Name(name) => name.as_str(),
            KeySegment::Any => any,
        });
        segments.collect::<Vec<_>>().join("__")
    }

    /// Returns its name without the section.
    pub(super) fn name(&self) -> &str {
        match self.path.last() {
            Some(KeySegment::Name(name)) => name,
            Some(KeySegment::Any) | None => "NAME",
        }
    }

    pub(super) fn section(&self) -> Option<&str> {
        match self.path.as_slice() {
            [KeySegment::Name(section), _, ..] => Some(section),
            _ => None,
        }
    }

    /// Returns the key as it is written in the file.
    pub(super) fn toml(&self) -> String {
        self.variable("NAME").replace("__", ".")
    }

    pub(super) fn has_any(&self) -> bool {
        self.path.contains(&KeySegment::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(variable: &str) -> Option<ValueKind> {
        let parts: Vec<&str> = variable.split("__").collect();
        all().iter().find(|key| key.matched(&parts).is_some()).map(|key| key.kind)
    }

    #[test]
    fn keys_have_the_kinds_of_the_schema() {
        assert_eq!(kind_of("mappings"), Some(ValueKind::Text));
        assert_eq!(kind_of("store__retention"), Some(ValueKind::Text));
        assert_eq!(kind_of("savio__max_in_flight"), Some(ValueKind::Bare));
        assert_eq!(kind_of("destinations__eu__insecure"), Some(ValueKind::Bare));
        assert_eq!(kind_of("traces__headers__x__y"), Some(ValueKind::Text));
        assert_eq!(kind_of("server__trusted_proxies"), Some(ValueKind::List));
        for unknown in ["server", "server__port", "destinations__eu", "destinations____token"] {
            assert_eq!(kind_of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn list_and_tables_are_told_apart() {
        let list = r#"{"type": "array", "items": {"type": "string"}}"#;
        let check = |schema: &str, expected| {
            let schema: Value = serde_json::from_str(schema).unwrap();
            assert_eq!(kind(&schema, &schema), expected, "{schema}");
        };
        check(list, ValueKind::List);
        check(r#"{"type": "array", "items": {"type": "object"}}"#, ValueKind::Tables);
        check(
            &format!(r#"{{"oneOf": [{{"type": "boolean"}}, {list}]}}"#),
            ValueKind::BooleanOrList,
        );
        check(r#"{"type": ["boolean", "array"]}"#, ValueKind::BooleanOrList);
        check(r#"{"enum": ["a", "b"]}"#, ValueKind::Text);
    }
}
