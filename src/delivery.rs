//! Takes queued events from the store, maps them, and sends the requests until Savio has them.

mod worker;
pub mod source_pauses;
mod persisted_gate;
pub mod outcome;
mod feature_requests;
mod attempt;
mod job;
mod plan;
mod acquisition;
mod backoff;
mod claims;
mod clock;
mod clock_watch;
mod conflicts;
pub mod gate;
pub mod mapper;
mod suspect;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::event::{EventId, Outcome, SourceName, State};
use crate::mapping::{MappedRequests, Mapping};
use crate::savio::{Client, SendResult};
use crate::store::{Attempt, Claim, ClaimedEvent, NextStep, Progress, Queue, Shorter, StoreError};
use crate::telemetry::metrics::Attempts;
use crate::telemetry::traces::{Traces, WorkResult};
use backoff::Process;
use claims::{ClaimGuard, ClaimTable};
use clock::RunClock;
use feature_requests::FeatureRequests;
use gate::{Closed, Gate, Signal};
use mapper::Mapper;
use outcome::{AttemptContext, Decision};
use persisted_gate::PersistedGate;
use plan::{RequestPlan, SentRequest};
use source_pauses::SourcePauses;

const WRITE_WAIT_MIN: Duration = Duration::from_millis(100);
const WRITE_WAIT_MAX: Duration = Duration::from_secs(5);

/// The mapping of each source. An event of a source that is not here waits.
pub type Mappings = BTreeMap<SourceName, Arc<Mapping>>;

/// A Savio account.
#[derive(Debug)]
pub struct Destination {
    pub name: String,
    /// Else why nothing can be sent: it is paused for that.
    pub client: Result<Client, String>,
    pub max_in_flight: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub retry: outcome::Settings,
    pub gate: gate::Settings,
    /// How long an event is ours without a word; renewed while it is worked on.
    pub lease: Duration,
    pub shutdown_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            retry: outcome::Settings::default(),
            gate: gate::Settings::default(),
            lease: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(8),
        }
    }
}

pub struct Delivery {
    store: Arc<dyn Queue>,
    destination: Destination,
    settings: Settings,
    mappings: RwLock<Arc<Mappings>>,
    mappings_replaced: Notify,
    claims: ClaimTable,
    porter: PersistedGate,
    pauses: Arc<SourcePauses>,
    mapper: Arc<Mapper>,
    attempts: Attempts,
    traces: Traces,
    titles: FeatureRequests,
}

impl Delivery {
    pub fn new(store: Arc<dyn Queue>, destination: Destination, settings: Settings) -> Delivery {
        let porter = PersistedGate::new(&destination.name, settings.gate.clone());
        Delivery {
            store,
            claims: ClaimTable::new(destination.max_in_flight),
            destination,
            settings,
            mappings: RwLock::default(),
            mappings_replaced: Notify::new(),
            porter,
            pauses: Arc::default(),
            mapper: Arc::default(),
            attempts: Attempts::default(),
            traces: Traces::default(),
            titles: FeatureRequests::new(),
        }
    }

    /// With the pauses of sources that all destinations of the store share.
    #[must_use]
    pub fn sharing(mut self, pauses: Arc<SourcePauses>) -> Delivery {
        self.pauses = pauses;
        self
    }

    /// Mapping where all destinations of the process do.
    #[must_use]
    pub fn mapping_by(mut self, mapper: Arc<Mapper>) -> Delivery {
        self.mapper = mapper;
        self
    }

    /// Counting into what all destinations share.
    #[must_use]
    pub fn counting(mut self, attempts: Attempts) -> Delivery {
        self.attempts = attempts;
        self
    }

    /// Telling of the work on each event there.
    #[must_use]
    pub fn tracing(mut self, traces: Traces) -> Delivery {
        self.traces = traces;
        self
    }

