//! What would change for one event.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::field_changes::{self, FieldChange};
use super::mapped::{MappedEvent, MappingResult};
use crate::event::{Event, Request};
use crate::mapping::Mapping;

/// What would change for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Same,
    Changed,
    NewlyIgnored,
    NewlyDead,
    NewlyMade,
    Unreadable,
}

impl ChangeKind {
    fn between(before: &MappedEvent, after: &MappedEvent) -> ChangeKind {
        use MappingResult::{Dead, Ignored, Requests};
        let is_same = match (before.result, after.result) {
            (Requests, Requests) => field_changes::are_equal(before, after),
            (Ignored, Ignored) => true,
            (Dead, Dead) => before.reason == after.reason,
            (Requests | Dead, Ignored) => return ChangeKind::NewlyIgnored,
            (Requests | Ignored, Dead) => return ChangeKind::NewlyDead,
            (Ignored | Dead, Requests) => return ChangeKind::NewlyMade,
        };
        if is_same { ChangeKind::Same } else { ChangeKind::Changed }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Same => "same",
            ChangeKind::Changed => "changed",
            ChangeKind::NewlyIgnored => "newly ignored",
            ChangeKind::NewlyDead => "newly dead",
            ChangeKind::NewlyMade => "newly made",
            ChangeKind::Unreadable => "unreadable",
        }
    }
}

/// What would change for an event that is not the same under both mappings.
#[derive(Debug, Clone, PartialEq)]
pub struct EventChange {
    pub kind: ChangeKind,
    /// Why it is unreadable.
    pub reason: Option<String>,
    /// What the mapping in service makes of it, and what the proposed one would; none if it is
    /// unreadable.
    pub mapped: Option<(MappedEvent, MappedEvent)>,
    pub fields: Vec<FieldChange>,
    /// Number of differences that are not in `fields`.
    pub more_fields: usize,
}

impl EventChange {
    /// Compares what two mappings make of an event; none if it is the same.
    pub(super) fn between((old, new): (&Mapping, &Mapping), event: &Event) -> Option<EventChange> {
        let payload: Arc<Value> = match serde_json::from_str(&event.payload) {
            Ok(payload) => Arc::new(payload),
            Err(error) => {
                return Some(EventChange::unreadable(format!("the payload is not JSON: {error}")));
            }
        };
        let mut before = MappedEvent::of(old, event, &payload);
        let mut after = MappedEvent::of(new, event, &payload);
        let kind = ChangeKind::between(&before, &after);
        if kind == ChangeKind::Same {
            return None;
        }
        before.explain(old, event, &payload);
        after.explain(new, event, &payload);
        let (fields, more_fields) = field_changes::between(&before, &after);
        Some(EventChange { kind, reason: None, mapped: Some((before, after)), fields, more_fields })
    }

    pub(super) fn unreadable(reason: String) -> EventChange {
        EventChange {
            kind: ChangeKind::Unreadable,
            reason: Some(reason),
            mapped: None,
            fields: Vec::new(),
            more_fields: 0,
        }
    }

    /// Returns roughly how many bytes of memory its values take.
    pub fn bytes(&self) -> usize {
        let requests = self.mapped.iter().flat_map(|(before, after)| {
            before.requests.iter().chain(&after.requests).map(Request::bytes)
        });
        // The differences repeat values of the requests.
        2 * requests.sum::<usize>() + self.fields.len() * size_of::<FieldChange>()
    }
}

#[cfg(test)]
mod tests;
