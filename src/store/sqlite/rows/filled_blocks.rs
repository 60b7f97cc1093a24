//! The column `made_by` of a plan: the blocks that ran, and the fields that each filled.

use serde_json::Value;

use super::columns::JsonColumn;
use crate::event::{FieldSet, FilledBlock};

/// A block, the fields that it filled, and those that it missed.
type StoredBlock<Text> = (Text, FieldSet, FieldSet);

/// Returns null if no block ran, or the event says nothing about its sender.
pub(crate) fn column(blocks: &[FilledBlock]) -> Option<JsonColumn<Vec<StoredBlock<&str>>>> {
    let entries = blocks.iter().map(|block| (&*block.block, block.filled, block.missing));
    (!blocks.is_empty()).then(|| JsonColumn(entries.collect()))
}

/// Reads the column; what another program wrote in another way says nothing.
pub(crate) fn read(JsonColumn(column): JsonColumn<Value>) -> Vec<FilledBlock> {
    let entries: Vec<StoredBlock<String>> = serde_json::from_value(column).unwrap_or_default();
    let block = |(block, filled, missing): StoredBlock<String>| FilledBlock {
        block: block.into(),
        filled,
        missing,
    };
    entries.into_iter().map(block).collect()
}
