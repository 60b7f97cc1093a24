//! Context of the values of one item: the data that they can read, and the templates of their file.

use serde_json::Value;

use super::scope::{ItemScope, Scope};
use super::template::Templates;

pub(crate) struct ItemValues<'a> {
    pub(crate) scope: ItemScope<'a>,
    pub(crate) templates: &'a Templates,
}

impl<'a> ItemValues<'a> {
    /// Makes the context; `item` is the current one of a `for_each`, if there is any.
    pub(crate) fn new(
        scope: &'a Scope<'a>,
        templates: &'a Templates,
        item: Option<&'a Value>,
    ) -> ItemValues<'a> {
        ItemValues { scope: ItemScope::new(scope, item), templates }
    }
}
