//! What one mapping makes of one event.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::diagnostics::line_index::LineIndex;
use crate::event::{Event, Request};
use crate::mapping::{FeatureRequestLink, MappedRequests, Mapping};

/// Number of reasons that are told of an event without requests.
const REASONS_MAX: usize = 10;

/// What a mapping makes of an event.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MappedEvent {
    #[schema(inline)]
    pub result: MappingResult,
    /// In the order in which they are sent. Titles of feature requests are as written.
    pub requests: Vec<Request>,
    /// Why there are no requests.
    pub reason: Option<String>,
    /// Fields that were left out, and why.
    pub notes: Vec<String>,
    #[serde(skip)]
    pub(super) links: Vec<FeatureRequestLink>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MappingResult {
    Requests,
    Ignored,
    Dead,
}

impl MappedEvent {
    pub(super) fn of(mapping: &Mapping, event: &Event, payload: &Arc<Value>) -> MappedEvent {
        // As in delivery, where such an event is dead: it must not end the comparison of all others.
        // Unwind-safe, since a mapping is immutable, and all that changes is dropped.
        let mapped = catch_unwind(AssertUnwindSafe(|| mapping.apply(event, payload)));
        match mapped {
            Ok(Ok(MappedRequests { requests, notes, links, .. })) => {
                let result = if requests.is_empty() {
                    MappingResult::Ignored
                } else {
                    MappingResult::Requests
                };
                MappedEvent { result, requests, reason: None, notes, links }
            }
            Ok(Err(unmappable)) => MappedEvent::dead(unmappable.to_string()),
            Err(_) => {
                MappedEvent::dead("the mapping failed on it: this is a bug of the relay".to_owned())
            }
        }
    }

    fn dead(reason: String) -> MappedEvent {
        MappedEvent {
            result: MappingResult::Dead,
            requests: Vec::new(),
            reason: Some(reason),
            notes: Vec::new(),
            links: Vec::new(),
        }
    }

    /// Adds why an ignored event has no requests.
    // Apart from `of`, since it takes a second run, which only an event that differs is worth.
    pub(super) fn explain(&mut self, mapping: &Mapping, event: &Event, payload: &Arc<Value>) {
        if self.result != MappingResult::Ignored {
            return;
        }
        // Without its text, since only the reasons of its blocks are wanted.
        let explanation = mapping.explain(event, payload, &LineIndex::of(""));
        let blocks = explanation.blocks.iter();
        let reasons = blocks.flat_map(|block| {
            block.reasons.iter().map(move |reason| format!("{}: {reason}", block.block))
        });
        let reasons: Vec<String> = reasons.take(REASONS_MAX).collect();
        let none = || "the mapping has no blocks".to_owned();
        self.reason = Some(if reasons.is_empty() { none() } else { reasons.join("; ") });
    }
}
