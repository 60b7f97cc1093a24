//! What would change with another mapping as JSON, for the API and the command line.

use serde::Serialize;
use utoipa::ToSchema;

use crate::comparison::{ChangeKind, ComparedEvent, FieldChange, MappedEvent};
use crate::store::EventSummary;

/// An event that is not the same under both mappings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventChange)]
pub(crate) struct EventChangeView {
    pub(crate) event: EventSummary,
    #[schema(inline)]
    change: ChangeKind,
    /// Why it is unreadable.
    reason: Option<String>,
    /// What the mapping in service makes of it; null if it is unreadable.
    before: Option<MappedEvent>,
    /// What the proposed mapping makes of it.
    after: Option<MappedEvent>,
    /// The differences, at most 200.
    fields: Vec<FieldChange>,
    /// Number of differences that are not listed.
    more_fields: usize,
}

impl EventChangeView {
    /// Returns none if the event is the same.
    pub(crate) fn of(event: ComparedEvent) -> Option<EventChangeView> {
        let ComparedEvent { line, change } = event;
        let change = *change?;
        let (before, after) = change.mapped.unzip();
        Some(EventChangeView {
            event: line,
            change: change.kind,
            reason: change.reason,
            before,
            after,
            fields: change.fields,
            more_fields: change.more_fields,
        })
    }
}
