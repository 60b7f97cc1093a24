//! Events and replays as JSON, for the API and the command line.

mod received;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::event::{EventId, Headers, Outcome, RequestKind};
use crate::store::{
    AnswerSent, Arrival, Attempt, EventRecord, EventSummary, ListedReplay, Neighbours,
    PlannedRequest, ReplayId, ReplayProgress, RequestState, Verified,
};
use received::ReceivedView;

/// An event with its payload, requests and attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView<'r> {
    #[serde(flatten)]
    line: EventSummary,
    settled_at: Option<jiff::Timestamp>,
    /// Time at which it was imported; null if it was sent.
    imported_at: Option<&'r str>,
    /// The payload as JSON, or as a text if it is not JSON; null if it was erased.
    payload: Value,
    /// How its webhook arrived.
    received: ReceivedView<'r>,
    /// What authenticated its webhook; null if that was not recorded.
    verified: Option<&'r Verified>,
    /// What the sender was answered; null if that was not recorded.
    answered: Option<&'r AnswerSent>,
    /// The next newer event that matches the parameters, and the next older one; null if there is
    /// none, or none was found at once.
    newer: Option<EventId>,
    older: Option<EventId>,
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
    /// Position among the requests that the event had at that time, from 0.
    request: usize,
    at: jiff::Timestamp,
    outcome: Outcome,
    status: Option<u16>,
    ms: u64,
    detail: Option<&'r str>,
    may_repeat: bool,
    replay: bool,
    /// Time from its end until the request is, or was, sent again; null if that did not follow.
    wait_ms: Option<u64>,
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
    /// True while there is anything left to find, to restore or to deliver.
    running: bool,
    /// Replayed events that were delivered since. This and the next four are null for a replay that an earlier
    /// version has run; with `given_back`, their sum is `replayed`.
    delivered: Option<u64>,
    /// Those that are dead again.
    dead: Option<u64>,
    ignored: Option<u64>,
    /// Those that wait for a person's decision.
    held: Option<u64>,
    /// Those that are still to be delivered.
    queued: Option<u64>,
}

/// A replay in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayLine {
    #[serde(flatten)]
    replay: ReplayView,
    /// Who started it, as the audit names them; null for a replay of an earlier version.
    by: Option<String>,
    /// Which events it selects, as the audit says it; null for a replay of an earlier version.
    which: Option<String>,
}

impl ReplayLine {
    pub(crate) fn of(listed: ListedReplay) -> ReplayLine {
        let ListedReplay { progress, by, which } = listed;
        ReplayLine { replay: ReplayView::of(&progress), by, which }
    }
}

impl ReplayView {
    pub(crate) fn of(replay: &ReplayProgress) -> ReplayView {
        let results = replay.results;
        ReplayView {
            replay_id: replay.id,
            begun_at: replay.begun_at,
            matched: replay.matched,
            replayed: replay.replayed,
            waiting: replay.waiting,
            given_back: replay.given_back,
            canceled: replay.canceled_at.is_some(),
            done: !replay.has_more,
            running: replay.is_running(),
            delivered: results.map(|it| it.delivered),
            dead: results.map(|it| it.dead),
            ignored: results.map(|it| it.ignored),
            held: results.map(|it| it.held),
            queued: results.map(|it| it.queued),
        }
    }
}

impl EventView<'_> {
    /// `line` is the event's entry in a list, with what it waits for.
    pub(crate) fn of(
        line: EventSummary,
        record: &EventRecord,
        neighbours: Neighbours,
    ) -> EventView<'_> {
        let Arrival { verified, answered, .. } = &record.arrival;
        let text = &record.event.payload;
        EventView {
            line,
            settled_at: record.settled_at,
            imported_at: record.event.imported_at(),
            payload: match record.erased_at {
                Some(_) => Value::Null,
                None => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
            },
            received: ReceivedView::of(record),
            verified: verified.as_ref(),
            answered: answered.as_ref(),
            newer: neighbours.newer,
            older: neighbours.older,
            headers: &record.event.headers,
            requests: record.requests.iter().map(RequestView::of).collect(),
            history: history(record),
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

fn history(record: &EventRecord) -> Vec<AttemptView<'_>> {
    let later = record.attempts.iter().skip(1).map(Some).chain([None]);
    let attempts = record.attempts.iter().zip(later);
    attempts
        .map(|(attempt, next)| AttemptView::of(attempt, resent_at(record, attempt, next)))
        .collect()
}

/// Returns when the request of an attempt was, or will be, sent again by the relay itself.
fn resent_at(record: &EventRecord, attempt: &Attempt, next: Option<&Attempt>) -> Option<Timestamp> {
    if matches!(attempt.outcome, Outcome::Done) {
        return None;
    }
    match next {
        // A replay in between is no wait.
        Some(next) => {
            (next.position == attempt.position && next.replay == attempt.replay).then_some(next.at)
        }
        None => record.due_at,
    }
}

impl AttemptView<'_> {
    fn of(attempt: &Attempt, resent_at: Option<Timestamp>) -> AttemptView<'_> {
        let ended_at = attempt.at.saturating_add(Duration::from_millis(attempt.ms)).ok();
        let wait = resent_at.zip(ended_at).map(|(again, ended)| again.duration_since(ended));
        AttemptView {
            request: attempt.position,
            wait_ms: wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(0)),
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
