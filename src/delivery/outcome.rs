//! The outcome table of the relay: what came of one attempt, and what is to be done next. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::gate::{RETRY_AFTER_MAX, Signal};
use crate::backoff::Backoff;
use crate::event::{Outcome, RequestKind};
use crate::savio::{ApiResponse, BodyKind, SendResult};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Before the second attempt; each further wait is twice as long.
    pub wait_min: Duration,
    pub wait_max: Duration,
    /// Counted from the first attempt, while the destination could be tried.
    pub give_up_after: Duration,
    pub unanswered: UnansweredPolicy,
}

/// What becomes of a request that was sent and got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnansweredPolicy {
    /// It is sent again, and marked.
    Retry,
    /// A person decides.
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

/// What an answer is judged by, apart from itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptContext<'c> {
    pub now: Timestamp,
    /// Since the first attempt, by the destination's clock.
    pub age: Duration,
    /// How many attempts failed in a row before this one.
    pub tries: u32,
    /// Any number by chance; it lengthens the wait.
    pub chance: u32,
    /// The request was refused just now though the token works.
    pub is_last_try: bool,
    /// The destination once answered with the id of what it made, so that it is Savio.
    pub has_given_id: bool,
    /// The fields of the request without which it may be sent once more.
    pub optional: &'c [&'static str],
}

#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub outcome: Outcome,
    /// What happened, in words that may be logged: nothing of the answer's body is in them.
    pub summary: String,
    pub then: Decision,
    /// What it tells of the destination.
    pub signal: Option<Signal>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    Done {
        savio_id: Option<Value>,
    },
    /// The same request again, at once.
    Again,
    /// The request again, at once, without these fields.
    LeaveOut {
        fields: Vec<&'static str>,
    },
    /// The same request again, later.
    Retry {
        wait: Duration,
    },
    /// Only a probe can tell whether the destination is wrong as a whole: `after_probe` goes on.
    Probe,
    /// A person decides.
    Hold {
        reason: String,
    },
    Dead {
        reason: String,
    },
}

/// The fields without which Savio takes a request that it refused for their values. Of others it is not known
/// what a person would say of a request without them.
pub(super) fn optional_fields(kind: RequestKind) -> &'static [&'static str] {
    match kind {
        RequestKind::Company => &[],
        RequestKind::Contact => &["email"],
        RequestKind::Feedback => &["source_url", "source_username", "person_email"],
    }
}

/// The outcome table.
pub fn judge(
    answer: &SendResult,
    circumstances: AttemptContext<'_>,
    settings: &Settings,
) -> Verdict {
    let reply = match answer {
        SendResult::Reply(reply) => reply,
        SendResult::Withheld { reason } => return withheld(reason.clone()),
        SendResult::NotSent { reason } => {
            return retry(Outcome::Unreachable, reason.clone(), circumstances, settings);
        }
        SendResult::NoReply { reason } => {
            return unanswered(reason.clone(), circumstances, settings);
        }
    };
    let summary = format!("savio answered {}", reply.status);
    match reply.status {
        200..=299 if is_savios(reply, circumstances) => done(summary, reply),
        200..=299 => no_savio(reply, circumstances, settings),
        100..=199 | 300..=399 | 401..=405 | 407 if circumstances.is_last_try => {
            let reason = format!("{summary}, though the token works: {}", reply.text);
            let signal = Signal::Forbidden { reason: format!("{summary}, though the token works") };
            refused(summary, &reason, signal)
        }
        100..=199 | 300..=399 | 401..=405 | 407 => {
            let summary = format!("{summary}: are its token and base_url right?");
            Verdict { outcome: Outcome::Paused, summary, then: Decision::Probe, signal: None }
        }
        408 | 425 | 429 | 500.. => {
            let verdict = retry(Outcome::Retry, summary, circumstances, settings);
            hold_back(verdict, reply, circumstances)
        }
        400 if let Some(fields) = refused_fields(reply, circumstances.optional) => {
            let summary = format!("{summary}: once more without {}", fields.join(", "));
            let then = Decision::LeaveOut { fields };
            Verdict { outcome: Outcome::Refused, summary, then, signal: Some(Signal::Healthy) }
        }
        _ => {
            let reason = format!("{summary}: {}", reply.text);
            refused(summary, &reason, Signal::Healthy)
        }
    }
}

