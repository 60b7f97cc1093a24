//! Weight of a value: the fuel that a walk through the whole value costs.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, State, Value};
use serde_json::Value as Json;

use super::error::invalid;
use super::json_value::json_of;
use crate::mapping::language::form_answers::FormAnswers;

/// Filters that `guard.rs` inserts.
pub(super) const WEIGHED: &str = "_weighed";
pub(super) const PRINTED: &str = "_printed";
pub(super) const ADDED: &str = "_added";
pub(super) const MULTIPLIED: &str = "_multiplied";
pub(super) const KEY: &str = "_key";
pub(super) const KEPT: &str = "_kept";
pub(super) const BEYOND: &str = "_beyond";

/// Levels of nested values: more than any payload has, and fewer than fill a stack.
const DEPTH_MAX: usize = 160;
/// Levels of nested lists in a namespace.
const KEPT_DEPTH_MAX: usize = 8;

/// Values that are compared or copied in about the time of one unit of fuel.
const NODES_PER_FUEL: usize = 8;
/// Bytes of text for a unit of fuel, as in minijinja.
const BYTES_PER_FUEL: usize = 64;
/// Bytes of a printed value for a unit of fuel.
// Escapes make a text up to six times as long, and it is in memory together with its parts.
const PRINTED_BYTES_PER_FUEL: usize = 16;
/// Upper bound of a float's length when its digits are written out instead of an exponent.
const FLOAT_BYTES: usize = 330;

pub(super) fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter(WEIGHED, |state: &State, value: &Value| {
        if is_loop_or_macro(value) {
            return Err(invalid("`loop` and macros cannot be put into a list or an argument"));
        }
        weigh(state, value)?;
        listed(value)
    });
    environment.add_filter(PRINTED, |state: &State, value: &Value| {
        weigh_printed(state, value, 0).map(|()| value.clone())
    });
    environment.add_filter(ADDED, |state: &State, value: &Value| {
        weigh(state, value)?;
        listed(value)
    });
    environment.add_filter(MULTIPLIED, |value: &Value| plain(value, "be multiplied"));
    environment.add_filter(KEY, |value: &Value| plain(value, "be a key"));
    environment.add_filter(BEYOND, |value: &Value| {
        if is_there(value) { value.clone() } else { Value::from_object(Beyond) }
    });
    environment.add_filter(KEPT, |state: &State, value: &Value| {
        weigh(state, value)?;
        kept(value, KEPT_DEPTH_MAX)
    });
}

/// Value that is ordered after every number, text, list and object.
// minijinja orders values by their kinds first, and plain objects last.
#[derive(Debug)]
struct Beyond;

impl Object for Beyond {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// Returns whether the value is neither undefined nor none.
pub(super) fn is_there(value: &Value) -> bool {
    !value.is_undefined() && !value.is_none()
}

/// Returns the value, unless it contains others.
fn plain(value: &Value, what: &str) -> Result<Value, Error> {
    if is_container(value) {
        return Err(invalid(format!("a list or an object cannot {what} in a template")));
    }
    Ok(value.clone())
}

/// Returns whether the value is `loop` or a macro.
fn is_loop_or_macro(value: &Value) -> bool {
    // Both refer to the variables of the template: in one of these they would form a cycle that is
    // never dropped. minijinja does not export the types, only their names.
    let name = value.as_object().map_or("", |object| object.type_name());
    name.ends_with("::Loop") || name.ends_with("::Macro")
}

/// Charges for comparing or copying the value and all values in it.
pub(super) fn weigh(state: &State, value: &Value) -> Result<(), Error> {
    Scales::new(state, BYTES_PER_FUEL, 0).put(value)
}

/// Charges for the value as text, with each level indented by so many spaces.
pub(super) fn weigh_printed(state: &State, value: &Value, indent: usize) -> Result<(), Error> {
    Scales::new(state, PRINTED_BYTES_PER_FUEL, indent).put(value)
}

/// Charges for each value as text.
pub(super) fn weigh_all_printed(state: &State, values: &[Value]) -> Result<(), Error> {
    values.iter().try_for_each(|value| weigh_printed(state, value, 0))
}

pub(super) fn weigh_all(state: &State, values: &[Value]) -> Result<(), Error> {
    values.iter().try_for_each(|value| weigh(state, value))
}

pub(super) fn is_container(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable)
}

/// Evaluates a lazy list.
pub(super) fn listed(value: &Value) -> Result<Value, Error> {
    // minijinja adds and slices lists lazily, each by a call that reads the one inside of it: a loop
    // could nest them deeper than the stack.
    if value.kind() != ValueKind::Iterable {
        return Ok(value.clone());
    }
    let items: Result<Vec<Value>, Error> = value.try_iter()?.checked().collect();
    items.map(Value::from)
}

struct Scales<'s, 'e, 't> {
    state: &'s State<'e, 't>,
    bytes_per_fuel: usize,
    indent: usize,
    depth: usize,
    /// Nodes and bytes that are not paid for yet.
    nodes: usize,
    bytes: usize,
}

