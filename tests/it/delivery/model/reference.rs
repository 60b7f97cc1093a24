//! The reference model: the outcome table in its simplest form, and rules for what may be sent
//! when.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use savio_relay::event::{Outcome, State};
use savio_relay::store::{Attempt, EventRecord, RequestState};
use serde_json::Value;
use tokio::sync::Notify;

use super::{Answer, Payload};

const WAIT_MIN: i64 = 5;
const WAIT_MAX: i64 = 3_600;
const GIVE_UP_AFTER: i64 = 3 * 86_400;

/// The expected state and progress of one event.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(super) struct Expected {
    pub(super) source: usize,
    requests: Vec<ExpectedRequest>,
    cannot_be_mapped: bool,
    pub(super) state: State,
    /// Other states that are allowed, where the model cannot know which.
    alternatives: Vec<State>,
    /// The first request that is not done.
    pub(super) position: usize,
    /// True if its requests were stored since it was queued.
    is_planned: bool,
    may_repeat: Vec<bool>,
    is_replay: bool,
    /// True if Savio forbade this request in this delivery although the token works.
    was_forbidden: bool,
    /// True if a request of it was sent in this delivery.
    was_sent: bool,
    in_flight: bool,
    tries: u32,
    due: i64,
    first_attempt: Option<i64>,
    sent: Vec<Sent>,
}

#[derive(Debug)]
struct ExpectedRequest {
    path: &'static str,
    names: Vec<String>,
    upsert: Option<String>,
}

/// A request that Savio received, and how the relay has to mark it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sent {
    position: usize,
    may_repeat: bool,
    replay: bool,
}

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) holds: bool,
    pub(super) answers: VecDeque<(Answer, u8)>,
    pub(super) events: Vec<Expected>,
    pub(super) probe_works: bool,
    pub(super) paused_by_person: bool,
    pub(super) paused: [bool; 2],
    /// The reason why nothing may be sent in this delivery, if so.
    pub(super) closed: Option<&'static str>,
    pub(super) held_back_until: i64,
    next_held_back: i64,
    known: BTreeSet<String>,
    /// Number of requests until the process is killed.
    pub(super) crash_in: Option<usize>,
    pub(super) crashed: Arc<Notify>,
    /// Number of restarts. Answers to an earlier process have no effect.
    pub(super) life: usize,
    pub(super) now: i64,
    started: Instant,
    pub(super) wrong: Vec<String>,
}

impl Expected {
    pub(super) fn new(payload: &Payload) -> Expected {
        let requests = expected_requests(payload);
        Expected {
            source: payload.source,
            cannot_be_mapped: payload.feedback.as_ref().is_some_and(|one| !one.has_text),
            state: State::Queued,
            alternatives: Vec::new(),
            position: 0,
            is_planned: false,
            may_repeat: vec![false; requests.len()],
            requests,
            is_replay: false,
            was_forbidden: false,
            was_sent: false,
            in_flight: false,
            tries: 0,
            due: 0,
            first_attempt: None,
            sent: Vec::new(),
        }
    }

    /// Applies a replay by a person.
    pub(super) fn replay(&mut self, now: i64) {
        if self.state == State::Delivered {
            self.position = 0;
            self.may_repeat.fill(false);
        }
        self.is_replay = true;
        self.is_planned = false;
        self.queue(now);
    }

    /// Applies a person's decision about a held event.
    pub(super) fn release(&mut self, has_arrived: bool, now: i64) {
        self.position += usize::from(has_arrived);
        self.queue(now);
        if self.position == self.requests.len() {
            self.state = State::Delivered;
        }
    }

    fn queue(&mut self, now: i64) {
        self.state = State::Queued;
        self.tries = 0;
        self.due = now;
        self.first_attempt = None;
    }

    fn upserts(&self, upsert: &str) -> bool {
        let left = &self.requests[self.position..];
        left.iter().any(|expected_request| expected_request.upsert.as_deref() == Some(upsert))
    }

