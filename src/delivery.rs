//! Takes queued events from the store, maps them, and sends the requests until Savio has them.

mod acquisition;
mod backoff;
mod claims;
mod clock;
mod clock_watch;
mod conflicts;
mod flight;
pub mod gate;
pub mod mapper;
pub mod pauses;
mod porter;
pub mod retry;
mod suspect;
mod titles;
mod told;
mod turn;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::event::{EventId, Outcome, SourceName, State};
use crate::mapping::{Mapped, Mapping};
use crate::savio::{Answer, Client};
use crate::store::{Attempt, Claim, Claimed, Next, Progress, Shorter, Store, StoreError};
use crate::telemetry::metrics::Attempts;
use crate::telemetry::traces::{Rest, Traces};
use backoff::Process;
use claims::{Claims, Held};
use clock::Clock;
use gate::{Closed, Gate, Sign};
use mapper::Mapper;
use pauses::Pauses;
use porter::Porter;
use retry::{Circumstances, Then};
use titles::Titles;
use work::{Sent, Work};

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
    pub retry: retry::Settings,
    pub gate: gate::Settings,
    /// How long an event is ours without a word; renewed while it is worked on.
    pub lease: Duration,
    pub shutdown_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            retry: retry::Settings::default(),
            gate: gate::Settings::default(),
            lease: Duration::from_mins(1),
            shutdown_timeout: Duration::from_secs(8),
        }
    }
}

pub struct Delivery {
    store: Arc<dyn Store>,
    destination: Destination,
    settings: Settings,
    mappings: RwLock<Arc<Mappings>>,
    mappings_replaced: Notify,
    claims: Claims,
    porter: Porter,
    pauses: Arc<Pauses>,
    mapper: Arc<Mapper>,
    attempts: Attempts,
    traces: Traces,
    titles: Titles,
}

impl Delivery {
    pub fn new(store: Arc<dyn Store>, destination: Destination, settings: Settings) -> Delivery {
        let porter = Porter::new(&destination.name, settings.gate.clone());
        Delivery {
            store,
            claims: Claims::new(destination.max_in_flight),
            destination,
            settings,
            mappings: RwLock::default(),
            mappings_replaced: Notify::new(),
            porter,
            pauses: Arc::default(),
            mapper: Arc::default(),
            attempts: Attempts::default(),
            traces: Traces::default(),
            titles: Titles::new(),
        }
    }

    /// With the pauses of sources that all destinations of the store share.
    #[must_use]
    pub fn sharing(mut self, pauses: Arc<Pauses>) -> Delivery {
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
        let live = mappings.keys().filter(|source| !self.pauses.holds(source));
        live.cloned().collect()
    }

    /// Works on one event until it has come to its end or has to wait.
    pub async fn deliver(&self, claimed: Claimed, now: Timestamp) -> Landed {
        let held = self.claims.hold(claimed.claim, claimed.place);
        self.work_on(claimed, held, &Clock::starting(now)).await
    }

    async fn work_on(&self, claimed: Claimed, mut held: Held<'_>, clock: &Clock) -> Landed {
        let span = self.traces.delivery(&claimed.event, &self.destination.name, clock.now());
        let mut work = Work::of(claimed, span.parent());
        let mut progress = self.begin(&mut work, &held, clock).await;
        held.set_upserts(&work.upserts());
        loop {
            self.line_up(&mut held, &work, &mut progress).await;
            match self.go_on(&held, progress, clock).await {
                Step::Send(position) => {
                    held.set_upserts(&work.upserts());
                    let sent = self.send(&work, position, clock).await;
                    progress = self.judge(&mut work, sent, clock).await;
                }
                Step::Park => {
                    held.set_upserts(&work.upserts());
                    held.park();
                    span.ended(Rest::Parked);
                    return Landed::Parked;
                }
                Step::End(rest) => {
                    span.ended(rest);
                    return Landed::Through;
                }
            }
        }
    }

