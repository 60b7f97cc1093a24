//! The gate of a destination: decides whether a request may be sent now, and changes with each
//! answer. Pure.

mod downtime;
mod pause;
mod stored;
mod wait;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::WaitKind;
use crate::rate::Rate;
use crate::store::{Interruption, InterruptionKind};
use downtime::Downtime;
use pause::ResumeOn;
pub use pause::{Pause, PausedBy};
use stored::Stored;
use wait::Wait;

/// Longest `Retry-After` that is honoured.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Number of refusals in a row, although the token works, that pause the destination.
const FORBIDDEN_MAX: u32 = 5;

/// Time before its turn by which a request is admitted; it then waits in its slot.
// A rate such as 10/s then needs no reading of the store for each request: the next ones are
// claimed and mapped already.
const TURN_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Limit for requests; none if there is no limit.
    pub rate: Option<Rate>,
    pub probe_every: Duration,
    /// Number of failures in a row that open the breaker.
    pub breaker_failures: u32,
    /// Time after which an open breaker admits one request.
    pub breaker_wait: Duration,
    /// Longest time that one request may take.
    pub answer_wait: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            rate: None,
            probe_every: Duration::from_mins(1),
            breaker_failures: 5,
            breaker_wait: Duration::from_secs(30),
            answer_wait: Duration::from_secs(30),
        }
    }
}

/// Conclusion from an answer about the destination as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Savio accepted the request, or refused this one alone.
    Healthy,
    /// Likewise, with the id of the record that it created.
    GaveId,
    /// No answer, or one to try again later; with a time, all requests wait until then.
    Failing { reason: String, hold_back_until: Option<Timestamp> },
    /// The token or the address is wrong.
    Misconfigured { reason: String },
    /// Savio refused the request although the token and the address are right.
    Forbidden { reason: String },
    /// Savio accepted the token when a probe was sent.
    ProbePassed,
    /// The token was replaced, and nothing is known about the new one.
    TokenReplaced,
}

/// State of the gate, which is stored and survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Gate {
    /// Pause by a person, which only a person ends.
    by_person: Option<Pause>,
    by_relay: Option<Pause>,
    held_back: Option<Wait>,
    /// Failures in a row.
    failures: u32,
    /// Reason of the last of them.
    failing: Option<String>,
    /// Set while the breaker is open. It admits one request at the end of this wait.
    breaker: Option<Wait>,
    /// Requests in a row that were refused although the token works.
    forbidden: u32,
    /// Wait for the next request's turn, by the rate.
    next_send: Option<Wait>,
    downtime: Downtime,
    /// True once the destination has returned the id of a record that it created.
    has_given_id: bool,
}

/// The reason why no request may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub kind: WaitKind,
    pub reason: String,
    /// Time at which the gate may open by itself; none if only an event opens it.
    pub until: Option<Timestamp>,
}

impl Gate {
    /// Returns why the gate is closed; none if it is open.
    pub fn closed(&self, now: Timestamp) -> Option<Closed> {
        if let Some(pause) = self.pause() {
            let (kind, until) = match pause.ends {
                _ if self.by_person.is_some() => (WaitKind::PausedByPerson, None),
                ResumeOn::Probe(wait) => (WaitKind::PausedByAnswer, Some(wait.until())),
                ResumeOn::Person => (WaitKind::PausedByAnswer, None),
                ResumeOn::Token => (WaitKind::NoToken, None),
            };
            return Some(Closed { kind, reason: pause.reason.clone(), until });
        }
        let waits = [
            (self.held_back, "Savio asked to wait"),
            (self.breaker, "Savio failed several times in a row"),
        ];
        let closed = |(wait, otherwise): (Option<Wait>, &str)| {
            let until = wait.map(|wait| wait.until()).filter(|until| *until > now);
            let reason = self.failing.clone().unwrap_or_else(|| otherwise.to_owned());
            until.is_some().then_some(Closed { kind: WaitKind::Backoff, reason, until })
        };
        waits.into_iter().find_map(closed)
    }

