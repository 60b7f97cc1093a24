//! Literal texts that are probably meant as paths into the payload, by a sample of it.

use serde_json::Value;

use super::query::Query;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::SpannedText;

/// A text of a mapping file that is sent as it is.
#[derive(Debug, Clone)]
pub(crate) struct WrittenLiteral {
    pub(crate) text: SpannedText,
    /// Whether it is the whole value of its field, and no alternative.
    pub(crate) is_whole: bool,
}

impl WrittenLiteral {
    /// Returns a warning if the sample has something at the path that the text would be.
    pub(crate) fn lint(&self, payload: &Value, item: Option<&Value>) -> Option<Diagnostic> {
        let path = LiteralPath::of(self.text.text.trim())?;
        // With `@` first: inside of `for_each` the item is meant more often.
        let mut roots = item.map(|item| ('@', item)).into_iter().chain([('$', payload)]);
        let (root, finds) = roots.find_map(|(root, value)| Some((root, path.meets(value)?)))?;
        if !path.is_deep && (!self.is_whole || !finds) {
            return None;
        }
        let message = format!("`{}` is sent as this text", self.text.text.trim());
        let query = format!("{root}.{}", path.text);
        let help = if finds {
            format!("write \"{query}\" for the value that the payload has there")
        } else {
            format!("write \"{query}\" to look it up in the payload")
        };
        let fix = self.text.written(&query);
        Some(Diagnostic::warning(self.text.place.clone(), message).help(help).maybe_fix(fix))
    }
}

/// A text that has the form of a path.
struct LiteralPath {
    text: String,
    first: String,
    /// Whether it goes into something, and is not the name of a key alone.
    is_deep: bool,
}

impl LiteralPath {
    fn of(text: &str) -> Option<LiteralPath> {
        // `.a.b` of jq, `/a/b` of JSON Pointer, `a.b` of nearly everything else.
        let text = match text.strip_prefix('/') {
            Some(pointer) => pointer.replace('/', "."),
            None => text.strip_prefix('.').unwrap_or(text).to_owned(),
        };
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let first: String = text.chars().take_while(|c| is_name(*c)).collect();
        let begins = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let is_path = |c: char| is_name(c) || ".[]*'\"-".contains(c);
        let is_deep = text.len() > first.len();
        let is_form =
            begins && text.chars().all(is_path) && !text.ends_with('.') && !text.contains("..");
        is_form.then_some(LiteralPath { text, first, is_deep })
    }

    /// Returns whether the path finds something; `None` if not even its first name is there.
    fn meets(&self, value: &Value) -> Option<bool> {
        let first = value.as_object()?.get(&self.first)?;
        if !self.is_deep {
            return Some(matches!(first, Value::String(_) | Value::Number(_)));
        }
        // A text such as `example.com` goes on behind a key with a plain value.
        if !first.is_object() && !first.is_array() {
            return None;
        }
        let query = Query::parse(&format!("$.{}", self.text)).ok()?;
        Some(query.nodes(value, value).is_ok_and(|nodes| !nodes.is_empty()))
    }
}