    fn fails(&mut self, now: i64, retry_after: i64) {
        let wait = WAIT_MIN.saturating_mul(1 << self.tries.min(20)).min(WAIT_MAX);
        self.due = now + wait.max(retry_after.min(3_600));
        self.tries += 1;
    }

    /// Checks that the stored event is allowed.
    fn allows(&self, record: &EventRecord) -> Result<(), String> {
        let mut states = vec![self.state];
        states.extend(&self.alternatives);
        if self.state == State::Queued && self.requests.is_empty() {
            states.push(State::Ignored);
        }
        if self.state == State::Queued && self.cannot_be_mapped {
            states = vec![State::Queued, State::Dead];
        }
        if !states.contains(&record.state) {
            return Err(format!(
                "it is {:?} and not {states:?}: {:?}",
                record.state, record.reason
            ));
        }
        let done = done(record);
        if done != self.position && !record.requests.is_empty() && self.is_planned {
            return Err(format!("{done} requests are done and not {}", self.position));
        }
        let needs_reason = match record.state {
            State::Queued => self.first_attempt.is_some() && !is_sending(record),
            State::Ignored | State::Held | State::Dead => true,
            State::Delivered => false,
        };
        if needs_reason && record.reason.is_none() {
            return Err(format!("it is {:?} without a reason", record.state));
        }
        self.has_history(&record.attempts)
    }

    /// Checks that each send is in the history, in order, and marked.
    fn has_history(&self, attempts: &[Attempt]) -> Result<(), String> {
        let recorded = attempts.iter().filter(|attempt| attempt.outcome != Outcome::Interrupted);
        let recorded: Vec<Sent> = recorded.map(sent).collect();
        if recorded == self.sent {
            Ok(())
        } else {
            Err(format!("its history is {recorded:?}, and sent was {:?}", self.sent))
        }
    }

    /// Takes over what the store has after a crash.
    fn settle_after_crash(&mut self, record: &EventRecord, now: i64) {
        self.in_flight = false;
        self.is_planned = !record.requests.is_empty();
        self.position = done(record);
        self.state = record.state;
        for (may_repeat, planned) in self.may_repeat.iter_mut().zip(&record.requests) {
            *may_repeat = planned.may_repeat || planned.state == RequestState::Sending;
        }
        if is_sending(record) {
            self.alternatives = vec![State::Held, State::Dead];
            // An interrupted send counts as an attempt, whether any byte of it left or not.
            self.first_attempt.get_or_insert(now);
        }
        let recorded = record.attempts.iter().filter(|it| it.outcome != Outcome::Interrupted);
        self.sent = recorded.map(sent).collect();
        self.due = 0;
    }
}

fn sent(attempt: &Attempt) -> Sent {
    let Attempt { position, may_repeat, replay, .. } = *attempt;
    Sent { position, may_repeat, replay }
}

/// Returns whether a request is marked as being sent, as a crash leaves it.
fn is_sending(record: &EventRecord) -> bool {
    record.requests.iter().any(|request| request.state == RequestState::Sending)
}

fn done(record: &EventRecord) -> usize {
    record.requests.iter().filter(|request| request.state == RequestState::Done).count()
}

/// Returns the requests that the test's mapping makes of a payload.
fn expected_requests(payload: &Payload) -> Vec<ExpectedRequest> {
    let mut requests = Vec::new();
    if let Some(account) = payload.account {
        let names = vec![format!("company id {account}"), format!("company name {account}")];
        let upsert = Some(format!("company {account}"));
        requests.push(ExpectedRequest { path: "/companies/", names, upsert });
    }
    if let Some(user) = payload.user {
        let names = vec![format!("person id {user}"), format!("person {user}")];
        let upsert = Some(format!("person {user}"));
        requests.push(ExpectedRequest { path: "/users/", names, upsert });
    }
    if let Some(feedback) = &payload.feedback {
        let mut names: Vec<String> = feedback.tags.iter().map(|tag| format!("tag {tag}")).collect();
        names.extend(feedback.title.map(|title| format!("title {title}")));
        requests.push(ExpectedRequest { path: "/create-feedback/", names, upsert: None });
    }
    requests
}