    /// Returns what keeps requests from being sent, for the log.
    pub(super) fn interruptions(&self, now: Timestamp) -> Vec<Interruption> {
        let going_on = |kind, reason: &str, began_at| Interruption {
            kind,
            reason: reason.to_owned(),
            began_at,
            ended_at: None,
        };
        let by_person = self
            .by_person
            .iter()
            .map(|pause| going_on(InterruptionKind::PausedByPerson, &pause.reason, pause.since));
        let by_relay = self.by_relay.iter().map(|pause| {
            let kind = match pause.ends {
                ResumeOn::Token => InterruptionKind::NoToken,
                ResumeOn::Probe(_) | ResumeOn::Person => InterruptionKind::PausedByAnswer,
            };
            going_on(kind, &pause.reason, pause.since)
        });
        let failing = self.failing.as_deref();
        let breaker = self.breaker.iter().map(|_| {
            let reason = failing.unwrap_or("Savio failed several times in a row");
            going_on(InterruptionKind::Breaker, reason, self.failing_since().unwrap_or(now))
        });
        let backoff = self.held_back.iter().filter(|wait| wait.until() > now).map(|wait| {
            let reason = failing.unwrap_or("Savio asked to wait");
            let began_at = wait.since().unwrap_or(now);
            let going_on = going_on(InterruptionKind::Backoff, reason, began_at);
            Interruption { ended_at: Some(wait.until()), ..going_on }
        });
        by_person.chain(by_relay).chain(breaker).chain(backoff).collect()
    }

    /// Returns why no request may be sent before its turn, by the rate, although the gate is open.
    pub fn rate_wait(&self, now: Timestamp) -> Option<Closed> {
        let turn = self.turn(now);
        (turn > later(now, TURN_WAIT)).then(|| Closed {
            kind: WaitKind::Rate,
            reason: "the rate of the destination".to_owned(),
            until: Some(turn),
        })
    }

    /// Returns the pause in effect: a person's before one by the relay.
    pub fn pause(&self) -> Option<&Pause> {
        self.by_person.as_ref().or(self.by_relay.as_ref())
    }

    /// Returns who or what paused the destination.
    pub fn paused_by(&self) -> Option<PausedBy> {
        self.pause().map(|pause| match pause.ends {
            _ if self.by_person.is_some() => PausedBy::Person,
            ResumeOn::Token => PausedBy::Token,
            ResumeOn::Probe(_) | ResumeOn::Person => PausedBy::Answer,
        })
    }

    /// Limits all waits to their intended length after the clock was set back or the settings were
    /// changed. To be called before the gate is read. Returns whether anything changed.
    pub fn follow(&mut self, now: Timestamp, settings: &Settings) -> bool {
        let turn_max = settings.rate.map_or(Duration::ZERO, |it| TURN_WAIT + it.interval());
        let waits = [
            (self.held_back.as_mut(), RETRY_AFTER_MAX),
            (self.breaker.as_mut(), settings.breaker_wait.max(settings.answer_wait)),
            (self.next_send.as_mut(), turn_max),
            (self.by_relay.as_mut().and_then(Pause::probe), settings.probe_every),
        ];
        let mut has_changed = self.downtime.begins_after(now);
        for (wait, longest) in waits {
            has_changed |= wait.is_some_and(|wait| wait.follow(now, longest));
        }
        if has_changed {
            self.update_downtime(now);
        }
        has_changed
    }

    /// Number of requests that may be prepared now.
    pub fn room(&self, now: Timestamp, settings: &Settings) -> usize {
        if self.closed(now).is_some() {
            return 0;
        }
        // The breaker admits a single request: others would be mapped only to find the gate closed.
        if self.breaker.is_some() {
            return 1;
        }
        match settings.rate {
            Some(_) if self.turn(now) > later(now, TURN_WAIT) => 0,
            Some(rate) => rate.tokens_within(TURN_WAIT),
            None => usize::MAX,
        }
    }

    /// Admits a request and returns its turn: now, or at most `TURN_WAIT` later.
    pub fn admit(&mut self, now: Timestamp, settings: &Settings) -> Result<Timestamp, Closed> {
        self.follow(now, settings);
        if let Some(closed) = self.closed(now) {
            return Err(closed);
        }
        if let Some(closed) = self.rate_wait(now) {
            return Err(closed);
        }
        let turn = self.turn(now);
        if self.breaker.is_some() {
            // No other request is admitted before this one must have been answered.
            let wait = settings.breaker_wait.max(settings.answer_wait);
            self.breaker = Some(Wait::new(now, later(now, wait)));
        }
        if let Some(rate) = settings.rate {
            self.next_send = Some(Wait::new(now, later(turn, rate.interval())));
        }
        Ok(turn)
    }

