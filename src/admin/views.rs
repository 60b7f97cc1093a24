//! Events and replays as JSON, for the API and the command line.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::event::{Headers, Outcome, RequestKind};
use crate::store::{
    Attempt, EventRecord, EventSummary, PlannedRequest, ReplayId, ReplayProgress, RequestState,
};

/// An event with its payload, requests and attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView<'r> {
    #[serde(flatten)]
    line: EventSummary,
    settled_at: Option<jiff::Timestamp>,
    /// Time at which it was imported; null if it was sent.
    imported_at: Option<&'r str>,
    /// The payload as JSON, or as a text if it is not JSON.
    payload: Value,
    /// Headers by lower-case name, without secrets.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: &'r Headers,
    /// Requests that the mapping made, in the order in which they are sent.
    requests: Vec<RequestView<'r>>,
    /// All attempts, oldest first.
    history: Vec<AttemptView<'r>>,
    /// Fields that were left out of the requests and why, and texts that are not in their declared
    /// character set.
    notes: &'r [String],
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlannedRequest)]
struct RequestView<'r> {
    request: RequestKind,
    #[schema(value_type = Object)]
    body: &'r serde_json::Map<String, Value>,
    state: RequestState,
    /// Savio's id of the record, a number or a text.
    savio_id: Option<&'r Value>,
    may_repeat: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptView<'r> {
    at: jiff::Timestamp,
    outcome: Outcome,
    status: Option<u16>,
    ms: u64,
    detail: Option<&'r str>,
    may_repeat: bool,
    replay: bool,
}

/// Progress of a replay.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayView {
    replay_id: ReplayId,
    begun_at: jiff::Timestamp,
    /// Events found so far, including those that were queued already.
    matched: u64,
    replayed: u64,
    /// Replayed events that were not started yet.
    waiting: u64,
    /// Events that have their earlier state again since the replay was canceled.
    given_back: u64,
    canceled: bool,
    /// True once all matching events were found and queued.
    done: bool,
}

impl ReplayView {
    pub(crate) fn of(replay: &ReplayProgress) -> ReplayView {
        ReplayView {
            replay_id: replay.id,
            begun_at: replay.begun_at,
            matched: replay.matched,
            replayed: replay.replayed,
            waiting: replay.waiting,
            given_back: replay.given_back,
            canceled: replay.canceled_at.is_some(),
            done: !replay.has_more,
        }
    }
}

impl EventView<'_> {
    /// `line` is the event's entry in a list, with what it waits for.
    pub(crate) fn of(line: EventSummary, record: &EventRecord) -> EventView<'_> {
        let text = &record.event.payload;
        EventView {
            line,
            settled_at: record.settled_at,
            imported_at: record.event.imported_at(),
            payload: serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
            headers: &record.event.headers,
            requests: record.requests.iter().map(RequestView::of).collect(),
            history: record.attempts.iter().map(AttemptView::of).collect(),
            notes: &record.notes,
        }
    }
}

impl RequestView<'_> {
    fn of(planned: &PlannedRequest) -> RequestView<'_> {
        RequestView {
            request: planned.request.kind,
            body: &planned.request.body,
            state: planned.state,
            savio_id: planned.savio_id.as_ref(),
            may_repeat: planned.may_repeat,
        }
    }
}

impl AttemptView<'_> {
    fn of(attempt: &Attempt) -> AttemptView<'_> {
        AttemptView {
            at: attempt.at,
            outcome: attempt.outcome,
            status: attempt.status,
            ms: attempt.ms,
            detail: attempt.detail.as_deref(),
            may_repeat: attempt.may_repeat,
            replay: attempt.replay,
        }
    }
}
