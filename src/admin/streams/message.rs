//! What a stream sends: the messages of a batch and their text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::delivery::gate::PausedBy;
use crate::event::SourceName;
use crate::store::{EventSummary, Issue, StateCounts};

/// One message of a stream: its `event` and its `data`.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::admin) enum StreamMessage {
    Events(StreamedEvents),
    Counts(StreamedCounts),
    Sources(StreamedSources),
    Destinations(StreamedDestinations),
    Issues(StreamedIssues),
    /// Something was missed.
    Reset,
}

/// Data of `events`: events that are new or changed, each as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StreamedEvents {
    /// As in a page of `events`, the newest first; at most 200.
    pub(in crate::admin) events: Vec<EventSummary>,
}

/// Data of `counts`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StreamedCounts {
    /// All events by state.
    pub(in crate::admin) events: StateCounts,
    /// The events of each source in which one changed, by state.
    pub(in crate::admin) sources: BTreeMap<SourceName, StateCounts>,
    /// Webhooks that were rejected since the last batch, by source.
    pub(in crate::admin) rejected: BTreeMap<SourceName, u64>,
    /// Events that changed and are not in `events` of this batch, since there are too many.
    pub(in crate::admin) omitted: u64,
}

/// Data of `sources`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StreamedSources {
    /// Those that are new or gone, that were paused, resumed, or became live or off, or of which the
    /// mapping or destination changed.
    pub(in crate::admin) sources: Vec<SourceName>,
}

/// Data of `destinations`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StreamedDestinations {
    /// Those that changed, as they are now.
    pub(in crate::admin) destinations: Vec<StreamedDestination>,
}

/// State of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct StreamedDestination {
    pub(in crate::admin) name: String,
    pub(in crate::admin) paused: bool,
    pub(in crate::admin) paused_by: Option<PausedBy>,
    pub(in crate::admin) paused_since: Option<Timestamp>,
    /// Reason why nothing is sent at present, except its `rate`; null if requests are sent.
    pub(in crate::admin) reason: Option<String>,
    /// Reason for which the last request failed; null after a success.
    pub(in crate::admin) last_failure: Option<String>,
}

/// Data of `issues`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StreamedIssues {
    /// Number of open issues that are not muted.
    pub(in crate::admin) open: u64,
    /// Those that changed, as they are now; at most 200.
    pub(in crate::admin) issues: Vec<Issue>,
}

impl StreamMessage {
    fn name(&self) -> &'static str {
        match self {
            StreamMessage::Events(_) => "events",
            StreamMessage::Counts(_) => "counts",
            StreamMessage::Sources(_) => "sources",
            StreamMessage::Destinations(_) => "destinations",
            StreamMessage::Issues(_) => "issues",
            StreamMessage::Reset => "reset",
        }
    }

    fn data(&self) -> serde_json::Result<String> {
        match self {
            StreamMessage::Events(data) => serde_json::to_string(data),
            StreamMessage::Counts(data) => serde_json::to_string(data),
            StreamMessage::Sources(data) => serde_json::to_string(data),
            StreamMessage::Destinations(data) => serde_json::to_string(data),
            StreamMessage::Issues(data) => serde_json::to_string(data),
            StreamMessage::Reset => Ok("{}".to_owned()),
        }
    }
}

/// Returns the text of a batch.
// JSON has no line break, so each message is one line of `data`. The id comes with the last one: a
// client that gets only a part of the batch gets all of it again.
pub(super) fn encode(messages: &[StreamMessage], id: &str) -> Bytes {
    let mut text = String::new();
    for (at, message) in messages.iter().enumerate() {
        let data = message.data().expect("its keys are texts, and its numbers finite");
        let id = if at + 1 == messages.len() { format!("id: {id}\n") } else { String::new() };
        write!(text, "event: {}\ndata: {data}\n{id}\n", message.name())
            .expect("a String takes all that is written");
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_message_of_a_batch_has_its_id() {
        let sources = vec!["form".parse().unwrap()];
        let batch = [StreamMessage::Sources(StreamedSources { sources }), StreamMessage::Reset];

        let text = encode(&batch, "run-7");

        let expected = "event: sources\ndata: {\"sources\":[\"form\"]}\n\n\
                        event: reset\ndata: {}\nid: run-7\n\n";
        assert_eq!(text, expected);
    }
}
