//! Texts as a mapping file writes them.

use serde_json::Value;

use crate::diagnostics::visible_json;

/// Quotes a text in a way that is both TOML and JSON.
// Without control characters, since a draft is often read on a terminal first.
pub(super) fn quoted(text: &str) -> String {
    // In a mapping file, a replacement character counts as damage. In a payload, it stands for half
    // of a surrogate pair.
    visible_json(&Value::from(text).to_string()).replace(char::REPLACEMENT_CHARACTER, "\\ufffd")
}
