//! Texts of a payload, each with its path as queries and templates write it.

use serde_json::Value;

/// Limits of the search; texts beyond them are not found.
const DEPTH_MAX: usize = 16;
const LEAVES_MAX: usize = 5_000;

/// A text that is not blank.
#[derive(Debug, Clone)]
pub(super) struct Leaf<'v> {
    pub(super) path: ValuePath,
    pub(super) text: &'v str,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ValuePath(Vec<ValueStep>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum ValueStep {
    Key(String),
    Index(usize),
}

/// Returns the texts in the order of the payload.
pub(super) fn leaves(payload: &Value) -> Vec<Leaf<'_>> {
    let mut found = Vec::new();
    collect(payload, &ValuePath::default(), &mut found);
    found
}

fn collect<'v>(value: &'v Value, path: &ValuePath, found: &mut Vec<Leaf<'v>>) {
    if found.len() == LEAVES_MAX || path.0.len() > DEPTH_MAX {
        return;
    }
    match value {
        Value::String(text) if !text.trim().is_empty() => {
            found.push(Leaf { path: path.clone(), text: text.trim() });
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &path.to(ValueStep::Index(index)), found);
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                collect(value, &path.to(ValueStep::Key(key.clone())), found);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl ValuePath {
    fn to(&self, step: ValueStep) -> ValuePath {
        let mut steps = self.0.clone();
        steps.push(step);
        ValuePath(steps)
    }

    pub(super) fn below(&self, key: &str) -> ValuePath {
        self.to(ValueStep::Key(key.to_owned()))
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

    /// Returns the lower-case words of all keys before the last one, and those of the last.
    pub(super) fn words(&self) -> (Vec<String>, Vec<String>) {
        let names = self.0.iter().filter_map(|step| match step {
            ValueStep::Key(name) => Some(name.as_str()),
            ValueStep::Index(_) => None,
        });
        let mut names: Vec<&str> = names.collect();
        let last = names.pop().map(words).unwrap_or_default();
        (names.into_iter().flat_map(words).collect(), last)
    }

    /// Returns the path as a query, the value of a field.
    pub(super) fn query(&self) -> String {
        self.written("$")
    }

    /// Returns the path as an expression, for use in a template between braces.
    pub(super) fn expression(&self) -> String {
        self.written("payload")
    }

    fn written(&self, root: &str) -> String {
        let step = |step: &ValueStep| match step {
            ValueStep::Key(key) if is_plain(key) => format!(".{key}"),
            ValueStep::Key(key) => format!("['{}']", quoted(key)),
            ValueStep::Index(index) => format!("[{index}]"),
        };
        self.0.iter().fold(root.to_owned(), |path, next| path + &step(next))
    }
}

// RFC 9535 allows more letters here than identifiers of templates have, which are ASCII.
fn is_plain(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
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

/// Splits a name such as `personEmail`, `person_email` or `Person email` into lower-case words.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        // After a small letter only, so that `HTML` is one word.
        let begins = c.is_uppercase() && was_small;
        was_small = c.is_lowercase();
        if begins || !c.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
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
    fn name_is_split_into_words() {
        assert_eq!(words("personEmail"), ["person", "email"]);
        assert_eq!(words("Person_e-mail 2"), ["person", "e", "mail", "2"]);
        assert_eq!(words("HTMLBody"), ["htmlbody"]);
    }
}