    /// Takes the whole new set. Requests that an event has become already stay as they are.
    pub fn replace_mappings(&self, mappings: Mappings) {
        *self.mappings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(mappings);
        self.mappings_replaced.notify_one();
    }

    /// The sources that send to its destination now.
    pub fn sources(&self) -> Vec<SourceName> {
        self.mappings().keys().cloned().collect()
    }

    /// How many requests are on their way.
    pub fn in_flight(&self) -> usize {
        self.destination.max_in_flight.saturating_sub(self.claims.free_slots())
    }

    fn mappings(&self) -> Arc<Mappings> {
        self.mappings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sources whose events go on.
    fn live_sources(&self) -> Vec<SourceName> {
        let mappings = self.mappings();
        let live = mappings.keys().filter(|source| !self.pauses.is_paused(source));
        live.cloned().collect()
    }

    /// Works on one event until it has come to its end or has to wait.
    pub async fn deliver(&self, claimed: ClaimedEvent, now: Timestamp) -> Finished {
        let held = self.claims.hold(claimed.claim, claimed.place);
        self.work_on(claimed, held, &RunClock::starting(now)).await
    }

    async fn work_on(
        &self,
        claimed: ClaimedEvent,
        mut held: ClaimGuard<'_>,
        clock: &RunClock,
    ) -> Finished {
        let span = self.traces.delivery(&claimed.event, &self.destination.name, clock.now());
        let mut work = RequestPlan::of(claimed, span.parent());
        let mut progress = self.begin(&mut work, &held, clock).await;
        held.set_upserts(&work.upserts());
        loop {
            self.line_up(&mut held, &work, &mut progress).await;
            match self.go_on(&held, progress, clock).await {
                Action::Send(position) => {
                    held.set_upserts(&work.upserts());
                    let sent = self.send(&work, position, clock).await;
                    progress = self.judge(&mut work, sent, clock).await;
                }
                Action::Park => {
                    held.set_upserts(&work.upserts());
                    held.park();
                    span.ended(WorkResult::Parked);
                    return Finished::Parked;
                }
                Action::End(rest) => {
                    span.ended(rest);
                    return Finished::Through;
                }
            }
        }
    }

    /// Maps an event that was not worked on before; goes on with one that was.
    async fn begin(
        &self,
        work: &mut RequestPlan,
        held: &ClaimGuard<'_>,
        clock: &RunClock,
    ) -> Progress {
        let Some(unmapped) = work.unmapped.take() else {
            return match work.interrupted() {
                Some(position) => {
                    let now = clock.now();
                    let sent =
                        SentRequest { position, at: now, answered_at: now, ms: 0, answer: None };
                    self.judge(work, sent, clock).await
                }
                None => step(work.next(clock.now())),
            };
        };
        let mapped = match self.map(unmapped, held, clock.now()).await {
            Ok(mapped) => self.link(mapped, clock).await,
            Err(next) => Err(next),
        };
        match mapped {
            Ok(MappedRequests { requests, notes, left_out, .. }) => {
                work.plan(&requests);
                self.attempts.left_out(&self.destination.name, &left_out);
                let next = step(work.next(clock.now()));
                Progress { planned: Some(requests), notes, left_out, ..next }
            }
            Err(next) => step(next),
        }
    }

    /// Writes the step down; if the next is a send, which request that is, once the gate lets it go.
    async fn go_on(
        &self,
        held: &ClaimGuard<'_>,
        mut progress: Progress,
        clock: &RunClock,
    ) -> Action {
        if let NextStep::Send { .. } = progress.next {
            match self.porter.admit(clock.now()) {
                Ok(turn) => clock.wait_until(turn).await,
                Err(Closed { reason, .. }) => {
                    // It is due; the gate keeps it from being claimed.
                    progress.next = NextStep::Wait { until: clock.now(), reason };
                }
            }
        }
        let next = progress.next.clone();
        let has_news = progress.attempt.is_some() || !matches!(next, NextStep::Park { .. });
        let written = if has_news { self.write(held, progress).await } else { Ok(()) };
        held.set_request_open(written.is_ok() && matches!(next, NextStep::Send { .. }));
        if written.is_ok() {
            tell(held.event(), &next);
        }
        match (next, written) {
            (NextStep::Send { position, .. }, Ok(())) => Action::Send(position),
            (NextStep::Send { .. }, Err(ClaimLost)) => {
                self.porter.return_slot(clock.now());
                Action::End(WorkResult::Lost)
            }
            (NextStep::Park { .. }, Ok(())) => Action::Park,
            (NextStep::Wait { until, .. } | NextStep::WaitBehind { at: until, .. }, Ok(())) => {
                Action::End(WorkResult::Waits { until })
            }
            (NextStep::Settle { state, .. }, Ok(())) => Action::End(WorkResult::Settled(state)),
            (
                NextStep::Park { .. }
                | NextStep::Wait { .. }
                | NextStep::WaitBehind { .. }
                | NextStep::Settle { .. },
                Err(ClaimLost),
            ) => Action::End(WorkResult::Lost),
        }
    }

    async fn send(&self, work: &RequestPlan, position: usize, clock: &RunClock) -> SentRequest {
        let (at, start) = (clock.now(), Instant::now());
        let answer = match &self.destination.client {
            Ok(client) => client.send(work.request(position)).await,
            Err(reason) => SendResult::NotSent { reason: reason.clone() },
        };
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        SentRequest { position, at, answered_at: clock.now(), ms, answer: Some(answer) }
    }

    async fn judge(&self, work: &mut RequestPlan, sent: SentRequest, clock: &RunClock) -> Progress {
        let age = self.porter.clock(work.tried_since(sent.at), sent.answered_at);
        let has_given_id = self.porter.read(Gate::has_given_id);
        let optional = work.optional(sent.position);
        let of_event = work.circumstances(&sent, fastrand::u32(..));
        let circumstances = AttemptContext { age, has_given_id, optional: &optional, ..of_event };
        let mut verdict = match &sent.answer {
            Some(answer) => outcome::judge(answer, circumstances, &self.settings.retry),
            None => outcome::judge_interrupted(circumstances, &self.settings.retry),
        };
        if verdict.then == Decision::Probe {
            verdict = outcome::after_probe(verdict, &self.ask_for_probe().await);
        }
        if let Some(sign) = &verdict.sign {
            self.porter.note(&*self.store, sign, clock.now()).await;
        }
        if verdict.outcome == Outcome::Done {
            self.titles.taken(work.request(sent.position), clock.now());
        }
        self.trace(work, &sent, &verdict);
        let summary = verdict.summary.clone();
        let progress = work.after(sent, verdict);
        if let Some(attempt) = &progress.attempt {
            self.count(attempt, progress.shorter.as_ref());
            self.log(work, attempt, &summary);
        }
        progress
    }

    async fn ask_for_probe(&self) -> Result<(), String> {
        match &self.destination.client {
            Ok(client) => client.probe().await,
            Err(reason) => Err(reason.clone()),
        }
    }

    /// Whether the token may go to the address as it is now; without a client none goes.
    async fn permitted(&self) -> Result<(), String> {
        match &self.destination.client {
            Ok(client) => client.permitted().await,
            Err(_) => Ok(()),
        }
    }

    /// Whether a destination that an answer paused is there again.
    async fn probe(&self, now: Timestamp) -> Finished {
        let clock = RunClock::starting(now);
        let asked = match self.permitted().await {
            Ok(()) => self.ask_for_probe().await.map_err(|reason| format!("the probe: {reason}")),
            Err(reason) => Err(reason),
        };
        let sign = match asked {
            Ok(()) => Signal::ProbePassed,
            Err(reason) => Signal::Misconfigured { reason },
        };
        self.porter.note(&*self.store, &sign, clock.now()).await;
        Finished::Through
    }

    fn count(&self, attempt: &Attempt, shorter: Option<&Shorter>) {
        let destination = &self.destination.name;
        self.attempts.left_out(destination, shorter.into_iter().flat_map(|it| &it.left_out));
        self.attempts.came_to(destination, attempt.outcome.as_str());
        // Of an interrupted one nobody knows how long it took.
        if attempt.outcome != Outcome::Interrupted {
            self.attempts.took(destination, Duration::from_millis(attempt.ms));
        }
    }

    fn log(&self, work: &RequestPlan, attempt: &Attempt, summary: &str) {
        let Attempt { outcome, status, ms, .. } = attempt;
        let (id, destination) = (work.event, &self.destination.name);
        let request = work.request(attempt.position).kind.as_str();
        if *outcome == Outcome::Done {
            let outcome = outcome.as_str();
            info!(event.id = %id, destination, request, outcome, status, ms, "{summary}");
        } else {
            let outcome = outcome.as_str();
            warn!(event.id = %id, destination, request, outcome, status, ms, "{summary}");
        }
    }

    /// Tries until it is on disk: what was sent must never be sent again because it was not noted. When the relay
    /// stops, a step in which nothing was sent is left to the next start.
    async fn write(&self, held: &ClaimGuard<'_>, progress: Progress) -> Result<(), ClaimLost> {
        let mut backoff = self.claims.backoff();
        loop {
            let claim = held.claim();
            let id = claim.event;
            match self.store.advance(claim, progress.clone()).await {
                Ok(()) => return Ok(()),
                Err(StoreError::ClaimLost) if held.has_replaced(claim).await => {}
                Err(StoreError::ClaimLost) => {
                    warn!(event.id = %id, "the lease of event {id} ended while it was worked on");
                    return Err(ClaimLost);
                }
                Err(StoreError::Impossible { reason }) => {
                    error!(event.id = %id, reason, "the progress of event {id} cannot be kept: a bug");
                    self.bury(claim, &reason).await;
                    return Err(ClaimLost);
                }
                Err(StoreError::Unavailable { reason, .. }) => {
                    if backoff.is_first() {
                        warn!(event.id = %id, reason, "cannot write down the progress of event {id}");
                    }
                    if backoff.pause().await == Process::Stops && progress.attempt.is_none() {
                        return Err(ClaimLost);
                    }
                }
            }
        }
    }

    /// Ends an event whose progress can never be written, lest it be sent again and again. If even that
    /// fails, its lease ends by itself.
    async fn bury(&self, claim: Claim, reason: &str) {
        let reason = Some(format!("a bug of the relay: {reason}"));
        let dead = NextStep::Settle { state: State::Dead, reason, at: crate::clock::now() };
        if let Err(error) = self.store.advance(claim, step(dead)).await {
            warn!(event.id = %claim.event, %error, "event {} stays as it is", claim.event);
        }
    }
}

/// Another works on the event now, or nobody can.
struct ClaimLost;

/// What follows a step of an event.
enum Action {
    Send(usize),
    /// It waits for another event, claimed.
    Park,
    End(WorkResult),
}

/// How work on an event ended for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It is settled, or waits in the store.
    Through,
    /// It waits for another event.
    Parked,
}

/// How an event ended, where its attempts do not say it.
fn tell(id: EventId, next: &NextStep) {
    let NextStep::Settle { state, reason, .. } = next else { return };
    let (is, reason) = (state.as_str(), reason.as_deref());
    match state {
        State::Dead | State::Held => {
            warn!(event.id = %id, state = is, reason, "event {id} is {is}");
        }
        State::Delivered | State::Ignored | State::Queued => {
            info!(event.id = %id, state = is, reason, "event {id} is {is}");
        }
    }
}

fn step(next: NextStep) -> Progress {
    Progress::to(next)
}

impl fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Delivery")
            .field("destination", &self.destination)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
