//! The gate of a destination: whether a request may go now, and what the answers do to that. Pure.

mod downtime;
mod pause;
mod stored;
mod wait;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rate::Rate;
use downtime::Downtime;
use pause::ResumeOn;
pub use pause::{Pause, PausedBy};
use stored::Stored;
use wait::Wait;

/// The longest wait that Savio may ask for.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// How many refusals in a row, though the token works, stop the destination.
const FORBIDDEN_MAX: u32 = 5;

/// How long before its turn a request may be let through, to wait for it in its place.
const TURN_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Left out: no limit.
    pub rate: Option<Rate>,
    pub probe_every: Duration,
    /// How many failures in a row open the breaker.
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets one request through.
    pub breaker_wait: Duration,
    /// The longest that one request may take.
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

/// What an answer tells of the destination as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Savio answered as itself: yes, or no to this request alone.
    Healthy,
    /// The same, with the id of what it made.
    GaveId,
    /// No answer, or one that says: later; for all requests, if it says until when.
    Failing { hold_back_until: Option<Timestamp> },
    /// The token or the address is wrong.
    Misconfigured { reason: String },
    /// The token and the address are right, and Savio refused all the same.
    Forbidden { reason: String },
    /// The probe found Savio there.
    ProbePassed,
}

/// Kept in the store, and the same after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Gate {
    /// A person's pause; only a person ends it.
    by_person: Option<Pause>,
    by_relay: Option<Pause>,
    held_back: Option<Wait>,
    /// In a row.
    failures: u32,
    /// The breaker is open, and lets one request through at the end of this.
    breaker: Option<Wait>,
    /// Requests in a row that were refused though the token works.
    forbidden: u32,
    /// Before its end no other request goes, by the rate.
    next_send: Option<Wait>,
    standstill: Downtime,
    /// The destination once answered with the id of what it made.
    has_given_id: bool,
}

/// Why nothing may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub reason: String,
    /// When to ask again; none: when something else happens.
    pub until: Option<Timestamp>,
}

impl Gate {
    /// Why the gate is closed, if it is.
    pub fn closed(&self, now: Timestamp) -> Option<Closed> {
        if let Some(pause) = self.by_person.as_ref().or(self.by_relay.as_ref()) {
            let until = match pause.ends {
                ResumeOn::Probe(wait) => Some(wait.until()),
                ResumeOn::Person | ResumeOn::Token => None,
            };
            return Some(Closed { reason: format!("paused: {}", pause.reason), until });
        }
        let closed = |reason: &str, wait: Option<Wait>| {
            let until = wait.map(|wait| wait.until()).filter(|until| *until > now);
            until.is_some().then(|| Closed { reason: reason.to_owned(), until })
        };
        closed("savio asked to wait", self.held_back)
            .or_else(|| closed("savio failed several times in a row", self.breaker))
    }

    /// The pause that holds: a person's before the relay's own.
    pub fn pause(&self) -> Option<&Pause> {
        self.by_person.as_ref().or(self.by_relay.as_ref())
    }

    /// Whose pause it is.
    pub fn paused_by(&self) -> Option<PausedBy> {
        self.pause().map(|pause| match pause.ends {
            _ if self.by_person.is_some() => PausedBy::Person,
            ResumeOn::Token => PausedBy::Token,
            ResumeOn::Probe(_) | ResumeOn::Person => PausedBy::Answer,
        })
    }

    /// Keeps all waits as long as they were meant to be though the clock was set back or the settings are
    /// others; to be called before the gate is asked. Returns whether anything changed.
    pub fn follow(&mut self, now: Timestamp, settings: &Settings) -> bool {
        let turn_max = settings.rate.map_or(Duration::ZERO, |it| TURN_WAIT + it.interval());
        let waits = [
            (self.held_back.as_mut(), RETRY_AFTER_MAX),
            (self.breaker.as_mut(), settings.breaker_wait.max(settings.answer_wait)),
            (self.next_send.as_mut(), turn_max),
            (self.by_relay.as_mut().and_then(Pause::probe), settings.probe_every),
        ];
        let mut has_changed = self.standstill.begins_after(now);
        for (wait, longest) in waits {
            has_changed |= wait.is_some_and(|wait| wait.follow(now, longest));
        }
        if has_changed {
            self.turned(now);
        }
        has_changed
    }

    /// How many requests it makes sense to prepare now.
    pub fn room(&self, now: Timestamp, settings: &Settings) -> usize {
        if self.closed(now).is_some() {
            return 0;
        }
        if self.breaker.is_some() {
            return 1;
        }
        match settings.rate {
            Some(_) if self.turn(now) > later(now, TURN_WAIT) => 0,
            Some(rate) => rate.within(TURN_WAIT),
            None => usize::MAX,
        }
    }

    /// Lets a request go: at the time that comes back, which is now or shortly after.
    pub fn admit(&mut self, now: Timestamp, settings: &Settings) -> Result<Timestamp, Closed> {
        self.follow(now, settings);
        if let Some(closed) = self.closed(now) {
            return Err(closed);
        }
        let turn = self.turn(now);
        if turn > later(now, TURN_WAIT) {
            let reason = "the rate of the destination".to_owned();
            return Err(Closed { reason, until: Some(turn) });
        }
        if self.breaker.is_some() {
            // Nobody follows it before its answer can be there.
            let wait = settings.breaker_wait.max(settings.answer_wait);
            self.breaker = Some(Wait::new(now, later(now, wait)));
        }
        if let Some(rate) = settings.rate {
            self.next_send = Some(Wait::new(now, later(turn, rate.interval())));
        }
        Ok(turn)
    }

