//! One attempt: sends a request, judges the answer, and counts, logs and traces the outcome.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{info, warn};

use super::clock::SteadyClock;
use super::context::Context;
use super::gate::{Gate, Signal};
use super::outcome::{self, AttemptContext, Decision, Verdict};
use super::plan::{RequestPlan, SentRequest};
use crate::event::Outcome;
use crate::savio::{ProbeError, SendResult, account_of};
use crate::store::{Attempt, Progress, ShortenedRequest};
use crate::telemetry::traces::AttemptSpan;

pub(super) async fn send(
    context: &Context,
    plan: &RequestPlan,
    position: usize,
    clock: &SteadyClock,
) -> SentRequest {
    let (at, start) = (clock.now(), Instant::now());
    let answer = context.destination.send(plan.request(position)).await;
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    SentRequest { position, at, answered_at: clock.now(), ms, answer: Some(answer) }
}

/// Judges the answer, updates the gate and the plan, and returns the progress to record.
pub(super) async fn judge(
    context: &Context,
    plan: &mut RequestPlan,
    sent: SentRequest,
    clock: &SteadyClock,
) -> Progress {
    let verdict = verdict(context, plan, &sent).await;
    if let Some(signal) = &verdict.signal {
        note(context, signal, (sent.at, clock.now())).await;
    }
    if verdict.outcome == Outcome::Done {
        context.feature_requests.confirm(plan.request(sent.position), clock.now());
    }
    // Before `apply_attempt`, which advances the number of the attempt.
    trace(context, plan, &sent, &verdict);
    let summary = verdict.summary.clone();
    let progress = plan.apply_attempt(sent, verdict);
    if let Some(attempt) = &progress.attempt {
        count(context, attempt, progress.shortened.as_ref());
        log(context, plan, attempt, &summary);
    }
    progress
}

/// Changes the gate by the conclusion from an answer to a request of the first time.
async fn note(context: &Context, signal: &Signal, (sent_at, now): (Timestamp, Timestamp)) {
    context.gate.note(signal, now).await;
    // The answer may be to the old token: the new one would wait for the next probe because of it.
    let is_wrong = matches!(signal, Signal::Misconfigured { .. });
    if is_wrong && context.destination.was_replaced_since(sent_at) {
        context.gate.note(&Signal::TokenReplaced, now).await;
    }
}

async fn verdict(context: &Context, plan: &RequestPlan, sent: &SentRequest) -> Verdict {
    let age = context.gate.time_open(plan.tried_since(sent.at), sent.answered_at);
    let has_given_id = context.gate.read(Gate::has_given_id);
    let optional = plan.optional(sent.position);
    let of_event = plan.attempt_context(sent, fastrand::u32(..));
    let account = account_of(&context.destination.name);
    let attempt =
        AttemptContext { age, has_given_id, optional: &optional, account: &account, ..of_event };
    let settings = &context.settings.retry;
    let verdict = match &sent.answer {
        Some(answer) => outcome::judge(answer, attempt, settings),
        None => outcome::judge_interrupted(attempt, settings),
    };
    // Here, since `judge` is pure. The request keeps its slot and its locks meanwhile.
    if verdict.decision == Decision::Probe {
        let probe = context.destination.probe().await;
        outcome::after_probe(verdict, &probe.map_err(|error| error.reason))
    } else {
        verdict
    }
}

/// Probes a destination that was paused by an answer, and updates its gate.
pub(super) async fn probe(context: &Context, now: Timestamp) {
    let clock = SteadyClock::starting(now);
    let signal = match ask(context).await {
        Ok(()) => Signal::ProbePassed,
        Err(ProbeError { reason, .. }) => Signal::Misconfigured { reason },
    };
    note(context, &signal, (now, clock.now())).await;
}

/// Result of a probe that a person ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// An error is the reason why Savio cannot be used.
    pub answer: Result<(), String>,
    /// Whether that ended a pause or a wait.
    pub resumed: bool,
}

/// Probes the destination whatever its state, and updates its gate.
pub(super) async fn probe_for_person(context: &Context, now: Timestamp) -> ProbeReport {
    let clock = SteadyClock::starting(now);
    let answer = ask(context).await;
    let was_closed = context.gate.closed(clock.now());
    let (is_paused_by_answer, is_failing) =
        context.gate.read(|gate| (gate.is_paused_by_answer(), gate.is_failing()));
    let signal = match &answer {
        Ok(()) => Some(Signal::ProbePassed),
        // A destination that works stays so: what its requests meet decides. One that fails sends so
        // few that the reason would be the former one for long.
        Err(ProbeError { status, reason }) => {
            let is_refused = is_failing && status.is_some_and(outcome::refuses_all);
            let pauses = is_paused_by_answer || is_refused;
            pauses.then(|| Signal::Misconfigured { reason: reason.clone() })
        }
    };
    if let Some(signal) = signal {
        note(context, &signal, (now, clock.now())).await;
    }
    let is_open = context.gate.closed(clock.now()).is_none();
    let answer = answer.map_err(|error| error.reason);
    ProbeReport { answer, resumed: was_closed.is_some() && is_open }
}

async fn ask(context: &Context) -> Result<(), ProbeError> {
    let destination = &context.destination;
    // Checked each time, and before the token is sent: the address may resolve to a public host
    // now.
    let permitted = destination.permitted().await;
    permitted.map_err(|reason| ProbeError { status: None, reason })?;
    destination.probe().await
}

fn count(context: &Context, attempt: &Attempt, shorter: Option<&ShortenedRequest>) {
    let (destination, attempts) = (&context.destination.name, &context.process.attempts);
    attempts.left_out(destination, shorter.into_iter().flat_map(|it| &it.left_out));
    attempts.record_outcome(destination, attempt.outcome.as_str());
    // The duration of an interrupted attempt is unknown.
    if attempt.outcome != Outcome::Interrupted {
        attempts.took(destination, Duration::from_millis(attempt.ms));
    }
}

fn log(context: &Context, plan: &RequestPlan, attempt: &Attempt, summary: &str) {
    let Attempt { outcome, status, ms, .. } = attempt;
    let (id, destination) = (plan.event, &context.destination.name);
    let request = plan.request(attempt.position).kind.as_str();
    if *outcome == Outcome::Done {
        let outcome = outcome.as_str();
        info!(event.id = %id, destination, request, outcome, status, ms, "{summary}");
    } else {
        let outcome = outcome.as_str();
        warn!(event.id = %id, destination, request, outcome, status, ms, "{summary}");
    }
}

fn trace(context: &Context, plan: &RequestPlan, sent: &SentRequest, verdict: &Verdict) {
    let Some(parent) = plan.span else { return };
    let request = plan.request(sent.position).kind;
    let client = context.destination.client();
    let span = AttemptSpan {
        at: sent.at,
        ms: sent.ms,
        request,
        url: client.as_ref().as_ref().ok().map(|client| client.url(request)),
        destination: &context.destination.name,
        number: plan.attempt_number(),
        outcome: verdict.outcome,
        status: sent.answer.as_ref().and_then(SendResult::status),
        summary: &verdict.summary,
    };
    context.process.traces.attempt(parent, &span);
}
