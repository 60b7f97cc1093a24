//! The outcome table: judges the answer to one attempt and decides what follows. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::gate::{RETRY_AFTER_MAX, Signal};
use crate::backoff::Backoff;
use crate::event::{Outcome, RequestKind};
use crate::savio::{ApiResponse, BodyKind, SendResult, answered, unlike_savio};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Wait before the second attempt. Each further wait is twice as long.
    pub wait_min: Duration,
    pub wait_max: Duration,
    /// Time from the first attempt until the event is dead, without the destination's downtime.
    pub give_up_after: Duration,
    pub unanswered: UnansweredPolicy,
}

/// What to do with a request that was sent and got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnansweredPolicy {
    /// Sends it again, marked as a possible repeat.
    Retry,
    /// Holds the event until a person decides.
    Hold,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            wait_min: Duration::from_secs(5),
            wait_max: Duration::from_hours(1),
            give_up_after: Duration::from_hours(3 * 24),
            unanswered: UnansweredPolicy::Retry,
        }
    }
}

/// What a verdict depends on, beside the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptContext<'c> {
    pub now: Timestamp,
    /// Name of the Savio account in messages.
    pub account: &'c str,
    /// Time since the first attempt, without the destination's downtime.
    pub age: Duration,
    /// Number of attempts that failed in a row before this one.
    pub tries: u32,
    /// A random number, which lengthens the wait.
    pub jitter: u32,
    /// True if the request was just refused although the token works.
    pub is_last_try: bool,
    /// True if the destination has returned an id before, and thus is Savio.
    pub has_given_id: bool,
    /// Fields of the request without which it may be sent once more.
    pub optional: &'c [&'static str],
}

#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub outcome: Outcome,
    /// Description for the log, without anything of the answer's body.
    pub summary: String,
    pub decision: Decision,
    /// Conclusion about the destination; none leaves its gate unchanged.
    pub signal: Option<Signal>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Done {
        savio_id: Option<Value>,
    },
    /// Sends the same request again, at once.
    Again,
    /// Sends the request again, at once, without these fields.
    LeaveOut {
        fields: Vec<&'static str>,
    },
    /// Sends the same request again, later.
    Retry {
        wait: Duration,
    },
    /// Sends a probe, since only that can tell whether the destination as a whole is wrong;
    /// `after_probe` decides.
    Probe,
    /// Waits for a person's decision.
    Hold {
        reason: String,
    },
    Dead {
        reason: String,
    },
}

/// Fields without which a request is sent once more if Savio refuses their values.
// They only add to a feedback or a contact. Without any other field, the request might not be what
// its sender meant.
pub(super) fn optional_fields(kind: RequestKind) -> &'static [&'static str] {
    match kind {
        RequestKind::Company => &[],
        RequestKind::Contact => &["email"],
        RequestKind::Feedback => &["source_url", "source_username", "person_email"],
    }
}

/// Judges an answer: the outcome table.
pub fn judge(answer: &SendResult, attempt: AttemptContext<'_>, settings: &Settings) -> Verdict {
    let reply = match answer {
        SendResult::Reply(reply) => reply,
        SendResult::Withheld { reason } => return withheld(reason.clone()),
        SendResult::NotSent { reason } => {
            return retry(Outcome::Unreachable, reason.clone(), attempt, settings);
        }
        SendResult::NoReply { reason } => {
            return unanswered(reason.clone(), attempt, settings);
        }
    };
    let summary = answered(attempt.account, reply.status);
    match reply.status {
        200..=299 if is_from_savio(reply, attempt) => done(summary, reply),
        200..=299 => not_savio(reply, attempt, settings),
        // Both kinds of refusal look the same: the token or the address is wrong for all requests,
        // or Savio forbids this one. The probe decides; a second refusal of the same request is its
        // own fault.
        100..=199 | 300..=399 | 401..=405 | 407 if attempt.is_last_try => {
            let reason = format!("{summary}, though the token works: {}", reply.text);
            let signal = Signal::Forbidden { reason: format!("{summary}, though the token works") };
            refused(summary, &reason, signal)
        }
        100..=199 | 300..=399 | 401..=405 | 407 => {
            let summary = match reply.status {
                401 | 407 => summary,
                _ => format!("{summary}: are its token and base_url right?"),
            };
            Verdict { outcome: Outcome::Paused, summary, decision: Decision::Probe, signal: None }
        }
        408 | 425 | 429 | 500.. => {
            let verdict = retry(Outcome::Retry, summary, attempt, settings);
            hold_back(verdict, reply, attempt)
        }
        400 if let Some(fields) = refused_fields(reply, attempt.optional) => {
            let summary = format!("{summary}: once more without {}", fields.join(", "));
            let decision = Decision::LeaveOut { fields };
            Verdict { outcome: Outcome::Refused, summary, decision, signal: Some(Signal::Healthy) }
        }
        _ => {
            let reason = format!("{summary}: {}", reply.text);
            refused(summary, &reason, Signal::Healthy)
        }
    }
}