    /// Returns the turn of an admitted request that was not sent.
    pub fn return_slot(&mut self, now: Timestamp, settings: &Settings) {
        if self.breaker.is_some() {
            self.breaker = Some(Wait::new(now, now));
        }
        if let (Some(rate), Some(next)) = (settings.rate, &mut self.next_send) {
            next.shorten(rate.interval());
        }
    }

    fn turn(&self, now: Timestamp) -> Timestamp {
        self.next_send.map_or(now, |next| next.until().max(now))
    }

    /// Returns when the gate opens, or the next turn comes, by the passing of time alone.
    pub fn wakes_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self.closed(now) {
            Some(closed) => closed.until,
            None => self.next_send.map(|next| next.until()).filter(|next| *next > now),
        }
    }

    /// Returns whether a probe is due; if so, schedules the next one.
    pub fn take_probe(&mut self, now: Timestamp, settings: &Settings) -> bool {
        // A person's pause means that nothing is sent, not even a probe.
        if self.by_person.is_some() {
            return false;
        }
        let Some(probe) = self.by_relay.as_mut().and_then(Pause::probe) else { return false };
        let is_due = probe.until() <= now;
        if is_due {
            *probe = Wait::new(now, later(now, settings.probe_every));
        }
        is_due
    }

    /// Returns the number of failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the reason of the last failure; none after a success.
    pub fn last_failure(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// Returns whether the last requests failed, so that only single ones are admitted.
    pub fn is_failing(&self) -> bool {
        self.breaker.is_some() || self.pause().is_some()
    }

    /// Returns since when nothing could be sent, if the breaker is open.
    pub fn failing_since(&self) -> Option<Timestamp> {
        // The breaker waits anew after each try: the downtime is what goes on.
        self.breaker.and_then(|_| self.downtime.since())
    }

    /// Returns whether a probe that passes would end a pause by an answer.
    pub fn is_paused_by_answer(&self) -> bool {
        self.by_relay.as_ref().is_some_and(|pause| matches!(pause.ends, ResumeOn::Probe(_)))
    }

    /// Changes the gate by the conclusion from an answer.
    pub fn note(&mut self, signal: &Signal, now: Timestamp, settings: &Settings) {
        self.follow(now, settings);
        match signal {
            Signal::Healthy | Signal::GaveId => {
                self.close_breaker();
                self.forbidden = 0;
                self.has_given_id |= *signal == Signal::GaveId;
            }
            Signal::Failing { reason, hold_back_until } => {
                self.failing = Some(reason.clone());
                self.count_failure(*hold_back_until, now, settings);
            }
            Signal::Misconfigured { reason } => {
                let probe = Wait::new(now, later(now, settings.probe_every));
                self.pause_by_relay(reason, now, ResumeOn::Probe(probe));
            }
            Signal::Forbidden { reason } => {
                self.close_breaker();
                self.forbidden = self.forbidden.saturating_add(1);
                if self.forbidden >= FORBIDDEN_MAX {
                    self.pause_by_relay(reason, now, ResumeOn::Person);
                }
            }
            Signal::ProbePassed => {
                self.close_breaker();
                if self.is_paused_by_answer() {
                    self.by_relay = None;
                }
            }
            // Any pause by the relay, since all of them concern the old token or its absence. It
            // ends when the probe passes, not before.
            Signal::TokenReplaced => {
                self.forbidden = 0;
                if let Some(pause) = &mut self.by_relay {
                    pause.ends = ResumeOn::Probe(Wait::new(now, now));
                }
            }
        }
        self.update_downtime(now);
    }

    /// Returns whether the destination is known to be Savio, by an id that it has returned at any
    /// time.
    pub fn has_given_id(&self) -> bool {
        self.has_given_id
    }

    fn close_breaker(&mut self) {
        self.failures = 0;
        self.failing = None;
        self.breaker = None;
    }

    fn count_failure(
        &mut self,
        hold_back_until: Option<Timestamp>,
        now: Timestamp,
        settings: &Settings,
    ) {
        self.failures = self.failures.saturating_add(1);
        // Several requests are in flight, and their answers may ask for different waits: the
        // longest counts.
        let requested = hold_back_until.map(|until| Wait::new(now, until));
        let waits = [self.held_back, requested].into_iter().flatten();
        self.held_back = waits.max_by_key(Wait::until);
        if self.failures >= settings.breaker_failures {
            self.breaker = Some(Wait::new(now, later(now, settings.breaker_wait)));
        }
    }

    fn pause_by_relay(&mut self, reason: &str, now: Timestamp, ends: ResumeOn) {
        match &mut self.by_relay {
            // A pause that only a person or a token ends stays: a probe that passes must not end
            // it.
            Some(pause) if !matches!(pause.ends, ResumeOn::Probe(_)) => {}
            Some(pause) => {
                pause.ends = ends;
                reason.clone_into(&mut pause.reason);
            }
            None => {
                let reason = reason.to_owned();
                self.by_relay = Some(Pause { reason, since: now, ends });
            }
        }
    }

    /// Pauses the destination on behalf of a person.
    pub fn pause_by_person(&mut self, reason: &str, now: Timestamp) {
        let reason = reason.to_owned();
        self.by_person = Some(Pause { reason, since: now, ends: ResumeOn::Person });
        self.update_downtime(now);
    }

    /// Ends all pauses except one for a missing token, and closes the breaker. A `Retry-After` of
    /// Savio stays in effect.
    pub fn resume(&mut self, now: Timestamp) {
        self.by_person = None;
        self.by_relay = self.by_relay.take().filter(|pause| pause.ends == ResumeOn::Token);
        self.close_breaker();
        self.forbidden = 0;
        self.update_downtime(now);
    }

    /// Adapts a stored gate to this start of the process. `missing` is the reason if there is no
    /// token.
    pub fn begin(&mut self, missing: Option<&str>, now: Timestamp) {
        self.by_relay = self.by_relay.take().filter(|pause| pause.ends != ResumeOn::Token);
        // The token or the address may have been corrected before this start: the probe is sent at
        // once.
        if let Some(Pause { ends: ResumeOn::Probe(wait), .. }) = &mut self.by_relay {
            *wait = Wait::new(now, now);
        }
        if let Some(reason) = missing {
            let reason = reason.to_owned();
            self.by_relay = Some(Pause { reason, since: now, ends: ResumeOn::Token });
        }
        self.update_downtime(now);
    }

    /// Time since `since` in which requests could be sent: without pauses, `Retry-After` and open
    /// breakers.
    pub fn time_open(&self, since: Timestamp, now: Timestamp) -> Duration {
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        passed.saturating_sub(self.downtime.between(since, now))
    }

    fn update_downtime(&mut self, now: Timestamp) {
        // An open breaker counts as downtime until a request succeeds, not only until the next try:
        // in an outage of days, each event would otherwise grow older by the time of those tries,
        // and become dead of it.
        let is_stopped = self.pause().is_some() || self.breaker.is_some();
        let until =
            if is_stopped { Some(Timestamp::MAX) } else { self.held_back.map(|wait| wait.until()) };
        self.downtime.set(now, until);
    }
}