impl<'s, 'e, 't> Scales<'s, 'e, 't> {
    fn new(state: &'s State<'e, 't>, bytes_per_fuel: usize, indent: usize) -> Scales<'s, 'e, 't> {
        Scales { state, bytes_per_fuel, indent, depth: 0, nodes: 0, bytes: 0 }
    }

    fn put(mut self, value: &Value) -> Result<(), Error> {
        // minijinja charges for a text by itself.
        if value.as_str().is_some() || value.is_number() || value.is_undefined() {
            return Ok(());
        }
        self.add(value)?;
        self.charge(self.nodes.div_ceil(NODES_PER_FUEL) + self.bytes / self.bytes_per_fuel)
    }

    fn charge(&self, fuel: usize) -> Result<(), Error> {
        self.state.consume_fuel(fuel as u64)
    }

    fn add(&mut self, value: &Value) -> Result<(), Error> {
        if let Some(json) = json_of(value) {
            return self.add_json(json);
        }
        self.nodes += 1;
        self.bytes = self.bytes.saturating_add(self.depth.saturating_mul(self.indent));
        match value.kind() {
            ValueKind::String | ValueKind::Bytes => self.bytes += text_length(value),
            ValueKind::Number if !value.is_integer() => self.bytes += FLOAT_BYTES,
            ValueKind::Seq | ValueKind::Iterable => self.add_items(value)?,
            ValueKind::Map => self.add_entries(value)?,
            _ => {}
        }
        self.settle()
    }

    /// Charges for whole units of what is not paid for yet.
    fn settle(&mut self) -> Result<(), Error> {
        // During the walk, so that the walk itself ends when the fuel does.
        if self.nodes >= NODES_PER_FUEL || self.bytes >= self.bytes_per_fuel {
            self.charge(self.nodes / NODES_PER_FUEL + self.bytes / self.bytes_per_fuel)?;
            self.nodes %= NODES_PER_FUEL;
            self.bytes %= self.bytes_per_fuel;
        }
        Ok(())
    }

    // Without a check of the depth, which intake bounds.
    fn add_json(&mut self, json: &Json) -> Result<(), Error> {
        self.nodes += 1;
        self.bytes = self.bytes.saturating_add(self.depth.saturating_mul(self.indent));
        self.depth += 1;
        match json {
            Json::String(text) => self.bytes += text.len(),
            Json::Number(number) if number.is_f64() => self.bytes += FLOAT_BYTES,
            Json::Array(items) => items.iter().try_for_each(|item| self.add_json(item))?,
            Json::Object(members) => {
                for (name, member) in members {
                    self.bytes += name.len();
                    self.add_json(member)?;
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
        self.depth -= 1;
        self.settle()
    }

    fn add_items(&mut self, value: &Value) -> Result<(), Error> {
        if let Some(collected) = value.downcast_object_ref::<FormAnswers>() {
            self.bytes += collected.printed_bytes();
            return Ok(());
        }
        self.nested(|scales| value.try_iter()?.checked().try_for_each(|item| scales.add(&item?)))
    }

    fn add_entries(&mut self, value: &Value) -> Result<(), Error> {
        self.nested(|scales| {
            for key in value.try_iter()?.checked() {
                let key = key?;
                scales.bytes += text_length(&key);
                scales.add(&value.get_item(&key)?)?;
            }
            Ok(())
        })
    }

    fn nested(&mut self, add: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if self.depth == DEPTH_MAX {
            return Err(invalid("lists in lists go too deep here"));
        }
        self.depth += 1;
        let added = add(self);
        self.depth -= 1;
        added
    }
}

fn text_length(value: &Value) -> usize {
    value.as_str().map_or_else(|| value.as_bytes().map_or(0, <[u8]>::len), str::len)
}

/// Returns a value for a namespace, if it cannot contain the namespace itself.
// Otherwise it would never be dropped, and printing it would never end.
fn kept(value: &Value, depth: usize) -> Result<Value, Error> {
    if depth == 0 {
        return Err(invalid("lists in lists go too deep for a namespace"));
    }
    if json_of(value).is_some() {
        return Ok(value.clone());
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.checked().map(|item| kept(&item?, depth - 1));
            items.collect::<Result<Vec<Value>, Error>>().map(Value::from)
        }
        ValueKind::Map => {
            // The type of minijinja's map literals; namespaces and other objects have their own.
            if value.downcast_object_ref::<BTreeMap<Value, Value>>().is_none() {
                return Err(invalid("a namespace keeps no namespace, no macro and no `loop`"));
            }
            let mut entries = Vec::new();
            for key in value.try_iter()?.checked() {
                let key = key?;
                let entry = kept(&value.get_item(&key)?, depth - 1)?;
                entries.push((key, entry));
            }
            Ok(Value::from_pairs(entries))
        }
        ValueKind::Plain => Err(invalid("a namespace keeps no function")),
        _ => Ok(value.clone()),
    }
}