impl Reference {
    pub(super) fn new(holds: bool, answers: &[(Answer, u8)]) -> Reference {
        Reference {
            holds,
            answers: answers.iter().copied().collect(),
            events: Vec::new(),
            probe_works: true,
            paused_by_person: false,
            paused: [false; 2],
            closed: None,
            held_back_until: 0,
            next_held_back: 0,
            known: BTreeSet::new(),
            crash_in: None,
            crashed: Arc::new(Notify::new()),
            life: 0,
            now: 0,
            started: Instant::now(),
            wrong: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self) {
        self.started = Instant::now();
        self.held_back_until = self.held_back_until.max(self.next_held_back);
        for event in &mut self.events {
            event.was_forbidden = false;
            event.was_sent = false;
        }
    }

    /// Takes note of a request and returns its answer; none if the process is killed while it waits
    /// for it.
    pub(super) fn arrives(&mut self, path: &str, body: &Value) -> Option<(usize, Answer, u8)> {
        let number =
            body["source_username"].as_str().or(body["filterable_attributes"]["n"].as_str());
        let event: usize = number.unwrap().parse().unwrap();
        if let Err(wrong) = self.may_arrive(event, path) {
            self.wrong.push(format!("event {event}, {path}: {wrong}"));
        }
        let (now, expected) = (self.now, &mut self.events[event]);
        expected.in_flight = true;
        expected.was_sent = true;
        expected.is_planned = true;
        expected.first_attempt.get_or_insert(now);
        let position = expected.position.min(expected.requests.len().saturating_sub(1));
        let may_repeat = expected.may_repeat[position];
        expected.sent.push(Sent { position, may_repeat, replay: expected.is_replay });
        if let Some(left) = &mut self.crash_in {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                // The process is being killed.
                None => return None,
            }
            if *left == 0 {
                self.crashed.notify_one();
                return None;
            }
        }
        let (answer, yields) = self.answers.pop_front().unwrap_or((Answer::Created, 1));
        Some((event, answer, yields))
    }

    fn may_arrive(&self, event: usize, path: &str) -> Result<(), String> {
        let expected = &self.events[event];
        let clock = self.now + i64::try_from(self.started.elapsed().as_secs()).unwrap() + 1;
        if let Some(closed) = self.closed {
            return Err(format!("nothing may be sent: {closed}"));
        }
        if self.paused[expected.source] {
            return Err("its source is paused".to_owned());
        }
        if clock <= self.held_back_until || clock <= expected.due {
            return Err(format!("it is early: {clock}, due at {}", expected.due));
        }
        if expected.state != State::Queued || expected.in_flight {
            return Err(format!("it is {:?}, in flight: {}", expected.state, expected.in_flight));
        }
        let Some(request) = expected.requests.get(expected.position) else {
            return Err("all of it was sent".to_owned());
        };
        if request.path != path || expected.cannot_be_mapped {
            return Err(format!("{} is next", request.path));
        }
        self.may_name(event, request)
    }

    /// Checks that no two requests in flight name the same new record, and that no upsert overtakes
    /// an older one.
    fn may_name(&self, event: usize, request: &ExpectedRequest) -> Result<(), String> {
        let in_flight = self.events.iter().filter(|other| other.in_flight);
        for other in in_flight.map(|other| &other.requests[other.position]) {
            let is_new = |name: &&String| !self.known.contains(*name);
            if let Some(name) =
                other.names.iter().filter(is_new).find(|name| request.names.contains(name))
            {
                return Err(format!("another in flight names {name}"));
            }
            if request.upsert.is_some() && other.upsert == request.upsert {
                return Err(format!("another in flight upserts {:?}", request.upsert));
            }
        }
        let Some(upsert) = &request.upsert else { return Ok(()) };
        let is_before = |older: &&Expected| {
            older.state == State::Queued
                && older.alternatives.is_empty()
                && older.is_planned
                && !self.paused[older.source]
                && older.upserts(upsert)
        };
        match self.events[..event].iter().find(is_before) {
            Some(_) => Err(format!("an older event upserts {upsert} first")),
            None => Ok(()),
        }
    }

