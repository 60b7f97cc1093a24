//! JSON as values of minijinja, without a copy of the whole. Null is undefined, so that its members
//! can be looked up, and the order of keys is kept.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde_json::Value as Json;

use super::error::invalid;
use crate::mapping::language::scope::Budget;
use crate::mapping::language::taken::{NodeOrigin, push_index, push_name};

/// Returns JSON as a value; each text that is read is a copy, charged to the budget.
///
/// What is read of it is recorded with its place below `origin`.
pub(super) fn share(json: &Arc<Json>, budget: &Budget, origin: Option<NodeOrigin>) -> Value {
    let root = Arc::new(Root { json: Arc::clone(json), budget: budget.clone(), origin });
    shared(&root, None, json)
}

/// Returns a scalar as a value; `None` for a list or an object.
pub(super) fn plain(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::UNDEFINED),
        Json::Bool(boolean) => Some(Value::from(*boolean)),
        Json::Number(number) => Some(plain_number(number)),
        Json::String(text) => Some(Value::from(text.as_str())),
        Json::Array(_) | Json::Object(_) => None,
    }
}

/// Returns the JSON of a value that is a list or an object of the payload.
pub(super) fn json_of(value: &Value) -> Option<&Json> {
    value.downcast_object_ref::<Node>().map(Node::json)
}

fn plain_number(number: &serde_json::Number) -> Value {
    if let Some(whole) = number.as_i64() {
        return Value::from(whole);
    }
    number.as_u64().map_or_else(|| Value::from(number.as_f64()), Value::from)
}

fn shared(root: &Arc<Root>, path: Option<Arc<Step>>, json: &Json) -> Value {
    if let Json::String(text) = json
        && let Err(failure) = root.budget.read(text.len())
    {
        // A look-up cannot fail: minijinja raises the error where the value is used.
        return Value::from(invalid(failure.0));
    }
    let Some(value) = plain(json) else {
        return Value::from_object(Node { root: Arc::clone(root), path });
    };
    if let Some(origin) = &root.origin {
        origin.read(&path.map(|path| path.written()).unwrap_or_default(), json);
    }
    value
}

/// List or object, by its path from the root.
// Objects of minijinja own their data, so a reference is not possible; with copies, an event of
// 5 MiB of small values took three times the memory of its values.
#[derive(Debug)]
struct Node {
    root: Arc<Root>,
    /// `None` for the root itself.
    path: Option<Arc<Step>>,
}

#[derive(Debug)]
struct Root {
    json: Arc<Json>,
    budget: Budget,
    /// `None` if nothing is recorded.
    origin: Option<NodeOrigin>,
}

/// The last step of a path.
#[derive(Debug)]
struct Step {
    before: Option<Arc<Step>>,
    key: PathKey,
}

#[derive(Debug)]
enum PathKey {
    Name(String),
    At(usize),
}

impl Step {
    // The recursion is as deep as the JSON, which intake bounds.
    fn find<'j>(&self, root: &'j Json) -> Option<&'j Json> {
        let outer = match &self.before {
            Some(before) => before.find(root)?,
            None => root,
        };
        match &self.key {
            PathKey::Name(name) => outer.get(name),
            PathKey::At(at) => outer.get(at),
        }
    }

    /// Returns the normalized path.
    fn written(&self) -> String {
        let mut path = self.before.as_ref().map(|before| before.written()).unwrap_or_default();
        match &self.key {
            PathKey::Name(name) => push_name(&mut path, name),
            PathKey::At(at) => push_index(&mut path, *at),
        }
        path
    }
}

impl Node {
    fn json(&self) -> &Json {
        let found = self.path.as_ref().and_then(|path| path.find(&self.root.json));
        found.unwrap_or(&self.root.json)
    }

    fn inside(&self, key: PathKey, json: &Json) -> Value {
        let path = Step { before: self.path.clone(), key };
        shared(&self.root, Some(Arc::new(path)), json)
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.json().is_array() { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if let Json::Array(items) = self.json() {
            let at = key.as_usize()?;
            return Some(self.inside(PathKey::At(at), items.get(at)?));
        }
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let Json::Object(members) = self.json() else { return None };
        Some(self.inside(PathKey::Name(key.to_owned()), members.get(key)?))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.json() {
            Json::Array(items) => Enumerator::Seq(items.len()),
            Json::Object(members) => {
                let keys: Vec<Value> =
                    members.keys().map(|key| Value::from(key.as_str())).collect();
                Enumerator::Iter(Box::new(keys.into_iter()))
            }
            _ => Enumerator::NonEnumerable,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match self.json() {
            Json::Array(items) => Some(items.len()),
            Json::Object(members) => Some(members.len()),
            _ => None,
        }
    }
}
