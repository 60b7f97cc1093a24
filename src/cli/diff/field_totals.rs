//! What changes in how many events, field by field: the answer to "what did this change do?" in a few
//! lines.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::cli::output::line;
use crate::comparison::{ChangeKind, EventChange, FieldChange};
use crate::diagnostics::counted;

/// Number of fields that are shown.
const FIELDS_MAX: usize = 20;
/// Number of fields that are counted. A mapping has fewer; the names of attributes come from payloads.
const COUNTED_MAX: usize = 1_000;

/// Numbers of events in which a field is gone, new, or has another value.
#[derive(Debug, Default)]
pub(super) struct FieldTotals(BTreeMap<String, [u64; 3]>);

impl FieldTotals {
    pub(super) fn add(&mut self, change: &EventChange) {
        if change.kind != ChangeKind::Changed {
            return;
        }
        for field in &change.fields {
            let name = field_name(field);
            if self.0.len() < COUNTED_MAX || self.0.contains_key(&name) {
                self.0.entry(name).or_default()[what(field)] += 1;
            }
        }
    }

    /// Formats a line for each field, most events first.
    pub(super) fn text(&self) -> String {
        let mut fields: Vec<_> = self.0.iter().collect();
        fields.sort_by_key(|(_, counts)| Reverse(counts.iter().sum::<u64>()));
        let row = |(name, counts): &(&String, &[u64; 3])| {
            let counts = counts.iter().zip(["gone", "new", "other"]);
            let counts = counts.filter(|(count, _)| **count > 0);
            let counts: Vec<_> = counts.map(|(count, what)| format!("{what} in {count}")).collect();
            format!("  {name}: {}\n", counts.join(", "))
        };
        let mut text: String = fields.iter().take(FIELDS_MAX).map(row).collect();
        if let Some(more) = fields.len().checked_sub(FIELDS_MAX).filter(|more| *more > 0) {
            text += &format!("  and {}\n", counted(more as u64, "more field"));
        }
        text
    }
}

/// Names a field with its request, or a request as a whole.
pub(super) fn field_name(change: &FieldChange) -> String {
    match &change.field {
        Some(field) => format!("{}.{}", change.request, line(field)),
        None => change.request.clone(),
    }
}

fn what(change: &FieldChange) -> usize {
    match (&change.was, &change.now) {
        (_, Value::Null) => 0,
        (Value::Null, _) => 1,
        (_, _) => 2,
    }
}
