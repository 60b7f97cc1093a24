//! Values of a payload, each with its path as queries and templates write it.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::Value;

use super::surroundings::Surroundings;
use super::words::{are_distinct, has, words};

/// Limits of the search; values beyond them are not found.
const DEPTH_MAX: usize = 16;
const LEAVES_MAX: usize = 5_000;

/// Keys by which the items of a list are told apart, such as `{"name": "email", "value": ...}`.
const NAMING: [&str; 6] = ["name", "key", "label", "field", "title", "type"];
/// Keys of the value of such an item.
const NAMED: [&str; 4] = ["value", "values", "answer", "content"];

/// A text that is not blank, or a number.
#[derive(Debug, Clone)]
pub(super) struct Leaf<'v> {
    pub(super) path: ValuePath,
    /// Those of its path.
    pub(super) names: Vec<Vec<String>>,
    pub(super) text: Cow<'v, str>,
    /// What the object says that has it; `None` for the items of a list.
    pub(super) around: Option<Rc<Surroundings<'v>>>,
}

impl Leaf<'_> {
    /// Returns whether a name of its path has one of these words.
    pub(super) fn mentions(&self, known: &str) -> bool {
        self.names.iter().any(|name| has(name, known))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ValuePath(Vec<ValueStep>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum ValueStep {
    // Shared: a key may be long, and have many values below it.
    Key(Rc<str>),
    Index(usize),
    /// The item of a list in which `key` is `name`: its position may differ in the next payload.
    Named {
        key: &'static str,
        name: Rc<str>,
    },
}

/// Returns the texts and numbers in the order of the payload.
pub(super) fn leaves(payload: &Value) -> Vec<Leaf<'_>> {
    let mut found = Vec::new();
    collect(payload, &ValuePath::default(), None, &mut found);
    found
}

fn collect<'v>(
    value: &'v Value,
    path: &ValuePath,
    around: Option<&Rc<Surroundings<'v>>>,
    found: &mut Vec<Leaf<'v>>,
) {
    if found.len() == LEAVES_MAX || path.0.len() > DEPTH_MAX {
        return;
    }
    let mut leaf = |text| {
        found.push(Leaf { path: path.clone(), names: path.names(), text, around: around.cloned() });
    };
    match value {
        Value::String(text) if !text.trim().is_empty() => leaf(Cow::Borrowed(text.trim())),
        Value::Number(number) => leaf(Cow::Owned(number.to_string())),
        Value::Array(items) => {
            let naming = naming_key(items);
            for (index, item) in items.iter().enumerate() {
                let step = naming
                    .and_then(|key| {
                        Some(ValueStep::Named { key, name: item[key].as_str()?.into() })
                    })
                    .unwrap_or(ValueStep::Index(index));
                collect(item, &path.to(step), None, found);
            }
        }
        Value::Object(entries) => {
            let around = Rc::new(Surroundings::of(entries));
            for (key, value) in entries {
                collect(value, &path.below(key), Some(&around), found);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) => {}
    }
}

/// Returns the key by which all items of a list are told apart, if they have values beside it.
fn naming_key(items: &[Value]) -> Option<&'static str> {
    let has_value = |item: &Value| NAMED.iter().any(|key| item.get(*key).is_some());
    if !items.iter().all(has_value) {
        return None;
    }
    NAMING.into_iter().find(|key| {
        let names: Vec<&str> = items.iter().filter_map(|item| item[*key].as_str()).collect();
        names.len() == items.len()
            && names.iter().all(|name| is_safe_name(name))
            && are_distinct(&names)
    })
}

/// Returns whether a name needs no escapes, neither in a query nor in the template around it.
fn is_safe_name(name: &str) -> bool {
    let is_safe = |c: char| c.is_alphanumeric() || " _-.?:!,()/".contains(c);
    !name.trim().is_empty() && name.len() <= 80 && name.chars().all(is_safe)
}

impl ValuePath {
    fn to(&self, step: ValueStep) -> ValuePath {
        let mut steps = self.0.clone();
        steps.push(step);
        ValuePath(steps)
    }

    pub(super) fn below(&self, key: &str) -> ValuePath {
        self.to(ValueStep::Key(key.into()))
    }