/// Returns the fields that Savio refuses; none unless all of them may be left out.
fn refused_fields(reply: &ApiResponse, optional: &[&'static str]) -> Option<Vec<&'static str>> {
    // Django REST framework answers a 400 with an object: the name of each refused field, and
    // messages. A key such as `detail` or `non_field_errors` is no optional field, and stands for a
    // refusal of the whole request.
    let refused: Map<String, Value> = serde_json::from_str(&reply.text).ok()?;
    let find = |name: &String| optional.iter().copied().find(|field| field == name);
    let fields: Vec<&'static str> = refused.keys().map(find).collect::<Option<_>>()?;
    (!fields.is_empty()).then_some(fields)
}

/// Pauses the destination until its address is changed, or resolves to a private one.
fn withheld(reason: String) -> Verdict {
    let signal = Some(Signal::Misconfigured { reason: reason.clone() });
    let decision = Decision::Retry { wait: Duration::ZERO };
    Verdict { outcome: Outcome::Paused, summary: reason, decision, signal }
}

/// Returns whether a probe with this status says that the token or the address is wrong, and not that
/// Savio is unavailable. One of 2xx fails only if the answer is not Savio's.
pub fn refuses_all(status: u16) -> bool {
    matches!(status, 100..=399 | 401..=405 | 407)
}

/// Completes a verdict that required a probe.
pub fn after_probe(mut verdict: Verdict, probe: &Result<(), String>) -> Verdict {
    match probe {
        Ok(()) => {
            verdict.outcome = Outcome::Retry;
            verdict.decision = Decision::Again;
        }
        Err(reason) => {
            // The probe mostly repeats the answer.
            let summary = &verdict.summary;
            let is_same = summary.starts_with(reason.as_str());
            let reason =
                if is_same { summary.clone() } else { format!("{summary}; asked again, {reason}") };
            verdict.decision = Decision::Retry { wait: Duration::ZERO };
            verdict.signal = Some(Signal::Misconfigured { reason });
        }
    }
    verdict
}

/// Judges an attempt during which the process ended. The request may have arrived.
pub fn judge_interrupted(attempt: AttemptContext<'_>, settings: &Settings) -> Verdict {
    let summary = "the relay stopped during the send".to_owned();
    let mut verdict = unanswered(summary, attempt, settings);
    verdict.outcome = Outcome::Interrupted;
    // The end of our own process says nothing about the destination, and is no reason to wait.
    verdict.signal = None;
    if matches!(verdict.decision, Decision::Retry { .. }) {
        verdict.decision = Decision::Again;
    }
    verdict
}

impl Settings {
    /// Returns the wait before the next attempt, which doubles with each one and gets up to half of
    /// it added at random.
    fn wait(&self, attempt: AttemptContext<'_>) -> Duration {
        let backoff = Backoff { wait_min: self.wait_min, wait_max: self.wait_max };
        backoff.wait_with_jitter(attempt.tries, attempt.jitter)
    }
}

fn retry(
    outcome: Outcome,
    summary: String,
    attempt: AttemptContext<'_>,
    settings: &Settings,
) -> Verdict {
    let decision = if attempt.age >= settings.give_up_after {
        let age = SignedDuration::from_secs(attempt.age.as_secs().cast_signed());
        Decision::Dead { reason: format!("gave up after {age:#}: {summary}") }
    } else {
        Decision::Retry { wait: settings.wait(attempt) }
    };
    let signal = Some(Signal::Failing { reason: summary.clone(), hold_back_until: None });
    Verdict { outcome, summary, decision, signal }
}

fn unanswered(summary: String, attempt: AttemptContext<'_>, settings: &Settings) -> Verdict {
    let mut verdict = retry(Outcome::Unanswered, summary, attempt, settings);
    if settings.unanswered == UnansweredPolicy::Hold {
        verdict.decision = hold(&verdict.summary);
    }
    verdict
}

fn hold(summary: &str) -> Decision {
    Decision::Hold { reason: format!("it was sent, and may have arrived: {summary}") }
}

/// Judges a 2xx that does not come from Savio, such as a login page. The event never becomes dead
/// of it.
fn not_savio(reply: &ApiResponse, attempt: AttemptContext<'_>, settings: &Settings) -> Verdict {
    let summary = unlike_savio(attempt.account, reply.status);
    let decision = match settings.unanswered {
        // A 201 says that something was created, so that only a person may decide to send the
        // request again.
        UnansweredPolicy::Retry if reply.status != 201 => {
            Decision::Retry { wait: settings.wait(attempt) }
        }
        UnansweredPolicy::Retry | UnansweredPolicy::Hold => hold(&summary),
    };
    let signal = Some(Signal::Misconfigured { reason: summary.clone() });
    Verdict { outcome: Outcome::Unanswered, summary, decision, signal }
}

fn refused(summary: String, reason: &str, signal: Signal) -> Verdict {
    let reason = reason.trim_end_matches([':', ' ']).to_owned();
    let decision = Decision::Dead { reason };
    Verdict { outcome: Outcome::Refused, summary, decision, signal: Some(signal) }
}

/// Applies a `Retry-After`: all requests wait for it, and this one for its own backoff if that is
/// longer.
fn hold_back(mut verdict: Verdict, reply: &ApiResponse, attempt: AttemptContext<'_>) -> Verdict {
    let Some(requested) = reply.requested_wait(attempt.now) else { return verdict };
    let requested = requested.min(RETRY_AFTER_MAX);
    if let Decision::Retry { wait } = &mut verdict.decision {
        *wait = requested.max(*wait);
    }
    let hold_back_until = attempt.now.saturating_add(requested).ok();
    let reason = format!("{}, and asks to wait", verdict.summary);
    verdict.signal = Some(Signal::Failing { reason, hold_back_until });
    verdict
}

/// Returns whether a 2xx comes from Savio, and not from another server at a wrong `base_url`.
fn is_from_savio(reply: &ApiResponse, attempt: AttemptContext<'_>) -> bool {
    match reply.content {
        // Another body with a 201: if the destination is known to be Savio, the record exists, and
        // sending the request again would create it twice.
        BodyKind::Object { .. } | BodyKind::Empty | BodyKind::Cut { is_declared_json: true } => {
            true
        }
        BodyKind::Cut { is_declared_json: false } | BodyKind::Other => {
            reply.status == 201 && attempt.has_given_id
        }
    }
}

fn done(summary: String, reply: &ApiResponse) -> Verdict {
    let (savio_id, signal) = match &reply.content {
        BodyKind::Object { id: Some(id) } => (Some(id.clone()), Signal::GaveId),
        BodyKind::Object { id: None }
        | BodyKind::Empty
        | BodyKind::Cut { .. }
        | BodyKind::Other => (None, Signal::Healthy),
    };
    Verdict {
        outcome: Outcome::Done,
        summary,
        decision: Decision::Done { savio_id },
        signal: Some(signal),
    }
}

#[cfg(test)]
mod tests;