    /// A request that was let through did not go.
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

    /// When the gate has to be looked at again though nothing happened.
    pub fn wakes_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self.closed(now) {
            Some(closed) => closed.until,
            None => self.next_send.map(|next| next.until()).filter(|next| *next > now),
        }
    }

    /// Whether a probe is to go now; the next one is due after another wait.
    pub fn take_probe(&mut self, now: Timestamp, settings: &Settings) -> bool {
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

    pub fn note(&mut self, signal: &Signal, now: Timestamp, settings: &Settings) {
        self.follow(now, settings);
        match signal {
            Signal::Healthy | Signal::GaveId => {
                self.works();
                self.forbidden = 0;
                self.has_given_id |= *signal == Signal::GaveId;
            }
            Signal::Failing { hold_back_until } => self.fails(*hold_back_until, now, settings),
            Signal::Misconfigured { reason } => {
                let probe = Wait::new(now, later(now, settings.probe_every));
                self.pause_by_relay(reason, now, ResumeOn::Probe(probe));
            }
            Signal::Forbidden { reason } => {
                self.works();
                self.forbidden = self.forbidden.saturating_add(1);
                if self.forbidden >= FORBIDDEN_MAX {
                    self.pause_by_relay(reason, now, ResumeOn::Person);
                }
            }
            Signal::ProbePassed => {
                let by_probe = |pause: &Pause| matches!(pause.ends, ResumeOn::Probe(_));
                self.by_relay = self.by_relay.take().filter(|pause| !by_probe(pause));
            }
        }
        self.turned(now);
    }

    /// Whether the destination is known to be Savio, by an id that it gave at any time.
    pub fn has_given_id(&self) -> bool {
        self.has_given_id
    }

    fn works(&mut self) {
        self.failures = 0;
        self.breaker = None;
    }

    fn fails(&mut self, hold_back_until: Option<Timestamp>, now: Timestamp, settings: &Settings) {
        self.failures = self.failures.saturating_add(1);
        let asked = hold_back_until.map(|until| Wait::new(now, until));
        let longer = [self.held_back, asked].into_iter().flatten();
        self.held_back = longer.max_by_key(Wait::until);
        if self.failures >= settings.breaker_failures {
            self.breaker = Some(Wait::new(now, later(now, settings.breaker_wait)));
        }
    }

    /// One that only a person or a token ends is not replaced by one that a probe ends.
    fn pause_by_relay(&mut self, reason: &str, now: Timestamp, ends: ResumeOn) {
        match &mut self.by_relay {
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

    /// A person's pause.
    pub fn stop(&mut self, reason: &str, now: Timestamp) {
        let reason = reason.to_owned();
        self.by_person = Some(Pause { reason, since: now, ends: ResumeOn::Person });
        self.turned(now);
    }

    /// A person ends every pause, and the next request goes at once. What Savio asked for stays, and
    /// so does the want of a token.
    pub fn resume(&mut self, now: Timestamp) {
        self.by_person = None;
        self.by_relay = self.by_relay.take().filter(|pause| pause.ends == ResumeOn::Token);
        self.works();
        self.forbidden = 0;
        self.turned(now);
    }

    /// At a start: whether there is a token, else why not. What a probe ends is asked for at once,
    /// since the token or the address may be another now.
    pub fn begin(&mut self, missing: Option<&str>, now: Timestamp) {
        self.by_relay = self.by_relay.take().filter(|pause| pause.ends != ResumeOn::Token);
        if let Some(Pause { ends: ResumeOn::Probe(wait), .. }) = &mut self.by_relay {
            *wait = Wait::new(now, now);
        }
        if let Some(reason) = missing {
            let reason = reason.to_owned();
            self.by_relay = Some(Pause { reason, since: now, ends: ResumeOn::Token });
        }
        self.turned(now);
    }

    /// How long after `since` the destination could be tried: time in which it was paused, held back
    /// or its breaker open does not count.
    pub fn clock(&self, since: Timestamp, now: Timestamp) -> Duration {
        let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        passed.saturating_sub(self.standstill.between(since, now))
    }

    /// An open breaker counts as closed gate until something works again, not only until the next try.
    fn turned(&mut self, now: Timestamp) {
        let is_stopped = self.pause().is_some() || self.breaker.is_some();
        let until =
            if is_stopped { Some(Timestamp::MAX) } else { self.held_back.map(|wait| wait.until()) };
        self.standstill.turn(now, until);
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
            breaker: wait(stored.breaker, stored.breaker_since),
            forbidden: stored.forbidden,
            next_send: wait(stored.next_send_at, stored.next_send_since),
            standstill: stored.standstill,
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
            breaker: until(gate.breaker),
            breaker_since: since(gate.breaker),
            forbidden: gate.forbidden,
            next_send_at: until(gate.next_send),
            next_send_since: since(gate.next_send),
            standstill: gate.standstill,
            has_given_id: gate.has_given_id,
        }
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