    pub(super) fn parent(&self) -> ValuePath {
        ValuePath(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    pub(super) fn starts_with(&self, other: &ValuePath) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Returns whether a part of it is an item of a list.
    pub(super) fn has_items(&self) -> bool {
        self.0.iter().any(|step| !matches!(step, ValueStep::Key(_)))
    }

    pub(super) fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(ValueStep::Key(key)) => Some(key),
            Some(ValueStep::Index(_) | ValueStep::Named { .. }) | None => None,
        }
    }

    /// Returns the words of each name in the path, the nearest one first. The name of an item takes
    /// the place of the key of its value.
    pub(super) fn names(&self) -> Vec<Vec<String>> {
        let mut names: Vec<Vec<String>> = Vec::new();
        let mut is_named = false;
        for step in &self.0 {
            match step {
                // `[?@.name == 'email'].value` is an e-mail, not a value.
                ValueStep::Key(key) if is_named && NAMED.contains(&&**key) => {}
                ValueStep::Key(key) => names.push(words(key)),
                ValueStep::Named { name, .. } => names.push(words(name)),
                ValueStep::Index(_) => {}
            }
            is_named = matches!(step, ValueStep::Named { .. });
        }
        names.reverse();
        names
    }

    /// Returns the path as the value of a field.
    pub(super) fn query(&self) -> String {
        if self.is_filtered() { format!("{{{{ {} }}}}", self.expression()) } else { self.path() }
    }

    /// Returns the path as RFC 9535 writes it.
    pub(super) fn path(&self) -> String {
        self.written("$")
    }

    /// Returns the path as an expression, for use in a template between braces.
    pub(super) fn expression(&self) -> String {
        if self.is_filtered() {
            format!("jsonpath(\"{}\") | first", self.path())
        } else {
            self.written("payload")
        }
    }

    fn is_filtered(&self) -> bool {
        // Keys with quotes cannot be written within the quotes of `jsonpath`; there is none beside a filter.
        self.0.iter().any(|step| matches!(step, ValueStep::Named { .. }))
    }

    fn written(&self, root: &str) -> String {
        self.0.iter().fold(root.to_owned(), |path, next| path + &step(next))
    }
}

fn step(step: &ValueStep) -> String {
    match step {
        ValueStep::Key(key) => member(key),
        ValueStep::Index(index) => format!("[{index}]"),
        ValueStep::Named { key, name } => format!("[?@.{key} == '{name}']"),
    }
}

/// Returns the step to a member of an object.
// RFC 9535 allows more letters after a full stop than identifiers of templates have, which are
// ASCII.
pub(super) fn member(key: &str) -> String {
    let is_plain = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain { format!(".{key}") } else { format!("['{}']", quoted(key)) }
}

/// Escapes a text for use between single quotes, in a query or a template.
// Queries accept no unescaped control characters (RFC 9535, section 2.3.1.1), nor do templates.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' => quoted.extend(['\\', c]),
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            c if c.is_ascii_control() => quoted += &format!("\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(payload: &Value, query: &str, expression: &str) {
        let found = leaves(payload);
        let leaf = found.iter().find(|leaf| leaf.text == "here").expect("it is there");
        assert_eq!((&*leaf.path.query(), &*leaf.path.expression()), (query, expression));
    }

    #[test]
    fn path_is_written_as_a_query_and_an_expression() {
        check(&json!({"a": {"b": "here"}}), "$.a.b", "payload.a.b");
        check(&json!({"a b": ["x", "here"]}), "$['a b'][1]", "payload['a b'][1]");
        check(&json!({"it's": "here"}), "$['it\\'s']", "payload['it\\'s']");
    }

    #[test]
    fn item_with_a_name_is_found_by_its_name() {
        let attributes =
            json!([{"name": "plan", "value": "x"}, {"name": "email", "value": "here"}]);
        let expression = "jsonpath(\"$.a[?@.name == 'email'].value\") | first";

        check(&json!({"a": attributes}), &format!("{{{{ {expression} }}}}"), expression);
        let twice = json!([{"name": "a", "value": "x"}, {"name": "a", "value": "here"}]);
        check(&json!({"a": twice}), "$.a[1].value", "payload.a[1].value");
    }

    #[test]
    fn name_of_an_item_takes_the_place_of_its_key() {
        let payload = json!({"custom_attributes": [{"name": "workEmail", "value": "here"}]});

        let names = leaves(&payload)[1].names.clone();

        assert_eq!(names, [vec!["work", "email"], vec!["custom", "attributes"]]);
    }
}
