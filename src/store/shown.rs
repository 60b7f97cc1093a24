//! How events look as JSON, to the command line and to programs.

use serde::Serialize;
use serde::ser::Serializer;
use serde_json::Value;

use super::{Attempt, Cursor, Line, Planned, Record};
use crate::event::Headers;

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An event with all that is known of it.
#[derive(Debug, Serialize)]
pub struct Whole<'r> {
    #[serde(flatten)]
    line: Line,
    settled_at: Option<jiff::Timestamp>,
    /// As text, where it is no JSON.
    payload: Value,
    headers: &'r Headers,
    requests: Vec<Sent<'r>>,
    history: Vec<Tried<'r>>,
    notes: &'r [String],
}

#[derive(Debug, Serialize)]
struct Sent<'r> {
    request: &'static str,
    body: &'r serde_json::Map<String, Value>,
    state: &'static str,
    savio_id: Option<&'r Value>,
    may_repeat: bool,
}

#[derive(Debug, Serialize)]
struct Tried<'r> {
    at: jiff::Timestamp,
    outcome: &'static str,
    status: Option<u16>,
    ms: u64,
    detail: Option<&'r str>,
    may_repeat: bool,
    replay: bool,
}

impl Record {
    pub fn line(&self) -> Line {
        Line {
            id: self.event.id,
            source: self.event.source.clone(),
            event_type: self.event.event_type.clone(),
            delivery_id: self.event.delivery_id.clone(),
            state: self.state,
            reason: self.reason.clone(),
            received_at: self.event.received_at,
            attempts: u64::try_from(self.attempts.len()).unwrap_or(u64::MAX),
            due_at: self.due_at,
        }
    }

    pub fn whole(&self) -> Whole<'_> {
        let text = &self.event.payload;
        Whole {
            line: self.line(),
            settled_at: self.settled_at,
            payload: serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
            headers: &self.event.headers,
            requests: self.requests.iter().map(Sent::of).collect(),
            history: self.attempts.iter().map(Tried::of).collect(),
            notes: &self.notes,
        }
    }
}

impl Sent<'_> {
    fn of(planned: &Planned) -> Sent<'_> {
        Sent {
            request: planned.request.kind.as_str(),
            body: &planned.request.body,
            state: planned.state.as_str(),
            savio_id: planned.savio_id.as_ref(),
            may_repeat: planned.may_repeat,
        }
    }
}

impl Tried<'_> {
    fn of(attempt: &Attempt) -> Tried<'_> {
        Tried {
            at: attempt.at,
            outcome: attempt.outcome.as_str(),
            status: attempt.status,
            ms: attempt.ms,
            detail: attempt.detail.as_deref(),
            may_repeat: attempt.may_repeat,
            replay: attempt.replay,
        }
    }
}