/// The fields that Savio refuses, if it refuses nothing else and all of them may be left out.
fn refused_fields(reply: &ApiResponse, optional: &[&'static str]) -> Option<Vec<&'static str>> {
    let refused: Map<String, Value> = serde_json::from_str(&reply.text).ok()?;
    let find = |name: &String| optional.iter().copied().find(|field| field == name);
    let fields: Vec<&'static str> = refused.keys().map(find).collect::<Option<_>>()?;
    (!fields.is_empty()).then_some(fields)
}

/// The destination waits until its address is another, or is private after all.
fn withheld(reason: String) -> Verdict {
    let signal = Some(Signal::Misconfigured { reason: reason.clone() });
    let then = Decision::Retry { wait: Duration::ZERO };
    Verdict { outcome: Outcome::Paused, summary: reason, then, signal }
}

/// What a probe says of a verdict that asked for one.
pub fn after_probe(mut verdict: Verdict, probe: &Result<(), String>) -> Verdict {
    match probe {
        Ok(()) => {
            verdict.outcome = Outcome::Retry;
            verdict.then = Decision::Again;
        }
        Err(reason) => {
            let reason = format!("{}; the probe: {reason}", verdict.summary);
            verdict.then = Decision::Retry { wait: Duration::ZERO };
            verdict.signal = Some(Signal::Misconfigured { reason });
        }
    }
    verdict
}

/// An attempt that the end of the process cut off: it may have arrived.
pub fn judge_interrupted(circumstances: AttemptContext<'_>, settings: &Settings) -> Verdict {
    let summary = "the relay stopped during the send".to_owned();
    let mut verdict = unanswered(summary, circumstances, settings);
    verdict.outcome = Outcome::Interrupted;
    verdict.signal = None;
    if matches!(verdict.then, Decision::Retry { .. }) {
        verdict.then = Decision::Again;
    }
    verdict
}

impl Settings {
    /// Doubles with each try, plus up to half of it by chance.
    fn wait(&self, circumstances: AttemptContext<'_>) -> Duration {
        let backoff = Backoff { wait_min: self.wait_min, wait_max: self.wait_max };
        backoff.wait_by_chance(circumstances.tries, circumstances.chance)
    }
}

fn retry(
    outcome: Outcome,
    summary: String,
    circumstances: AttemptContext<'_>,
    settings: &Settings,
) -> Verdict {
    let then = if circumstances.age >= settings.give_up_after {
        let age = SignedDuration::from_secs(circumstances.age.as_secs().cast_signed());
        Decision::Dead { reason: format!("gave up after {age:#}: {summary}") }
    } else {
        Decision::Retry { wait: settings.wait(circumstances) }
    };
    let signal = Some(Signal::Failing { hold_back_until: None });
    Verdict { outcome, summary, then, signal }
}

fn unanswered(summary: String, circumstances: AttemptContext<'_>, settings: &Settings) -> Verdict {
    let mut verdict = retry(Outcome::Unanswered, summary, circumstances, settings);
    if settings.unanswered == UnansweredPolicy::Hold {
        verdict.then = held(&verdict.summary);
    }
    verdict
}

fn held(summary: &str) -> Decision {
    Decision::Hold { reason: format!("it was sent, and may have arrived: {summary}") }
}

/// A page that some other server gave: the event waits until Savio is there, and never dies of it. A 201
/// says that something was made, so that only a person sends the request again.
fn no_savio(
    reply: &ApiResponse,
    circumstances: AttemptContext<'_>,
    settings: &Settings,
) -> Verdict {
    let summary =
        format!("savio answered {}, but not as savio does: is base_url right?", reply.status);
    let then = match settings.unanswered {
        UnansweredPolicy::Retry if reply.status != 201 => {
            Decision::Retry { wait: settings.wait(circumstances) }
        }
        UnansweredPolicy::Retry | UnansweredPolicy::Hold => held(&summary),
    };
    let signal = Some(Signal::Misconfigured { reason: summary.clone() });
    Verdict { outcome: Outcome::Unanswered, summary, then, signal }
}

fn refused(summary: String, reason: &str, signal: Signal) -> Verdict {
    let reason = reason.trim_end_matches([':', ' ']).to_owned();
    let then = Decision::Dead { reason };
    Verdict { outcome: Outcome::Refused, summary, then, signal: Some(signal) }
}

/// Savio may ask for a longer wait than ours, not for a shorter one, and then for all requests.
fn hold_back(
    mut verdict: Verdict,
    reply: &ApiResponse,
    circumstances: AttemptContext<'_>,
) -> Verdict {
    let Some(asked) = reply.wait_asked(circumstances.now) else { return verdict };
    let asked = asked.min(RETRY_AFTER_MAX);
    if let Decision::Retry { wait } = &mut verdict.then {
        *wait = asked.max(*wait);
    }
    let hold_back_until = circumstances.now.saturating_add(asked).ok();
    verdict.signal = Some(Signal::Failing { hold_back_until });
    verdict
}

/// Whether it is Savio that gave a 2xx.
fn is_savios(reply: &ApiResponse, circumstances: AttemptContext<'_>) -> bool {
    match reply.content {
        BodyKind::Object { .. } | BodyKind::Empty | BodyKind::Cut { says_json: true } => true,
        BodyKind::Cut { says_json: false } | BodyKind::Other => {
            reply.status == 201 && circumstances.has_given_id
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
        then: Decision::Done { savio_id },
        signal: Some(signal),
    }
}

#[cfg(test)]
mod tests;
