//! The texts of a payload, each with the way to it, as queries and templates write it.

use serde_json::Value;

/// Where nothing is looked for any more.
const DEPTH_MAX: usize = 16;
const LEAVES_MAX: usize = 5_000;

/// One text.
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
    /// All items of this type, where the place in the list says nothing.
    OfType(String),
}

/// In the order of the payload.
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
                collect(item, &path.to(ValueStep::at(index, item)), found);
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

impl ValueStep {
    fn at(index: usize, item: &Value) -> ValueStep {
        match item.get("type").and_then(Value::as_str) {
            Some(kind) if kind.to_ascii_lowercase().contains("email") => {
                ValueStep::OfType(kind.to_owned())
            }
            Some(_) | None => ValueStep::Index(index),
        }
    }
}

impl ValuePath {
    fn to(&self, step: ValueStep) -> ValuePath {
        let mut steps = self.0.clone();
        steps.push(step);
        ValuePath(steps)
    }

    pub(super) fn sibling(&self, key: &str) -> ValuePath {
        self.parent().to(ValueStep::Key(key.to_owned()))
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

    /// Lower-case words of its names, the last name's apart from those before it.
    pub(super) fn words(&self) -> (Vec<String>, Vec<String>) {
        let names = self.0.iter().filter_map(|step| match step {
            ValueStep::Key(name) => Some(name.as_str()),
            ValueStep::Index(_) | ValueStep::OfType(_) => None,
        });
        let mut names: Vec<&str> = names.collect();
        let last = names.pop().map(words).unwrap_or_default();
        (names.into_iter().flat_map(words).collect(), last)
    }

    /// As a query.
    pub(super) fn query(&self) -> String {
        let mut query = "$".to_owned();
        for step in &self.0 {
            match step {
                ValueStep::Key(key) if is_plain(key) => query += &format!(".{key}"),
                ValueStep::Key(key) => query += &format!("['{}']", quoted(key)),
                ValueStep::Index(index) => query += &format!("[{index}]"),
                ValueStep::OfType(kind) => query += &format!("[?@.type == '{}']", quoted(kind)),
            }
        }
        query
    }

    /// As the value of a field: the first, where the query may give several.
    pub(super) fn value(&self) -> String {
        if self.0.iter().any(|step| matches!(step, ValueStep::OfType(_))) {
            return format!("{{{{ {} }}}}", self.expression());
        }
        self.query()
    }

    /// As what stands in a template between braces.
    pub(super) fn expression(&self) -> String {
        if self.0.iter().any(|step| matches!(step, ValueStep::OfType(_))) {
            let query = self.query().replace('\\', "\\\\").replace('"', "\\\"");
            return format!("jsonpath(\"{query}\") | first");
        }
        let mut expression = "payload".to_owned();
        for step in &self.0 {
            match step {
                ValueStep::Key(key) if is_plain(key) => expression += &format!(".{key}"),
                ValueStep::Key(key) => expression += &format!("['{}']", quoted(key)),
                ValueStep::Index(index) => expression += &format!("[{index}]"),
                ValueStep::OfType(_) => {}
            }
        }
        expression
    }
}

fn is_plain(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// For a text between single quotes, in a query or a template: neither takes control characters as they are.
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

/// `personEmail`, `person_email` and `Person e-mail` alike.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
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
    fn check(payload: &Value, query: &str, value: &str) {
        let found = leaves(payload);
        let leaf = found.iter().find(|leaf| leaf.text == "here").expect("it is there");
        assert_eq!((&*leaf.path.query(), &*leaf.path.value()), (query, value));
    }

    #[test]
    fn a_path_is_written_as_a_query() {
        check(&json!({"a": {"b": "here"}}), "$.a.b", "$.a.b");
        check(&json!({"a b": ["x", "here"]}), "$['a b'][1]", "$['a b'][1]");
        check(&json!({"it's": "here"}), "$['it\\'s']", "$['it\\'s']");
    }

    #[test]
    fn an_item_is_told_by_its_type_where_that_is_an_address() {
        check(
            &json!({"a": [{"type": "text"}, {"type": "email", "email": "here"}]}),
            "$.a[?@.type == 'email'].email",
            "{{ jsonpath(\"$.a[?@.type == 'email'].email\") | first }}",
        );
    }

    #[test]
    fn names_fall_into_words() {
        assert_eq!(words("personEmail"), ["person", "email"]);
        assert_eq!(words("Person_e-mail 2"), ["person", "e", "mail", "2"]);
        assert_eq!(words("HTMLBody"), ["htmlbody"]);
    }
}
