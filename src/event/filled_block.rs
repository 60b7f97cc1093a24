//! What a block of a mapping file made of an event: which of its fields it filled.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Fields of a block: a bit for each, in the order of its kind's fields.
// The bits are stored with each event, so a release may add fields behind the others only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldSet(u16);

impl FieldSet {
    /// Number of fields that a kind can have.
    pub const FIELDS_MAX: usize = 16;

    /// Returns the set with the field at this position.
    pub fn of(position: usize) -> FieldSet {
        debug_assert!(position < FieldSet::FIELDS_MAX, "{position}");
        FieldSet(1 << (position % FieldSet::FIELDS_MAX))
    }

    #[must_use]
    pub fn with(self, other: FieldSet) -> FieldSet {
        FieldSet(self.0 | other.0)
    }

    #[must_use]
    pub fn without(self, other: FieldSet) -> FieldSet {
        FieldSet(self.0 & !other.0)
    }

    pub fn has(self, position: usize) -> bool {
        self.0 & FieldSet::of(position).0 != 0
    }
}

/// A block that ran for an event. A field of the file that is in neither set is not known: another
/// one was missing, without which there is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilledBlock {
    /// See `BlockName::id`.
    pub block: Arc<str>,
    /// Those that at least one request of the block had.
    pub filled: FieldSet,
    pub missing: FieldSet,
}

impl FilledBlock {
    /// Adds a further request of the block.
    pub fn add(&mut self, filled: FieldSet, missing: FieldSet) {
        self.filled = self.filled.with(filled);
        self.missing = self.missing.with(missing).without(self.filled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_that_one_request_has_is_filled() {
        let [first, second] = [0, 9].map(FieldSet::of);
        let mut block = FilledBlock { block: "feedback[0]".into(), filled: first, missing: second };

        block.add(second, first);

        assert_eq!((block.filled, block.missing), (first.with(second), FieldSet::default()));
        assert!(block.filled.has(9) && !block.filled.has(1));
    }
}
