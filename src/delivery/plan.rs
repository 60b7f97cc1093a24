//! The plan of one event: which of its requests is next, and what an attempt changes. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::outcome::{self, AttemptContext, Decision, Verdict};
use crate::event::{Event, EventId, Outcome, RecordKey, Request, RequestKind, State};
use crate::savio::SendResult;
use crate::store::{
    Attempt, ClaimedEvent, NextStep, PlannedRequest, Progress, RequestState, ShortenedRequest,
    Suspect,
};
use crate::telemetry::traces::ParentSpan;

/// The requests of one event, with their states and the history that the next verdict needs.
#[derive(Debug)]
pub(super) struct RequestPlan {
    pub(super) event: EventId,
    /// The parent of the spans of its attempts.
    pub(super) span: Option<ParentSpan>,
    first_attempt_at: Option<Timestamp>,
    tries: u32,
    replay: bool,
    /// The requests that it had before a replay.
    earlier: Vec<PlannedRequest>,
    /// Whether all of its requests may have been sent after the backup that it was restored from.
    may_repeat: bool,
    pub(super) unmapped: Option<Unmapped>,
    requests: Vec<PlannedRequest>,
    /// The request that was just refused although the token works, and is sent once more.
    last_try: Option<usize>,
}

/// An event that is not mapped yet.
#[derive(Debug)]
pub(super) struct Unmapped {
    pub(super) event: Event,
    pub(super) suspect: Option<Suspect>,
}

/// An attempt before it is judged.
#[derive(Debug)]
pub(super) struct SentRequest {
    pub(super) position: usize,
    pub(super) at: Timestamp,
    pub(super) answered_at: Timestamp,
    pub(super) ms: u64,
    /// None if the process ended during the send.
    pub(super) answer: Option<SendResult>,
}

impl SentRequest {
    /// Returns an attempt during which the process ended.
    pub(super) fn interrupted(position: usize, now: Timestamp) -> SentRequest {
        SentRequest { position, at: now, answered_at: now, ms: 0, answer: None }
    }
}

impl RequestPlan {
    pub(super) fn of(claimed: ClaimedEvent, span: Option<ParentSpan>) -> RequestPlan {
        let ClaimedEvent { event, requests, suspect, .. } = claimed;
        let (id, is_mapped) = (event.id, requests.is_some());
        RequestPlan {
            event: id,
            span,
            first_attempt_at: claimed.first_attempt_at,
            tries: claimed.tries,
            replay: claimed.replay,
            earlier: claimed.earlier,
            may_repeat: claimed.may_repeat,
            unmapped: (!is_mapped).then_some(Unmapped { event, suspect }),
            requests: requests.unwrap_or_default(),
            last_try: None,
        }
    }

    pub(super) fn set_requests(&mut self, requests: &[Request]) {
        self.requests = PlannedRequest::replan(requests, std::mem::take(&mut self.earlier));
        if self.may_repeat {
            self.requests.iter_mut().for_each(PlannedRequest::mark_as_possible_repeat);
        }
    }

    pub(super) fn request(&self, position: usize) -> &Request {
        &self.requests[position].request
    }

    /// Returns the upserts of all requests that are not done, with repeats.
    pub(super) fn upserts(&self) -> Vec<RecordKey> {
        let left = self.requests.iter().filter(|planned| planned.state != RequestState::Done);
        left.filter_map(|planned| planned.request.upsert()).collect()
    }

    /// Returns the request whose send the end of the process interrupted.
    pub(super) fn interrupted(&self) -> Option<usize> {
        self.requests.iter().position(|planned| planned.state == RequestState::Sending)
    }

    /// Returns the time from which `give_up_after` counts: the first attempt since the event was
    /// queued.
    pub(super) fn tried_since(&self, now: Timestamp) -> Timestamp {
        self.first_attempt_at.unwrap_or(now)
    }

