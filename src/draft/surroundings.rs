//! What the entries of an object say of each of its values. Found once for each object: if each value looked at all others,
//! a draft would take time with the square of their number.

use serde_json::{Map, Value};

use super::vocabulary::{CONTENTS, CUSTOMERS, STAFF, TITLES};
use super::words::{has, words};

#[derive(Debug, Default)]
pub(super) struct Surroundings<'v> {
    /// Texts that are titles.
    pub(super) titles: Keys<'v>,
    /// Texts that may be answered, as a company answers a review.
    pub(super) bodies: Keys<'v>,
    /// Answers to questions.
    pub(super) answers: Keys<'v>,
    /// Whether a key such as `is_host` or `role` says that it is one of one's own people.
    pub(super) is_staff: bool,
    /// The same of a customer.
    pub(super) is_customer: bool,
    /// Whether an object that holds what a person sent is among the values.
    pub(super) has_content: bool,
}

/// Keys of one kind in an object.
// The first and whether there are more: enough to tell whether one of them is another than a given one.
#[derive(Debug, Default)]
pub(super) struct Keys<'v> {
    first: Option<&'v str>,
    are_several: bool,
}

impl<'v> Keys<'v> {
    fn add(&mut self, key: &'v str) {
        self.are_several = self.first.is_some();
        self.first.get_or_insert(key);
    }

    /// Returns whether there is one beside this key.
    pub(super) fn are_beside(&self, key: Option<&str>) -> bool {
        self.are_several || self.first.is_some() && self.first != key
    }
}

impl<'v> Surroundings<'v> {
    pub(super) fn of(object: &'v Map<String, Value>) -> Surroundings<'v> {
        let mut found = Surroundings::default();
        for (key, value) in object {
            found.add(key, value);
        }
        found
    }

    fn add(&mut self, key: &'v str, value: &Value) {
        let name = words(key);
        if value.as_str().is_some_and(|text| !text.trim().is_empty()) {
            if has(&name, TITLES) {
                self.titles.add(key);
            }
            if has(&name, "body content text description review") {
                self.bodies.add(key);
            }
        }
        if !has_parts(value) && (has(&name, "answer value") || key == "response") {
            self.answers.add(key);
        }
        let role = match value {
            Value::Bool(true) => name.clone(),
            Value::String(role) if has(&name, "role type kind") => words(role),
            _ => Vec::new(),
        };
        self.is_staff |= has(&role, STAFF);
        self.is_customer |= has(&role, CUSTOMERS);
        self.has_content |= value.is_object() && has(&name, CONTENTS);
    }
}

/// Returns whether a value is an object, or a list of objects.
pub(super) fn has_parts(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().any(Value::is_object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
