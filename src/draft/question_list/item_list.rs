//! Lists of objects in a payload.

use serde_json::Value;

use crate::draft::leaves::ValuePath;
use crate::draft::toml_text::quoted;

/// A list in the payload, or the values of an object.
#[derive(Debug, Clone)]
pub(super) struct ItemList<'v> {
    pub(super) path: ValuePath,
    /// From the path to its items.
    pub(super) step: &'static str,
    pub(super) items: Vec<&'v Value>,
}

impl ItemList<'_> {
    /// Returns the query for its items.
    pub(super) fn each(&self) -> String {
        self.path.path() + self.step
    }
}

/// Writes a key of `[answers]`.
pub(super) fn line(key: &str, value: &str) -> String {
    format!("{key:8} = {}\n", quoted(value))
}