    /// Maps an event that was not worked on before; goes on with one that was.
    async fn begin(&self, work: &mut Work, held: &Held<'_>, clock: &Clock) -> Progress {
        let Some(unmapped) = work.unmapped.take() else {
            return match work.interrupted() {
                Some(position) => {
                    let now = clock.now();
                    let sent = Sent { position, at: now, answered_at: now, ms: 0, answer: None };
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
            Ok(Mapped { requests, notes, left_out, .. }) => {
                work.plan(&requests);
                self.attempts.left_out(&self.destination.name, &left_out);
                let next = step(work.next(clock.now()));
                Progress { planned: Some(requests), notes, left_out, ..next }
            }
            Err(next) => step(next),
        }
    }

    /// Writes the step down; if the next is a send, which request that is, once the gate lets it go.
    async fn go_on(&self, held: &Held<'_>, mut progress: Progress, clock: &Clock) -> Step {
        if let Next::Send { .. } = progress.next {
            match self.porter.admit(clock.now()) {
                Ok(turn) => clock.wait_until(turn).await,
                Err(Closed { reason, .. }) => {
                    // It is due; the gate keeps it from being claimed.
                    progress.next = Next::Wait { until: clock.now(), reason };
                }
            }
        }
        let next = progress.next.clone();
        let has_news = progress.attempt.is_some() || !matches!(next, Next::Stay { .. });
        let written = if has_news { self.write(held, progress).await } else { Ok(()) };
        if written.is_ok() {
            tell(held.event(), &next);
        }
        match (next, written) {
            (Next::Send { position, .. }, Ok(())) => Step::Send(position),
            (Next::Send { .. }, Err(NotOurs)) => {
                self.porter.forgo(clock.now());
                Step::End(Rest::Lost)
            }
            (Next::Stay { .. }, Ok(())) => Step::Park,
            (Next::Wait { until, .. } | Next::WaitBehind { at: until, .. }, Ok(())) => {
                Step::End(Rest::Waits { until })
            }
            (Next::Settle { state, .. }, Ok(())) => Step::End(Rest::Settled(state)),
            (
                Next::Stay { .. }
                | Next::Wait { .. }
                | Next::WaitBehind { .. }
                | Next::Settle { .. },
                Err(NotOurs),
            ) => Step::End(Rest::Lost),
        }
    }

    async fn send(&self, work: &Work, position: usize, clock: &Clock) -> Sent {
        let (at, start) = (clock.now(), Instant::now());
        let answer = match &self.destination.client {
            Ok(client) => client.send(work.request(position)).await,
            Err(reason) => Answer::NotSent { reason: reason.clone() },
        };
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Sent { position, at, answered_at: clock.now(), ms, answer: Some(answer) }
    }

    async fn judge(&self, work: &mut Work, sent: Sent, clock: &Clock) -> Progress {
        let age = self.porter.clock(work.tried_since(sent.at), sent.answered_at);
        let has_given_id = self.porter.look(Gate::has_given_id);
        let optional = work.optional(sent.position);
        let of_event = work.circumstances(&sent, fastrand::u32(..));
        let circumstances = Circumstances { age, has_given_id, optional: &optional, ..of_event };
        let mut verdict = match &sent.answer {
            Some(answer) => retry::judge(answer, circumstances, &self.settings.retry),
            None => retry::judge_interrupted(circumstances, &self.settings.retry),
        };
        if verdict.then == Then::Probe {
            verdict = retry::after_probe(verdict, &self.ask_for_probe().await);
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
    async fn probe(&self, now: Timestamp) -> Landed {
        let clock = Clock::starting(now);
        let asked = match self.permitted().await {
            Ok(()) => self.ask_for_probe().await.map_err(|reason| format!("the probe: {reason}")),
            Err(reason) => Err(reason),
        };
        let sign = match asked {
            Ok(()) => Sign::ProbePassed,
            Err(reason) => Sign::Wrong { reason },
        };
        self.porter.note(&*self.store, &sign, clock.now()).await;
        Landed::Through
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

    fn log(&self, work: &Work, attempt: &Attempt, summary: &str) {
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
    async fn write(&self, held: &Held<'_>, progress: Progress) -> Result<(), NotOurs> {
        let mut backoff = self.claims.backoff();
        loop {
            let claim = held.claim();
            let id = claim.event;
            match self.store.advance(claim, progress.clone()).await {
                Ok(()) => return Ok(()),
                Err(StoreError::ClaimLost) if held.has_replaced(claim).await => {}
                Err(StoreError::ClaimLost) => {
                    warn!(event.id = %id, "the lease of event {id} ended while it was worked on");
                    return Err(NotOurs);
                }
                Err(StoreError::Impossible { reason }) => {
                    error!(event.id = %id, reason, "the progress of event {id} cannot be kept: a bug");
                    self.bury(claim, &reason).await;
                    return Err(NotOurs);
                }
                Err(StoreError::Unavailable { reason, .. }) => {
                    if backoff.is_first() {
                        warn!(event.id = %id, reason, "cannot write down the progress of event {id}");
                    }
                    if backoff.pause().await == Process::Stops && progress.attempt.is_none() {
                        return Err(NotOurs);
                    }
                }
            }
        }
    }

    /// Ends an event whose progress can never be written, lest it be sent again and again. If even that
    /// fails, its lease ends by itself.
    async fn bury(&self, claim: Claim, reason: &str) {
        let reason = Some(format!("a bug of the relay: {reason}"));
        let dead = Next::Settle { state: State::Dead, reason, at: crate::clock::now() };
        if let Err(error) = self.store.advance(claim, step(dead)).await {
            warn!(event.id = %claim.event, %error, "event {} stays as it is", claim.event);
        }
    }
}

/// Another works on the event now, or nobody can.
struct NotOurs;

/// What follows a step of an event.
enum Step {
    Send(usize),
    /// It waits for another event, claimed.
    Park,
    End(Rest),
}

/// How work on an event ended for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landed {
    /// It is settled, or waits in the store.
    Through,
    /// It waits for another event.
    Parked,
}

/// How an event ended, where its attempts do not say it.
fn tell(id: EventId, next: &Next) {
    let Next::Settle { state, reason, .. } = next else { return };
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

fn step(next: Next) -> Progress {
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