    /// Returns the fields that may be left out of the request if Savio refuses them.
    pub(super) fn optional(&self, position: usize) -> Vec<&'static str> {
        let PlannedRequest { request, left_out, .. } = &self.requests[position];
        // Only once: a request that is refused again without those fields is dead, instead of
        // losing field after field.
        if !left_out.is_empty() {
            return Vec::new();
        }
        let fields = outcome::optional_fields(request.kind).iter().copied();
        fields.filter(|field| request.body.contains_key(*field)).collect()
    }

    /// Returns the context of a verdict, without what the gate and the request add to it.
    pub(super) fn attempt_context(
        &self,
        sent: &SentRequest,
        jitter: u32,
    ) -> AttemptContext<'static> {
        AttemptContext {
            now: sent.answered_at,
            account: "Savio",
            age: Duration::ZERO,
            tries: self.tries,
            jitter,
            is_last_try: self.last_try == Some(sent.position),
            has_given_id: false,
            optional: &[],
        }
    }

    /// Returns the number of the current attempt in a row, from 1.
    pub(super) fn attempt_number(&self) -> u32 {
        self.tries.saturating_add(1)
    }

    /// Returns the first request that is not done as the next step.
    pub(super) fn next(&self, now: Timestamp) -> NextStep {
        if self.requests.is_empty() {
            let reason = Some("the mapping made no request".to_owned());
            return NextStep::Settle { state: State::Ignored, reason, at: now };
        }
        match self.requests.iter().position(|planned| planned.state != RequestState::Done) {
            Some(position) => NextStep::Send { position, at: now },
            None => NextStep::Settle { state: State::Delivered, reason: None, at: now },
        }
    }

    /// Applies the verdict to the plan and returns the progress to record.
    pub(super) fn apply_attempt(&mut self, sent: SentRequest, verdict: Verdict) -> Progress {
        let SentRequest { position, at, answered_at: now, ms, answer } = sent;
        let Verdict { outcome, summary, decision, signal: _ } = verdict;
        let planned = &mut self.requests[position];
        let mut attempt = Attempt {
            position,
            at,
            outcome,
            status: answer.as_ref().and_then(SendResult::status),
            ms,
            detail: Some(answer.map_or_else(|| summary.clone(), SendResult::into_text)),
            savio_id: None,
            may_repeat: planned.may_repeat,
            replay: self.replay,
        };
        self.first_attempt_at.get_or_insert(at);
        // A pause lasts as long as the destination is wrong: its refusals should not lengthen the
        // event's own waits.
        if outcome != Outcome::Paused {
            self.tries = self.tries.saturating_add(1);
        }
        planned.may_repeat |= matches!(outcome, Outcome::Unanswered | Outcome::Interrupted);
        let (mut notes, mut shortened) = (Vec::new(), None);
        let next = match decision {
            Decision::Done { savio_id } => {
                planned.state = RequestState::Done;
                self.tries = 0;
                attempt.savio_id = savio_id;
                // The body of a success explains nothing. It repeats the record, with people's
                // names and addresses.
                attempt.detail = None;
                self.next(now)
            }
            Decision::LeaveOut { fields } => {
                let left_out: Vec<String> = fields.into_iter().map(str::to_owned).collect();
                notes.push(refusal_note(planned.request.kind, &left_out));
                planned.request.leave_out(&left_out);
                planned.left_out.clone_from(&left_out);
                shortened = Some(ShortenedRequest { position, left_out });
                NextStep::Send { position, at: now }
            }
            Decision::Again => {
                // An interrupted send is repeated as well, but was not refused: its next refusal is
                // followed by a probe.
                self.last_try = (outcome != Outcome::Interrupted).then_some(position);
                NextStep::Send { position, at: now }
            }
            Decision::Retry { wait } => {
                let until = now.saturating_add(wait).unwrap_or(Timestamp::MAX);
                NextStep::Wait { until, reason: summary }
            }
            Decision::Probe => NextStep::Wait { until: now, reason: summary },
            Decision::Hold { reason } => settle(State::Held, reason, now),
            Decision::Dead { reason } => settle(State::Dead, reason, now),
        };
        Progress { notes, attempt: Some(attempt), shortened, ..Progress::to(next) }
    }
}

fn refusal_note(kind: RequestKind, left_out: &[String]) -> String {
    let (kind, left_out) = (kind.as_str(), left_out.join(", "));
    format!("{kind}: {left_out} was left out: Savio refused the value and nothing else")
}

fn settle(state: State, reason: String, at: Timestamp) -> NextStep {
    NextStep::Settle { state, reason: Some(reason), at }
}