    /// Returns whether the older event has to make the upsert that is the next request of the
    /// younger one.
    pub(super) fn upserts_before(&self, older: usize, younger: usize) -> bool {
        let (older, younger) = (&self.events[older], &self.events[younger]);
        let next = younger.requests.get(younger.position).and_then(|next| next.upsert.as_deref());
        next.is_some_and(|upsert| older.upserts(upsert))
    }

    /// Applies the outcome table to an answer.
    pub(super) fn answers(&mut self, event: usize, answer: Answer) {
        let (now, holds, probe_works) = (self.now, self.holds, self.probe_works);
        let expected = &mut self.events[event];
        expected.in_flight = false;
        let is_old = expected.first_attempt.is_some_and(|first| now - first >= GIVE_UP_AFTER);
        expected.alternatives.clear();
        let position = expected.position;
        match answer {
            Answer::Created => {
                self.known.extend(expected.requests[position].names.iter().cloned());
                expected.position += 1;
                expected.tries = 0;
                if expected.position == expected.requests.len() {
                    expected.state = State::Delivered;
                }
            }
            Answer::Refused => expected.state = State::Dead,
            Answer::Forbidden => {
                if probe_works && std::mem::replace(&mut expected.was_forbidden, true) {
                    expected.alternatives = vec![State::Dead];
                }
                expected.tries += 1;
            }
            Answer::Busy => expected.fails(now, 0),
            Answer::Later(seconds) => {
                expected.fails(now, seconds);
                self.next_held_back = self.next_held_back.max(now + seconds.min(3_600));
            }
            Answer::Page | Answer::Nothing => {
                expected.fails(now, 0);
                expected.may_repeat[position] = true;
                if holds {
                    expected.state = State::Held;
                }
            }
        }
        let grows_old = matches!(answer, Answer::Busy | Answer::Later(_) | Answer::Nothing);
        if grows_old && is_old && expected.state == State::Queued {
            expected.alternatives.push(State::Dead);
        }
    }

    /// Begins another life of the process, which no answer to an earlier one reaches.
    pub(super) fn begins_anew(&mut self) -> usize {
        self.life += 1;
        self.life
    }

    /// Takes over the state of the store after a restart.
    pub(super) fn restarts(&mut self, records: &[EventRecord]) {
        self.known.clear();
        if self.crash_in.take().is_some() {
            self.next_held_back = self.held_back_until;
            let now = self.now;
            let events = self.events.iter_mut().zip(records);
            // A send may be marked though no byte of it left.
            let begun = events.filter(|(expected, record)| expected.was_sent || is_sending(record));
            for (expected, record) in begun {
                expected.settle_after_crash(record, now);
            }
        }
    }

    /// Checks that all stored events are allowed, and that no request was wrong.
    pub(super) fn judge(&mut self, records: &[EventRecord]) -> Result<(), String> {
        if !self.wrong.is_empty() {
            return Err(self.wrong.join("\n"));
        }
        for (number, (expected, record)) in self.events.iter_mut().zip(records).enumerate() {
            let allowed = expected.allows(record);
            allowed
                .map_err(|wrong| format!("event {number}: {wrong}\n{expected:?}\n{record:?}"))?;
            expected.state = record.state;
            if record.state != State::Queued {
                expected.alternatives.clear();
            }
        }
        Ok(())
    }
}