impl From<Stored> for Gate {
    fn from(stored: Stored) -> Gate {
        let wait = |until: Option<Timestamp>, since| until.map(|until| Wait::stored(until, since));
        Gate {
            by_person: stored.by_person,
            by_relay: stored.by_relay,
            held_back: wait(stored.held_back_until, stored.held_back_since),
            failures: stored.failures,
            failing: stored.failing,
            breaker: wait(stored.breaker, stored.breaker_since),
            forbidden: stored.forbidden,
            next_send: wait(stored.next_send_at, stored.next_send_since),
            downtime: stored.standstill,
            has_given_id: stored.has_given_id,
        }
    }
}

impl From<Gate> for Stored {
    fn from(gate: Gate) -> Stored {
        let until = |wait: Option<Wait>| wait.map(|wait| wait.until());
        let since = |wait: Option<Wait>| wait.and_then(|wait| wait.since());
        Stored {
            by_person: gate.by_person,
            by_relay: gate.by_relay,
            held_back_until: until(gate.held_back),
            held_back_since: since(gate.held_back),
            failures: gate.failures,
            failing: gate.failing,
            breaker: until(gate.breaker),
            breaker_since: since(gate.breaker),
            forbidden: gate.forbidden,
            next_send_at: until(gate.next_send),
            next_send_since: since(gate.next_send),
            standstill: gate.downtime,
            has_given_id: gate.has_given_id,
        }
    }
}

pub(crate) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
